"""LightningDataModules: sound for the codec, tokens for the language model, labelled clips for the judge.

A folder that is missing is an error that names the command which makes it, unless `render_clips` says how
many clips to render in its place. A debug run (`--trainer.fast_dev_run 2`) renders only a few, into
FOLDER-debug.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import lightning
from torch import Tensor
from torch.utils.data import ConcatDataset, DataLoader, Dataset

from .datasets import (
    HOLD_OUT_EVERY,
    AudioFiles,
    ClipDataset,
    CropDataset,
    FixedCropDataset,
    RenderedFolder,
    SoundSource,
    TokenDataset,
    collate_tokens,
)

logger = logging.getLogger(__name__)

_DEBUG_CLIPS = 48


class _RenderingDataModule(lightning.LightningDataModule):
    """What the modules over rendered folders share: finding their folders, and rendering missing ones.

    Args:
        render_clips: clips to render in place of a missing training folder (a tenth of it for validation);
            None: a missing folder is an error.
        render_jobs: processes that render.
        render_compositions: weights of the compositions to render, see recipes/foley/corpus.py.
        seconds: length of rendered clips, s.
        sample_rate: Hz.
    """

    batch_size: int

    def __init__(
        self,
        render_clips: int | None,
        render_jobs: int,
        render_compositions: Mapping[str, float] | None,
        seconds: float,
        sample_rate: int,
    ) -> None:
        super().__init__()
        if render_clips is not None and render_clips < HOLD_OUT_EVERY * 2:
            raise ValueError(
                f"render_clips must be {HOLD_OUT_EVERY * 2} or more (or null), got {render_clips}"
            )
        self.render_clips, self.render_jobs, self.render_compositions = (
            render_clips,
            render_jobs,
            render_compositions,
        )
        self.seconds, self.sample_rate = seconds, sample_rate

    @property
    def _debugging(self) -> bool:
        return self.trainer is not None and bool(getattr(self.trainer, "fast_dev_run", False))

    def _locate(self, folder: str) -> Path:
        """Return the folder, or in a debug run its small stand-in."""
        path = Path(folder)
        if not path.is_dir() and self.render_clips is not None and self._debugging:
            return path.with_name(path.name + "-debug")
        return path

    def _prepare(self, folder: str, split: str, seed: int) -> None:
        """Render the folder if it is missing and that is wanted."""
        path = self._locate(folder)
        if path.is_dir():
            return
        clips = self.render_clips
        if clips is None:
            raise FileNotFoundError(
                f"{path} does not exist; render it with: python -m soundloom.recipes.foley.render {path} "
                f"--clips 20000 --split {split} --seed {seed} --sample-rate {self.sample_rate} "
                "(or let render_clips say how many clips to render)"
            )
        if split != "train":
            clips = max(HOLD_OUT_EVERY, clips // 10)
        if self._debugging:
            clips = min(clips, max(_DEBUG_CLIPS, 2 * self.batch_size))
        from .foley.render import render_dataset  # only needed where something is missing

        def report(done: int, total: int) -> None:
            if done == total or done % max(32, total // 320 * 32) < 32:
                logger.info("rendering %s: %d of %d clips", path, done, total)

        render_dataset(
            path,
            clips=clips,
            split=split,
            seed=seed,
            seconds=self.seconds,
            sample_rate=self.sample_rate,
            jobs=1 if self._debugging else self.render_jobs,
            compositions=self.render_compositions,
            progress=report,
        )

    def _open(self, folder: str) -> RenderedFolder:
        rendered = RenderedFolder(self._locate(folder))
        if rendered.sample_rate != self.sample_rate:
            raise ValueError(
                f"{rendered.folder} is rendered at {rendered.sample_rate} Hz, wanted {self.sample_rate} Hz; "
                f"render it with --sample-rate {self.sample_rate}"
            )
        return rendered


class ClipDataModule(_RenderingDataModule):
    """Clips of one sound each with their class: batches (audio float32 `[B, N]`, class int64 `[B]`).

    Args:
        train_dir: rendered folder to train on; its classes are `class_names`.
        val_dir: rendered folder to validate on.
        batch_size: B.
        num_workers: loading processes; 0 loads in the main one.
        seed: corpus seed for rendering (the validation folder uses its own split, so nothing is shared).

    See _RenderingDataModule for the rest.
    """

    def __init__(
        self,
        train_dir: str = "data/foley-judge/train",
        val_dir: str = "data/foley-judge/validation",
        batch_size: int = 64,
        num_workers: int = 0,
        sample_rate: int = 16000,
        seconds: float = 5.0,
        seed: int = 0,
        render_clips: int | None = None,
        render_jobs: int = 1,
    ) -> None:
        super().__init__(render_clips, render_jobs, {"single": 1.0}, seconds, sample_rate)
        self.train_dir, self.val_dir, self.seed = train_dir, val_dir, seed
        self.batch_size, self.num_workers = _positive("batch_size", batch_size), num_workers
        self.class_names: list[str] = []

    def prepare_data(self) -> None:
        self._prepare(self.train_dir, "train", self.seed)
        self._prepare(self.val_dir, "validation", self.seed)

    def setup(self, stage: str | None = None) -> None:
        train, val = self._open(self.train_dir), self._open(self.val_dir)
        folders = (
            (train, val) if self._debugging else (train,)
        )  # so few debug clips may miss a class in training
        self.class_names = sorted(
            {name for folder in folders for e in folder.entries for name in e["classes"]}
        )
        self.train_set = ClipDataset(train, self.class_names)
        self.val_set = ClipDataset(val, self.class_names)

    def train_dataloader(self) -> DataLoader[tuple[Tensor, int]]:
        return _loader(self.train_set, self.batch_size, self.num_workers, shuffle=True)

    def val_dataloader(self) -> DataLoader[tuple[Tensor, int]]:
        return _loader(self.val_set, self.batch_size, self.num_workers)


class AudioDataModule(_RenderingDataModule):
    """Crops of sound for a codec: batches float32 `[B, 1, N]`.

    Args:
        folders: rendered folders (audio.npy) and ordinary ones (wav, flac, ogg, mp3, any depth), in any mix.
        weights: how often each folder is used, relative to the others; default equally.
        val_folders: folders for validation; default: every 20th item of `folders`, which training then leaves
            out.
        segment_seconds: length of a crop, s.
        batch_size: B.
        sample_rate: Hz; ordinary files are resampled, rendered folders must have it.
        samples_per_epoch: crops an epoch.
        val_samples: crops of validation, always the same.
        num_workers: loading processes; 0 loads in the main one.
        max_gigabytes: memory that one ordinary folder may take.
        seed: corpus seed for rendering.

    See _RenderingDataModule for the rest.
    """

    def __init__(
        self,
        folders: list[str],
        weights: list[float] | None = None,
        val_folders: list[str] | None = None,
        segment_seconds: float = 1.0,
        batch_size: int = 16,
        sample_rate: int = 16000,
        samples_per_epoch: int = 16000,
        val_samples: int = 256,
        num_workers: int = 0,
        max_gigabytes: float = 4.0,
        seconds: float = 5.0,
        seed: int = 0,
        render_clips: int | None = None,
        render_jobs: int = 1,
    ) -> None:
        super().__init__(render_clips, render_jobs, None, seconds, sample_rate)
        if not folders:
            raise ValueError("folders is empty; name at least one folder of sound")
        if weights is not None and (len(weights) != len(folders) or min(weights) < 0 or sum(weights) <= 0):
            raise ValueError(
                f"weights must be {len(folders)} numbers of 0 or more, one a folder, got {weights}"
            )
        if not 0.01 <= segment_seconds <= 600:
            raise ValueError(f"segment_seconds must be 0.01..600, got {segment_seconds}")
        self.folders, self.val_folders, self.seed = list(folders), list(val_folders or []), seed
        self.weights = [1.0] * len(folders) if weights is None else list(weights)
        self.segment = round(segment_seconds * sample_rate)
        self.batch_size, self.num_workers = _positive("batch_size", batch_size), num_workers
        self.samples_per_epoch = _positive("samples_per_epoch", samples_per_epoch)
        self.val_samples = _positive("val_samples", val_samples)
        self.max_gigabytes = max_gigabytes

    def prepare_data(self) -> None:
        for position, folder in enumerate(self.folders):
            self._prepare(folder, "train", self.seed + position)
        for position, folder in enumerate(self.val_folders):
            self._prepare(folder, "validation", self.seed + position)

    def setup(self, stage: str | None = None) -> None:
        sources = [self._source(folder) for folder in self.folders]
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
        self.train_set = CropDataset(sources, self.weights, train_items, self.segment, self.samples_per_epoch)
        self.val_set = FixedCropDataset(val_sources, val_items, self.segment, self.val_samples)

    def _source(self, folder: str) -> SoundSource:
        path = self._locate(folder)
        if (path / "audio.npy").is_file():
            return self._open(folder)
        return AudioFiles(path, self.sample_rate, self.max_gigabytes)

    def train_dataloader(self) -> DataLoader[Tensor]:
        return _loader(self.train_set, self.batch_size, self.num_workers, shuffle=True)

    def val_dataloader(self) -> DataLoader[Tensor]:
        return _loader(self.val_set, self.batch_size, self.num_workers)


class TokenDataModule(_RenderingDataModule):
    """Codec tokens and prompts for the language model.

    Batches are dicts: "codes" int64 `[B, K, T]`, "lengths" int64 `[B]` (frames that are not padding), and
    "prompts", B texts (in training a random one of an item's captions, in validation its first).

    Args:
        train_dirs: encoded folders (codes.npy and metadata.jsonl) to train on.
        val_dirs: encoded folders to validate on.
        frames: T; shorter items are padded, longer ones cut.
        batch_size: B.
        repeats: how many times an epoch goes through each training folder; default once.
        num_workers: loading processes; 0 loads in the main one.
        codec: what encodes rendered folders that have no codes.npy yet, a folder or a name; None: such a
        folder is
            an error.
        seed: corpus seed for rendering.

    See _RenderingDataModule for the rest.
    """

    def __init__(
        self,
        train_dirs: list[str],
        val_dirs: list[str],
        frames: int = 250,
        batch_size: int = 16,
        repeats: list[int] | None = None,
        num_workers: int = 0,
        codec: str | None = None,
        sample_rate: int = 16000,
        seconds: float = 5.0,
        seed: int = 0,
        render_clips: int | None = None,
        render_jobs: int = 1,
        render_compositions: dict[str, float] | None = None,
    ) -> None:
        super().__init__(render_clips, render_jobs, render_compositions, seconds, sample_rate)
        if not train_dirs or not val_dirs:
            raise ValueError("train_dirs and val_dirs must each name at least one encoded folder")
        if repeats is not None and (len(repeats) != len(train_dirs) or min(repeats) < 1):
            raise ValueError(
                f"repeats must be {len(train_dirs)} numbers of 1 or more, one a folder, got {repeats}"
            )
        self.train_dirs, self.val_dirs = list(train_dirs), list(val_dirs)
        self.frames, self.batch_size = _positive("frames", frames), _positive("batch_size", batch_size)
        self.repeats = [1] * len(train_dirs) if repeats is None else list(repeats)
        self.num_workers, self.codec, self.seed = num_workers, codec, seed

    def prepare_data(self) -> None:
        if self.codec is None:
            return
        for position, folder in enumerate(self.train_dirs):
            self._prepare(folder, "train", self.seed + position)
            self._encode(folder)
        for position, folder in enumerate(self.val_dirs):
            self._prepare(folder, "validation", self.seed + position)
            self._encode(folder)

    def _encode(self, folder: str) -> None:
        """Write codes.npy where there is only audio.npy."""
        path = self._locate(folder)
        if (path / "codes.npy").is_file() or not (path / "audio.npy").is_file():
            return
        from ..codecs.base import load_codec
        from .encode import encode_rendered

        assert self.codec is not None
        logger.info("encoding %s with %s", path, self.codec)
        encode_rendered(path, load_codec(self.codec))

    def setup(self, stage: str | None = None) -> None:
        train = [
            TokenDataset(self._locate(folder), self.frames, random_captions=True)
            for folder in self.train_dirs
        ]
        val = [
            TokenDataset(self._locate(folder), self.frames, random_captions=False) for folder in self.val_dirs
        ]
        books = {str(data.folder): data.num_codebooks for data in (*train, *val)}
        if len(set(books.values())) > 1:
            raise ValueError(f"the folders were encoded with different numbers of codebooks: {books}")
        repeated = [data for data, times in zip(train, self.repeats, strict=True) for _ in range(times)]
        self.train_set: Dataset[Any] = ConcatDataset(repeated)
        self.val_set: Dataset[Any] = ConcatDataset(val)

    def train_dataloader(self) -> DataLoader[dict[str, Any]]:
        collate = partial(collate_tokens, frames=self.frames)
        return _loader(self.train_set, self.batch_size, self.num_workers, shuffle=True, collate_fn=collate)

    def val_dataloader(self) -> DataLoader[dict[str, Any]]:
        collate = partial(collate_tokens, frames=self.frames)
        return _loader(self.val_set, self.batch_size, self.num_workers, collate_fn=collate)


def _positive(name: str, value: int) -> int:
    if value < 1:
        raise ValueError(f"{name} must be 1 or more, got {value}")
    return value


def _loader(
    data: Dataset[Any], batch_size: int, workers: int, shuffle: bool = False, **more: Any
) -> DataLoader[Any]:
    """Training loaders shuffle and drop the incomplete last batch, if there is any other."""
    drop_last = shuffle and len(data) >= batch_size  # type: ignore[arg-type]
    return DataLoader(
        data,
        batch_size=batch_size,
        shuffle=shuffle,
        drop_last=drop_last,
        num_workers=workers,
        persistent_workers=workers > 0,
        **more,
    )
