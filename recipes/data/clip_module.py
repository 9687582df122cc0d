"""Labelled clips for the classifier: one sound of one class each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from .rendering import RenderingDataModule, RenderSettings, loader, positive
from .sources import RenderedFolder


class ClipDataset(Dataset[tuple[Tensor, int]]):
    """Clips of a single sound with their class index: (audio `[N]`, class)."""

    def __init__(self, folder: RenderedFolder, class_names: Sequence[str]) -> None:
        self.folder = folder
        index = {name: i for i, name in enumerate(class_names)}
        rows = [(i, e["classes"][0]) for i, e in enumerate(folder.entries) if e["composition"] == "single"]
        unknown = sorted({name for _, name in rows} - set(index))
        if unknown:
            raise ValueError(
                f"{folder.folder} holds classes that the training folder lacks: {', '.join(unknown)}; "
                "render both with the same classes"
            )
        if not rows:
            raise ValueError(
                f"{folder.folder} holds no clip of a single sound; render with --compositions single:1"
            )
        self.rows = [(row, index[name]) for row, name in rows]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, position: int) -> tuple[Tensor, int]:
        row, label = self.rows[position]
        return torch.from_numpy(self.folder.read(row, 0, self.folder.length(row))), label


class ClipDataModule(RenderingDataModule):
    """Clips of one sound each with their class: batches (audio float32 `[B, N]`, class int64 `[B]`).

    Args:
        train_dir: rendered folder to train on; its classes are `class_names`.
        val_dir: rendered folder to validate on.
        batch_size: B.
        num_workers: loading processes; 0 loads in the main one.
        sample_rate: Hz.
        render: what is rendered where a folder is missing, of single sounds (the validation folder uses its
            own split, so nothing is shared).
    """

    def __init__(
        self,
        train_dir: str = "data/foley-classifier/train",
        val_dir: str = "data/foley-classifier/validation",
        batch_size: int = 64,
        num_workers: int = 0,
        sample_rate: int = 16000,
        render: RenderSettings = RenderSettings(),
    ) -> None:
        super().__init__(replace(render, compositions={"single": 1.0}), sample_rate)
        self.train_dir, self.val_dir = train_dir, val_dir
        self.batch_size, self.num_workers = positive("batch_size", batch_size), num_workers
        self.class_names: list[str] = []

    def prepare_data(self) -> None:
        self.render_missing(self.train_dir, "train", self.render.seed, "train_dir FOLDER")
        self.render_missing(self.val_dir, "validation", self.render.seed, "val_dir FOLDER")

    def setup(self, stage: str | None = None) -> None:
        self.check_model(channels=1)
        train, val = self.open_rendered(self.train_dir), self.open_rendered(self.val_dir)
        folders = (
            (train, val) if self.debugging else (train,)
        )  # so few debug clips may miss a class in training
        self.class_names = sorted(
            {name for folder in folders for e in folder.entries for name in e["classes"]}
        )
        self.train_set = ClipDataset(train, self.class_names)
        self.val_set = ClipDataset(val, self.class_names)

    def train_dataloader(self) -> DataLoader[tuple[Tensor, int]]:
        return loader(self.train_set, self.batch_size, self.num_workers, shuffle=True)

    def val_dataloader(self) -> DataLoader[tuple[Tensor, int]]:
        return loader(self.val_set, self.batch_size, self.num_workers)

    def test_dataloader(self) -> DataLoader[tuple[Tensor, int]]:
        return self.val_dataloader()

    def predict_dataloader(self) -> DataLoader[tuple[Tensor, int]]:
        return self.val_dataloader()
