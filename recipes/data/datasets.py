"""Sound on disk as torch datasets: rendered folders, ordinary folders, crops and labelled clips of them."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from ...core.failures import Failure, attempt, said
from .folder import UNREADABLE, list_folder, read_part, sound_seconds

logger = logging.getLogger(__name__)

SILENCE_RMS = 1e-3  # a crop below this is drawn again
HOLD_OUT_EVERY = 20  # without validation folders, item 0, 20, 40, ... of each folder is kept for validation
GAIN_DB = (-6.0, 3.0)  # range of the random gain of a training crop, dB
_MAX_REDRAWS = 20
_FULL_SCALE = 32767.0


class SoundSource(Protocol):
    """Something that sounds can be cut from."""

    def __len__(self) -> int: ...

    def length(self, item: int) -> int:
        """Samples in an item."""
        ...

    def read(self, item: int, start: int, stop: int) -> np.ndarray:
        """Samples start..stop of an item, float32 `[n]` (one channel) or `[C, n]`."""
        ...


def read_metadata(folder: Path) -> list[dict[str, Any]]:
    """Read FOLDER/metadata.jsonl; one dict a line.

    Raises:
        FileNotFoundError: the file is missing.
        ValueError: a line is not JSON.
    """
    path = folder / "metadata.jsonl"
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing; {folder} is no rendered or encoded folder")
    entries = []
    with open(path, encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                entries.append(json.loads(line))
            except json.JSONDecodeError as error:
                raise ValueError(
                    f"{path}, line {number}: not valid JSON ({error}); make the folder anew"
                ) from error
    return entries


class RenderedFolder:
    """A folder written by recipes/foley/render.py: int16 clips, memory-mapped, with their metadata.

    Raises:
        FileNotFoundError: audio.npy or metadata.jsonl is missing.
        ValueError: the two do not fit together.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        path = self.folder / "audio.npy"
        if not path.is_file():
            raise FileNotFoundError(f"{path} is missing; {self.folder} is no rendered folder")
        self.audio = np.load(path, mmap_mode="r")
        self.entries = read_metadata(self.folder)
        if self.audio.ndim != 2 or self.audio.dtype != np.int16:
            raise ValueError(f"{path} is {self.audio.dtype} {self.audio.shape}, expected int16 [clips, N]")
        if len(self.entries) != len(self.audio) or not self.entries:
            raise ValueError(
                f"{self.folder}: {len(self.audio)} clips but {len(self.entries)} lines of metadata; "
                "render it anew"
            )
        self.sample_rate = int(self.entries[0]["sample_rate"])

    def __len__(self) -> int:
        return len(self.audio)

    def length(self, item: int) -> int:
        return int(self.audio.shape[1])

    def read(self, item: int, start: int, stop: int) -> np.ndarray:
        return self.audio[item, start:stop].astype(np.float32) / np.float32(_FULL_SCALE)


class AudioFiles:
    """All sound files below a folder, decoded once into memory as int16.

    A file that cannot be read is left out with a warning that names it.

    Args:
        folder: searched recursively, in sorted order.
        sample_rate: Hz that everything is resampled to.
        max_gigabytes: refuse folders that would need more memory.
        channels: 1 or 2, what everything is mixed to.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: no sound file, none that can be read, or too much sound.
    """

    def __init__(
        self, folder: str | Path, sample_rate: int, max_gigabytes: float = 4.0, channels: int = 1
    ) -> None:
        listing = list_folder(folder)
        listing.check()
        for problem in listing.problems:
            if problem.kind == UNREADABLE:
                logger.warning("left out: %s", problem)
        self.folder, self.sample_rate, self.channels = Path(folder), sample_rate, channels
        self.names: list[str] = []
        self.audio: list[np.ndarray] = []
        problems: list[Failure] = []
        room = max_gigabytes * 1e9 / 2
        for recording in listing.recordings:
            expected = attempt(str(recording.path), _expected_samples, recording.path, sample_rate)
            if isinstance(expected, Failure):
                problems.append(expected)
                logger.warning("left out: %s", said(expected))
                continue
            room -= expected * channels
            if room < 0:
                raise ValueError(
                    f"{folder} holds too much sound, more than {max_gigabytes} GB in memory. Name a "
                    "smaller folder, raise max_gigabytes, or make shards of it: soundloom prepare FOLDER "
                    "-o OUT --shards"
                )
            sound = attempt(str(recording.path), load_int16, recording.path, sample_rate, channels)
            if isinstance(sound, Failure):
                problems.append(sound)
                logger.warning("left out: %s", said(sound))
                continue
            self.audio.append(sound)
            self.names.append(recording.path.name)
        if not self.audio:
            raise ValueError(
                f"none of the {len(problems)} sound files in {folder} can be read: {said(problems[0])}"
            )
        seconds = sum(sound.shape[1] for sound in self.audio) / sample_rate
        logger.info("%s: %d files, %.0f s of sound", folder, len(self.audio), seconds)

    def __len__(self) -> int:
        return len(self.audio)

    def length(self, item: int) -> int:
        return int(self.audio[item].shape[1])

    def read(self, item: int, start: int, stop: int) -> np.ndarray:
        return self.audio[item][:, start:stop].astype(np.float32) / np.float32(_FULL_SCALE)


def _expected_samples(path: Path, sample_rate: int) -> float:
    """Samples that a file will have at `sample_rate`."""
    return sound_seconds(path) * sample_rate


def load_int16(path: Path, sample_rate: int, channels: int = 1) -> np.ndarray:
    """Read a sound file as int16 `[C, N]` at `sample_rate` Hz; overshoot of the resampling is clipped."""
    samples = read_part(path, sample_rate, channels).clamp(-1.0, 1.0)
    return (samples * _FULL_SCALE).round().to(torch.int16).numpy()


class CropDataset(Dataset[Tensor]):
    """Random crops `[C, N]` of several sources, for training a codec.

    The index only decorrelates parallel processes: what is drawn comes from torch's generator, so
    `seed_everything` makes it repeatable and every epoch brings new crops.

    Args:
        sources: where sounds are cut from.
        weights: how often each source is used, relative to the others.
        items: for each source, the items that may be used.
        segment: N, samples in a crop.
        size: crops an epoch.
        gain_db: range of the random gain, dB.
        channels: C; one channel is doubled to two.
    """

    def __init__(
        self,
        sources: Sequence[SoundSource],
        weights: Sequence[float],
        items: Sequence[Sequence[int]],
        segment: int,
        size: int,
        gain_db: tuple[float, float] = GAIN_DB,
        channels: int = 1,
    ) -> None:
        self.sources, self.items, self.segment, self.size = sources, items, segment, size
        self.gain_db, self.channels = gain_db, channels
        self._source_edges = np.cumsum(np.asarray(weights, dtype=np.float64) / np.sum(weights))
        # a long recording is worth more draws than a short hit, but no file takes all
        self._item_edges = []
        for source, chosen in zip(sources, items, strict=True):
            shares = np.clip([source.length(item) / segment for item in chosen], 1.0, 20.0)
            self._item_edges.append(np.cumsum(shares / shares.sum()))

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> Tensor:
        rng = np.random.default_rng((index, int(torch.randint(2**62, ()))))
        for _ in range(_MAX_REDRAWS):
            which = min(int(np.searchsorted(self._source_edges, rng.random())), len(self.sources) - 1)
            edges = self._item_edges[which]
            item = self.items[which][min(int(np.searchsorted(edges, rng.random())), len(edges) - 1)]
            crop = random_crop(rng, self.sources[which], item, self.segment)
            if rms(crop) >= SILENCE_RMS:
                break
        return with_gain(as_channels(crop, self.channels), self.gain_db, rng)


class FixedCropDataset(Dataset[Tensor]):
    """The same crops `[C, N]` every time, for validation: loud places in evenly spread items."""

    def __init__(
        self,
        sources: Sequence[SoundSource],
        items: Sequence[Sequence[int]],
        segment: int,
        size: int,
        channels: int = 1,
    ) -> None:
        places = [(source, item) for source, chosen in zip(sources, items, strict=True) for item in chosen]
        size = min(size, len(places))
        self.crops = []
        for i in range(size):
            source, item = places[i * len(places) // size]
            rng = np.random.default_rng(i)
            crop = max((random_crop(rng, source, item, segment) for _ in range(4)), key=rms)
            self.crops.append(as_channels(crop, channels))

    def __len__(self) -> int:
        return len(self.crops)

    def __getitem__(self, index: int) -> Tensor:
        return torch.from_numpy(self.crops[index])


def random_crop(rng: np.random.Generator, source: SoundSource, item: int, segment: int) -> np.ndarray:
    """Cut float32 `[..., segment]` at random; an item that is shorter lies at a random place in silence."""
    length = source.length(item)
    if length >= segment:
        start = int(rng.integers(length - segment + 1))
        return source.read(item, start, start + segment)
    return in_silence(source.read(item, 0, length), segment, rng)


def in_silence(sound: np.ndarray, segment: int, rng: np.random.Generator) -> np.ndarray:
    """Lay a short sound `[..., n]` at a random place in silence: float32 `[..., segment]`."""
    length = sound.shape[-1]
    crop = np.zeros((*sound.shape[:-1], segment), dtype=np.float32)
    start = int(rng.integers(segment - length + 1))
    crop[..., start : start + length] = sound
    return crop


def as_channels(crop: np.ndarray, channels: int) -> np.ndarray:
    """Make `[n]` or `[C, n]` a writable `[channels, n]`; one channel is repeated."""
    return np.array(np.broadcast_to(crop, (channels, crop.shape[-1])))


def with_gain(crop: np.ndarray, gain_db: tuple[float, float], rng: np.random.Generator) -> Tensor:
    """Change the level of a crop at random, within full scale."""
    crop = crop * np.float32(10 ** (rng.uniform(*gain_db) / 20))
    return torch.from_numpy(crop / max(1.0, float(np.abs(crop).max())))


def rms(samples: np.ndarray) -> float:
    """Root of the mean square."""
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))


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
