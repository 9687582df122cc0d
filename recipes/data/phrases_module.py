"""Phrases and their vectors, as `soundloom distil-text --phrases` writes them, for a text encoder."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import lightning
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from ...core.safetensors_files import load_safetensors
from ...gen.training.sentence_module import SentenceBatch
from ..distil_sentences import SENTENCES_FILE, VECTORS_FILE
from .rendering import positive


class SentenceDataset(Dataset[tuple[str, Tensor]]):
    """Phrases with their vectors, (phrase, float `[D]`)."""

    def __init__(self, phrases: list[str], vectors: Tensor) -> None:
        self.phrases, self.vectors = phrases, vectors

    def __len__(self) -> int:
        return len(self.phrases)

    def __getitem__(self, position: int) -> tuple[str, Tensor]:
        return self.phrases[position], self.vectors[position]


class SimilarLengths(Sampler[list[int]]):
    """Batches of phrases of about the same length, in random order: little of a batch is padding."""

    def __init__(self, lengths: list[int], batch_size: int, seed: int) -> None:
        self.lengths, self.batch_size, self.seed, self.epoch = lengths, batch_size, seed, 0

    def __len__(self) -> int:
        return max(1, len(self.lengths) // self.batch_size)

    def set_epoch(self, epoch: int) -> None:
        """Draw anew; called by Lightning before every epoch."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[list[int]]:
        draw = random.Random(f"{self.seed} {self.epoch}")
        order = sorted(range(len(self.lengths)), key=lambda i: self.lengths[i] + draw.random())
        starts = [n * self.batch_size for n in range(len(self))]
        draw.shuffle(starts)
        for start in starts:
            yield order[start : start + self.batch_size]


class SentenceDataModule(lightning.LightningDataModule):
    """Batches of phrases with the vectors that a text encoder is to give them, see `SentenceBatch`.

    Args:
        folder: holds sentences.txt and sentences.safetensors.
        batch_size: B.
        held_out: phrases that only measure.
        seed: of the order.

    Raises:
        ValueError: batch_size or held_out is not positive, or the two files do not fit together.
        FileNotFoundError: one of them is missing.
    """

    def __init__(
        self, folder: str = "data/text", batch_size: int = 320, held_out: int = 2000, seed: int = 0
    ) -> None:
        super().__init__()
        self.folder, self.seed = Path(folder), seed
        self.batch_size, self.held_out = positive("batch_size", batch_size), positive("held_out", held_out)

    def setup(self, stage: str | None = None) -> None:
        for name in (SENTENCES_FILE, VECTORS_FILE):
            if not (self.folder / name).is_file():
                raise FileNotFoundError(
                    f"{self.folder / name} is missing; make it with: soundloom distil-text {self.folder} "
                    "--phrases 200000 --captions FOLDER"
                )
        phrases = (self.folder / SENTENCES_FILE).read_text(encoding="utf-8").splitlines()
        vectors = load_safetensors(self.folder / VECTORS_FILE)["vectors"]
        if len(phrases) != len(vectors):
            raise ValueError(
                f"{self.folder} holds {len(phrases)} phrases and {len(vectors)} vectors; make both again "
                "with soundloom distil-text"
            )
        held_out = min(self.held_out, len(phrases) // 2)
        if not held_out:
            path = self.folder / SENTENCES_FILE
            raise ValueError(f"{path} holds {len(phrases)} phrases; two are the least")
        self.val_set = SentenceDataset(phrases[:held_out], vectors[:held_out])
        self.train_set = SentenceDataset(phrases[held_out:], vectors[held_out:])

    def train_dataloader(self) -> DataLoader[tuple[str, Tensor]]:
        lengths = [len(phrase.split()) for phrase in self.train_set.phrases]
        batches = SimilarLengths(lengths, self.batch_size, self.seed)
        return DataLoader(self.train_set, batch_sampler=batches, collate_fn=collate)

    def val_dataloader(self) -> DataLoader[tuple[str, Tensor]]:
        return DataLoader(self.val_set, batch_size=self.batch_size, collate_fn=collate)

    def test_dataloader(self) -> DataLoader[tuple[str, Tensor]]:
        return self.val_dataloader()


def collate(items: list[tuple[str, Tensor]]) -> SentenceBatch:
    """Put phrases and vectors together."""
    prompts, vectors = zip(*items, strict=True)
    return {"prompts": list(prompts), "vectors": torch.stack(vectors)}
