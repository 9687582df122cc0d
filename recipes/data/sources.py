"""Sources of training data: folders of recordings, renderings and encoded sound, and a crop out of any.

A `SoundSource` gives samples of an item from here to there, for codecs; a `CaptionedSource` gives a crop of
it with one of its captions, for the language model, and draws from torch's generator, which
recipes/resume.py seeds for every item.

Letters: C channels, N samples, K codebooks, T frames, L text tokens, D text width.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from ...core.audio import AudioError, mix
from ...core.failures import Failure, attempt, said
from .crop import crop_start
from .encoded_files import CODES, PREPARED, TEXT
from .folder import UNREADABLE, Recording, list_folder, read_part, sound_seconds
from .shards import HOLD_OUT_EVERY

logger = logging.getLogger(__name__)

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


@dataclass
class Item:
    """One training example: a caption with sound or with codes.

    Attributes:
        caption: empty where there is none.
        audio: float32 `[C, n]`, or None.
        codes: int64 `[K, t]`, or None.
        states: the caption as encoded in advance, `[L, D]`, or None.
    """

    caption: str
    audio: Tensor | None = None
    codes: Tensor | None = None
    states: Tensor | None = None


class CaptionedSource(Protocol):
    """A folder of items."""

    def __len__(self) -> int: ...

    def group(self, item: int) -> Hashable:
        """What the items of one recording have in common; they stay together when some are held out."""
        ...

    def read(self, item: int, generator: torch.Generator | None) -> Item:
        """A stretch of an item at random, or (None) its beginning under its first caption.

        Raises:
            AudioError: it cannot be read.
        """
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
    """A folder written by recipes/foley/render_dataset.py: int16 clips, memory-mapped, with their metadata.

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
        split: leave out what a table says to be of another split; None: take all.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: no sound file, none of the split or that can be read, or too much sound.
    """

    def __init__(
        self,
        folder: str | Path,
        sample_rate: int,
        max_gigabytes: float = 4.0,
        channels: int = 1,
        split: str | None = None,
    ) -> None:
        listing = list_folder(folder)
        listing.check()
        if split is not None:
            listing.keep_split(split, or_none=True)
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


class RecordingSource:
    """Sound files, of which only the stretch that is asked for is decoded.

    Args:
        recordings: see `folder.read_folder`.
        sample_rate: Hz.
        channels: 1 or 2.
        samples: N, longest stretch.
    """

    def __init__(
        self, recordings: Sequence[Recording], sample_rate: int, channels: int, samples: int
    ) -> None:
        self.recordings, self.sample_rate, self.channels = recordings, sample_rate, channels
        self.seconds = samples / sample_rate

    def __len__(self) -> int:
        return len(self.recordings)

    def group(self, item: int) -> Hashable:
        return item

    def read(self, item: int, generator: torch.Generator | None) -> Item:
        recording = self.recordings[item]
        caption, place = choose(recording.captions, generator), random_place(generator)
        audio = attempt(
            str(recording.path),
            read_part,
            recording.path,
            self.sample_rate,
            self.channels,
            seconds=self.seconds,
            place=place,
        )
        if isinstance(audio, Failure):
            raise AudioError(said(audio)) from audio.error
        return Item(caption, audio=audio)


class RenderedSource:
    """Clips of a rendered folder (audio.npy, metadata.jsonl)."""

    def __init__(self, folder: RenderedFolder, channels: int, samples: int) -> None:
        self.folder, self.channels, self.samples = folder, channels, samples

    def __len__(self) -> int:
        return len(self.folder)

    def group(self, item: int) -> Hashable:
        return item

    def read(self, item: int, generator: torch.Generator | None) -> Item:
        caption = choose(captions_of_entry(self.folder.entries[item]), generator)
        start, stop = crop_bounds(self.folder.length(item), self.samples, generator)
        audio = torch.from_numpy(self.folder.read(item, start, stop))[None]
        return Item(caption, audio=mix(audio, self.channels))


class EncodedSource:
    """Codes of a folder, with their captions.

    Args:
        folder: see encoded_files.py; prepared.json and text.npy may be missing.
        frames: longest stretch.

    Raises:
        FileNotFoundError: a file is missing; names the command that makes it.
        ValueError: the files do not fit together.
    """

    def __init__(self, folder: str | Path, frames: int) -> None:
        self.folder, self.frames = Path(folder), frames
        path = self.folder / CODES
        if not path.is_file():
            raise FileNotFoundError(
                f"{path} is missing; make it with: "
                f"soundloom prepare {self.folder} --codec seanet-16khz (a rendered folder), or: "
                f"soundloom prepare SOUNDS -o {self.folder} --codec seanet-16khz"
            )
        self.codes = np.load(path, mmap_mode="r")
        self.entries = read_metadata(self.folder)
        if self.codes.ndim != 3 or self.codes.dtype != np.int16:
            raise ValueError(f"{path} is {self.codes.dtype} {self.codes.shape}, expected int16 [n, K, T]")
        if len(self.entries) != len(self.codes) or not self.entries:
            raise ValueError(
                f"{path} has {len(self.codes)} items but metadata.jsonl {len(self.entries)}; encode it anew"
            )
        states = self.folder / TEXT
        self.states = np.load(states, mmap_mode="r") if states.is_file() else None

    @property
    def num_codebooks(self) -> int:
        """K."""
        return int(self.codes.shape[1])

    def __len__(self) -> int:
        return len(self.codes)

    def group(self, item: int) -> Hashable:
        return self.entries[item].get("file_name", item)

    def read(self, item: int, generator: torch.Generator | None) -> Item:
        entry = self.entries[item]
        captions = captions_of_entry(entry)
        which = below(len(captions), generator)
        length = min(int(entry.get("frames", self.codes.shape[2])), self.codes.shape[2])
        start, stop = crop_bounds(length, self.frames, generator)
        codes = torch.from_numpy(self.codes[item, :, start:stop].astype(np.int64))
        states = None
        if self.states is not None:
            first, last = entry["text"][which] if captions else (0, 0)
            states = torch.from_numpy(self.states[first:last].astype(np.float32))
        return Item(captions[which] if captions else "", codes=codes, states=states)


def read_prepared(folder: Path) -> dict[str, Any] | None:
    """What prepared.json says of an encoded folder (codec, frame_rate, text_encoder, …), if it is there."""
    path = folder / PREPARED
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def captions_of_entry(entry: dict[str, Any]) -> Sequence[str]:
    """The captions in a line of our own metadata.jsonl; none is an empty sequence."""
    return entry.get("captions") or ([entry["caption"]] if entry.get("caption") else [])


def below(stop: int, generator: torch.Generator | None) -> int:
    """A number of 0..stop-1 at random; 0 without a generator, or if there is no other."""
    return 0 if generator is None or stop < 2 else int(torch.randint(stop, (), generator=generator))


def random_place(generator: torch.Generator | None) -> float:
    """A number between 0 and 1; 0 without a generator."""
    return 0.0 if generator is None else float(torch.rand((), generator=generator))


def choose(captions: Sequence[str], generator: torch.Generator | None) -> str:
    """One caption at random, the first without a generator, "" if there are none."""
    return captions[below(len(captions), generator)] if captions else ""


def crop_bounds(length: int, longest: int, generator: torch.Generator | None) -> tuple[int, int]:
    """Start and stop of a crop of at most `longest`: at random, or from 0 without a generator."""
    start = crop_start(length, longest, random_place(generator))
    return start, min(length, start + longest)


def hold_out(source: CaptionedSource) -> tuple[list[int], list[int]]:
    """Items to train on and items to validate on: those of every 20th recording."""
    order: dict[Hashable, int] = {}
    train: list[int] = []
    held: list[int] = []
    for item in range(len(source)):
        number = order.setdefault(source.group(item), len(order))
        (train if number % HOLD_OUT_EVERY else held).append(item)
    return train, held
