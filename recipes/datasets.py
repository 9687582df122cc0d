"""Sound on disk as torch datasets: rendered folders, ordinary audio folders, and folders of codec tokens."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import soundfile
import torch
from torch import Tensor
from torch.utils.data import Dataset

from ..codecs.audio import mix, read_audio, resample

logger = logging.getLogger(__name__)

AUDIO_SUFFIXES = (".wav", ".flac", ".ogg", ".mp3")
SILENCE_RMS = 1e-3  # a crop below this is drawn again
HOLD_OUT_EVERY = 20  # without validation folders, item 0, 20, 40, ... of each folder is kept for validation
_MAX_REDRAWS = 20
_FULL_SCALE = 32767.0


class SoundSource(Protocol):
    """Something that sounds can be cut from."""

    def __len__(self) -> int: ...

    def length(self, item: int) -> int:
        """Samples in an item."""
        ...

    def read(self, item: int, start: int, stop: int) -> np.ndarray:
        """Samples start..stop of an item, float32 `[n]`."""
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
    """All wav, flac, ogg and mp3 files below a folder, decoded once into memory as mono int16.

    Args:
        folder: searched recursively, in sorted order.
        sample_rate: Hz that everything is resampled to.
        max_gigabytes: refuse folders that would need more memory.

    Raises:
        ValueError: no sound file, or too much sound.
    """

    def __init__(self, folder: str | Path, sample_rate: int, max_gigabytes: float = 4.0) -> None:
        paths = sorted(
            p for p in Path(folder).rglob("*") if p.suffix.lower() in AUDIO_SUFFIXES and p.is_file()
        )
        if not paths:
            raise ValueError(f"{folder} holds no sound file; known: {', '.join(AUDIO_SUFFIXES)}")
        seconds = sum(soundfile.info(str(path)).duration for path in paths)
        needed = seconds * sample_rate * 2 / 1e9
        if needed > max_gigabytes:
            raise ValueError(
                f"{folder} holds {seconds / 3600:.1f} h of sound, {needed:.1f} GB in memory; allowed are "
                f"{max_gigabytes} GB. Name a smaller folder or raise max_gigabytes"
            )
        self.folder, self.sample_rate, self.names = Path(folder), sample_rate, [p.name for p in paths]
        self.audio = [load_mono(path, sample_rate) for path in paths]
        logger.info("%s: %d files, %.0f s of sound", folder, len(paths), seconds)

    def __len__(self) -> int:
        return len(self.audio)

    def length(self, item: int) -> int:
        return len(self.audio[item])

    def read(self, item: int, start: int, stop: int) -> np.ndarray:
        return self.audio[item][start:stop].astype(np.float32) / np.float32(_FULL_SCALE)


def load_mono(path: Path, sample_rate: int) -> np.ndarray:
    """Read a sound file as mono int16 `[N]` at `sample_rate` Hz; overshoot of the resampling is clipped."""
    samples, rate = read_audio(path)
    samples = resample(mix(samples, 1), rate, sample_rate)[0].clamp(-1.0, 1.0)
    return (samples * _FULL_SCALE).round().to(torch.int16).numpy()


class CropDataset(Dataset[Tensor]):
    """Random crops `[1, N]` of several sources, for training a codec.

    The index only decorrelates parallel processes: what is drawn comes from torch's generator, so
    `seed_everything` makes it repeatable and every epoch brings new crops.

    Args:
        sources: where sounds are cut from.
        weights: how often each source is used, relative to the others.
        items: for each source, the items that may be used.
        segment: N, samples in a crop.
        size: crops an epoch.
        gain_db: range of the random gain, dB.
    """

    def __init__(
        self,
        sources: Sequence[SoundSource],
        weights: Sequence[float],
        items: Sequence[Sequence[int]],
        segment: int,
        size: int,
        gain_db: tuple[float, float] = (-6.0, 3.0),
    ) -> None:
        self.sources, self.items, self.segment, self.size, self.gain_db = (
            sources,
            items,
            segment,
            size,
            gain_db,
        )
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
        crop = crop * np.float32(10 ** (rng.uniform(*self.gain_db) / 20))
        return torch.from_numpy(crop / max(1.0, float(np.abs(crop).max())))[None]


class FixedCropDataset(Dataset[Tensor]):
    """The same crops `[1, N]` every time, for validation: loud places in evenly spread items."""

    def __init__(
        self, sources: Sequence[SoundSource], items: Sequence[Sequence[int]], segment: int, size: int
    ) -> None:
        places = [(source, item) for source, chosen in zip(sources, items, strict=True) for item in chosen]
        size = min(size, len(places))
        self.crops = []
        for i in range(size):
            source, item = places[i * len(places) // size]
            rng = np.random.default_rng(i)
            self.crops.append(max((random_crop(rng, source, item, segment) for _ in range(4)), key=rms))

    def __len__(self) -> int:
        return len(self.crops)

    def __getitem__(self, index: int) -> Tensor:
        return torch.from_numpy(self.crops[index])[None]


def random_crop(rng: np.random.Generator, source: SoundSource, item: int, segment: int) -> np.ndarray:
    """Cut float32 `[segment]` at random; an item that is shorter lies at a random place in silence."""
    length = source.length(item)
    if length >= segment:
        start = int(rng.integers(length - segment + 1))
        return source.read(item, start, start + segment)
    crop = np.zeros(segment, dtype=np.float32)
    start = int(rng.integers(segment - length + 1))
    crop[start : start + length] = source.read(item, 0, length)
    return crop


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


class TokenDataset(Dataset[tuple[Tensor, str]]):
    """Codec tokens of a folder with one of their captions: (codes int64 `[K, T]`, prompt).

    Args:
        folder: holds codes.npy int16 `[n, K, T]` and metadata.jsonl, as written by recipes/encode.py.
        frames: longest T; longer items are cut to it.
        random_captions: any of an item's captions, and any place of a long item; otherwise always the first.

    Raises:
        FileNotFoundError: a file is missing; names the command that makes it.
        ValueError: the files do not fit together.
    """

    def __init__(self, folder: str | Path, frames: int, random_captions: bool) -> None:
        self.folder, self.frames, self.random_captions = Path(folder), frames, random_captions
        path = self.folder / "codes.npy"
        if not path.is_file():
            raise FileNotFoundError(
                f"{path} is missing; make it with: python -m soundloom.recipes.encode {self.folder} "
                "--codec seanet-16khz"
            )
        self.codes = np.load(path, mmap_mode="r")
        entries = read_metadata(self.folder)
        if self.codes.ndim != 3 or self.codes.dtype != np.int16:
            raise ValueError(f"{path} is {self.codes.dtype} {self.codes.shape}, expected int16 [n, K, T]")
        if len(entries) != len(self.codes) or not entries:
            raise ValueError(
                f"{path} has {len(self.codes)} items but metadata.jsonl {len(entries)}; encode it anew"
            )
        self.captions = [e.get("captions") or [e["caption"]] for e in entries]
        self.lengths = [min(int(e.get("frames", self.codes.shape[2])), self.codes.shape[2]) for e in entries]

    @property
    def num_codebooks(self) -> int:
        """K."""
        return int(self.codes.shape[1])

    def __len__(self) -> int:
        return len(self.codes)

    def __getitem__(self, index: int) -> tuple[Tensor, str]:
        length, start, captions = self.lengths[index], 0, self.captions[index]
        choice = 0
        if self.random_captions:
            choice = int(torch.randint(len(captions), ()))
            start = int(torch.randint(max(0, length - self.frames) + 1, ()))
        codes = self.codes[index, :, start : min(length, start + self.frames)].astype(np.int64)
        return torch.from_numpy(codes), captions[choice]


def collate_tokens(items: Sequence[tuple[Tensor, str]], frames: int) -> dict[str, Any]:
    """Pad items to `frames`: codes int64 `[B, K, T]` (0 is padding too), lengths int64 `[B]`, prompts."""
    codes = torch.zeros(len(items), items[0][0].shape[0], frames, dtype=torch.int64)
    for row, (item, _) in zip(codes, items, strict=True):
        row[:, : item.shape[1]] = item
    return {
        "codes": codes,
        "lengths": torch.tensor([item.shape[1] for item, _ in items]),
        "prompts": [prompt for _, prompt in items],
    }
