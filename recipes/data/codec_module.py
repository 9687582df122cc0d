"""Data module for codecs: crops of sound, out of folders or out of WebDataset shards."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from ..resume import mixed_seed, run_seed
from .crops import GAIN_DB, SILENCE_RMS, CropDataset, FixedCropDataset, in_silence, rms, with_gain
from .items import item_of_sample
from .rendering import RenderingDataModule, RenderSettings, loader, positive
from .shard_stream import ShardStream, StreamLoader
from .shards import HOLD_OUT_EVERY, Sample, find_shards, held_out, holds_shards
from .sources import AudioFiles, Item, SoundSource


class AudioDataModule(RenderingDataModule):
    """Crops of sound for a codec: batches float32 `[B, C, N]`.

    Args:
        folders: rendered folders (audio.npy) and ordinary ones (wav, flac, ogg, mp3, any depth), in any mix;
            or WebDataset shards of sound only, see `shards.find_shards`. What the table of an ordinary one
            (its column "split") keeps for another purpose than "train" is left out.
        weights: how often each folder is used, relative to the others; default equally. Not for shards.
        val_folders: folders for validation; default: every 20th item of `folders`, which training then leaves
            out.
        segment_seconds: length of a crop, s.
        batch_size: B.
        sample_rate: Hz; ordinary files are resampled, rendered folders must have it.
        channels: C, 1 or 2. Everything is mixed to it; one channel is doubled.
        samples_per_epoch: crops an epoch.
        val_samples: crops of validation, always the same.
        num_workers: loading processes; 0 loads in the main one.
        max_gigabytes: memory that one ordinary folder may take.
        render: what is rendered where a folder is missing.
    """

    def __init__(
        self,
        folders: list[str],
        weights: list[float] | None = None,
        val_folders: list[str] | None = None,
        segment_seconds: float = 1.0,
        batch_size: int = 16,
        sample_rate: int = 16000,
        channels: int = 1,
        samples_per_epoch: int = 16000,
        val_samples: int = 256,
        num_workers: int = 0,
        max_gigabytes: float = 4.0,
        render: RenderSettings = RenderSettings(),
    ) -> None:
        super().__init__(render, sample_rate)
        if not folders:
            raise ValueError("folders is empty; name at least one folder of sound")
        if weights is not None and (len(weights) != len(folders) or min(weights) < 0 or sum(weights) <= 0):
            raise ValueError(
                f"weights must be {len(folders)} numbers of 0 or more, one a folder, got {weights}"
            )
        if not 0.01 <= segment_seconds <= 600:
            raise ValueError(f"segment_seconds must be 0.01..600, got {segment_seconds}")
        if channels not in (1, 2):
            raise ValueError(f"channels must be 1 or 2, got {channels}")
        self.folders, self.val_folders = list(folders), list(val_folders or [])
        self.streamed = {holds_shards(folder) for folder in (*self.folders, *self.val_folders)} == {True}
        if self.streamed and weights is not None:
            raise ValueError(f"weights is {weights}, but shards are read in turn; leave weights out")
        self.weights = [1.0] * len(folders) if weights is None else list(weights)
        self.segment, self.channels = round(segment_seconds * sample_rate), channels
        self.batch_size, self.num_workers = positive("batch_size", batch_size), num_workers
        self.samples_per_epoch = positive("samples_per_epoch", samples_per_epoch)
        self.val_samples = positive("val_samples", val_samples)
        self.max_gigabytes = max_gigabytes

    def prepare_data(self) -> None:
        for split, name, folders in (
            ("train", "folders", self.folders),
            ("validation", "val_folders", self.val_folders),
        ):
            for position, folder in enumerate(folders):
                if not holds_shards(folder):
                    self.render_missing(folder, split, self.render.seed + position, f"{name} '[FOLDER]'")

    def setup(self, stage: str | None = None) -> None:
        self.check_model(channels=self.channels, samples=self.segment)
        if self.streamed:
            self.train_shards = [shard for folder in self.folders for shard in find_shards(folder)]
            self.val_shards = [shard for folder in self.val_folders for shard in find_shards(folder)]
            return
        sources = [self._source(folder, "train") for folder in self.folders]
        if self.val_folders:
            train_items: list[Sequence[int]] = [range(len(source)) for source in sources]
            val_sources = [self._source(folder) for folder in self.val_folders]
            val_items: list[Sequence[int]] = [range(len(source)) for source in val_sources]
        else:
            val_sources = sources
            val_items = [range(0, len(source), HOLD_OUT_EVERY) for source in sources]
            train_items = [[i for i in range(len(source)) if i % HOLD_OUT_EVERY] for source in sources]
            for folder, items in zip(self.folders, train_items, strict=True):
                if not items:
                    raise ValueError(
                        f"{folder} holds one item only: nothing is left to validate; set val_folders"
                    )
        self.train_set = CropDataset(
            sources,
            self.weights,
            train_items,
            self.segment,
            self.samples_per_epoch,
            channels=self.channels,
        )
        self.val_set = FixedCropDataset(
            val_sources, val_items, self.segment, self.val_samples, channels=self.channels
        )

    def _source(self, folder: str, split: str | None = None) -> SoundSource:
        if holds_shards(folder):
            raise ValueError(
                f"{folder} holds shards, which cannot be mixed with folders; make shards of all, or unpack "
                "them"
            )
        path = self.locate(folder)
        if (path / "audio.npy").is_file():
            return self.open_rendered(folder)
        return AudioFiles(path, self.sample_rate, self.max_gigabytes, self.channels, split)

    def train_dataloader(self) -> Any:
        if not self.streamed:
            return loader(self.train_set, self.batch_size, self.num_workers, shuffle=True)
        batches = self.samples_per_epoch // self.process[1] // self.batch_size
        return StreamLoader(self._stream(self.train_shards, max(1, batches)), self.num_workers)

    def val_dataloader(self) -> DataLoader[Tensor]:
        if not self.streamed:
            return loader(self.val_set, self.batch_size, self.num_workers)
        stream = self._stream(self.val_shards or self.train_shards, None)
        return DataLoader(stream, batch_size=None, num_workers=min(1, self.num_workers))

    def test_dataloader(self) -> DataLoader[Tensor]:
        return self.val_dataloader()

    def predict_dataloader(self) -> DataLoader[Tensor]:
        return self.val_dataloader()

    def _stream(self, shards: list[str], batches: int | None) -> ShardStream:
        rank, world = self.process
        return ShardStream(
            shards,
            partial(self._crop, held=None if self.val_shards else batches is None),
            _stack,
            batch_size=self.batch_size,
            batches=batches,
            seed=mixed_seed(run_seed()),
            rank=rank,
            world_size=world,
            limit=self.val_samples,
        )

    def _crop(self, sample: Sample, generator: torch.Generator | None, held: bool | None) -> Item | None:
        """A crop of a shard's sample as training takes it; None: silent, or (not) one of those held out."""
        if held is not None and held_out(sample.key) != held:
            return None
        item = item_of_sample(sample, self.sample_rate, self.channels, self.segment, generator)
        assert item.audio is not None
        rng = np.random.default_rng(0 if generator is None else generator.initial_seed())
        crop = in_silence(item.audio.numpy(), self.segment, rng)
        if rms(crop) < SILENCE_RMS:
            return None
        gain_db = (0.0, 0.0) if generator is None else GAIN_DB
        return Item("", audio=with_gain(crop, gain_db, rng))


def _stack(items: list[Item]) -> Tensor:
    return torch.stack([item.audio for item in items if item.audio is not None])
