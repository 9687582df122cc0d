"""Captioned sound, or its codes, as a torch dataset for the language model.

A source is one folder: recordings (folder.py), rendered clips, or codes that `soundloom prepare` wrote. All
random choices (the stretch of sound, which of its captions) come from torch's generator, which
recipes/resume.py seeds for every item.

Letters: B items, C channels, N samples, K codebooks, T frames, L text tokens, D width of text states.
"""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from ...core.audio import AudioError, mix
from ...core.failures import Failure, attempt, said
from ...core.safetensors_files import load_safetensors
from ...gen.training.mixing import Clips, Mixing
from .datasets import HOLD_OUT_EVERY, RenderedFolder, read_metadata
from .encoded_files import CODES, PREPARED, TEXT
from .folder import AUDIO_SUFFIXES, Recording, read_part, side_car_captions
from .shards import Sample

logger = logging.getLogger(__name__)


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


class Source(Protocol):
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
        start, stop = stretch(self.folder.length(item), self.samples, generator)
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
        start, stop = stretch(length, self.frames, generator)
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


def stretch(length: int, longest: int, generator: torch.Generator | None) -> tuple[int, int]:
    """Start and stop of a stretch of at most `longest`: at random, or from 0 without a generator."""
    start = below(length - longest + 1, generator)
    return start, min(length, start + longest)


def hold_out(source: Source) -> tuple[list[int], list[int]]:
    """Items to train on and items to validate on: those of every 20th recording."""
    order: dict[Hashable, int] = {}
    train: list[int] = []
    held: list[int] = []
    for item in range(len(source)):
        number = order.setdefault(source.group(item), len(order))
        (train if number % HOLD_OUT_EVERY else held).append(item)
    return train, held


class ItemDataset(Dataset[Item]):
    """Items of several sources.

    An item that cannot be read is left out from then on, with one warning that names it (one in each loading
    process), and another one takes its place.

    Args:
        sources: where items come from.
        items: for each source, those of its items that are used.
        repeats: how many times an epoch holds each source.
        training: make random choices; off, an item is always the same.
        edit: applied to every caption.

    Raises:
        AudioError: (when items are read) none of them can be.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        items: Sequence[Sequence[int]],
        repeats: Sequence[int],
        training: bool,
        edit: Callable[[str], str] | None = None,
    ) -> None:
        self.sources, self.training, self.edit = sources, training, edit
        self._items = [
            np.tile(np.asarray(chosen, dtype=np.int64), times)
            for chosen, times in zip(items, repeats, strict=True)
        ]
        self._edges = np.cumsum([len(chosen) for chosen in self._items])
        self._usable = sum(map(len, items))
        self._bad: dict[tuple[int, int], str] = {}

    def __len__(self) -> int:
        return int(self._edges[-1])

    def __getitem__(self, index: int) -> Item:
        if not 0 <= index < len(self):
            raise IndexError(f"index {index} is outside this dataset of {len(self)} items")
        seed = int(torch.randint(2**62, ())) if self.training else 0
        for step in range(len(self)):
            place = (index + step) % len(self)
            which = int(np.searchsorted(self._edges, place, side="right"))
            item = int(self._items[which][place - self._edges[which]])  # counted from the end
            if (which, item) in self._bad:
                continue
            # Seeded anew: whether a bad item was known before must not change what takes its place.
            generator = torch.Generator().manual_seed(seed + step) if self.training else None
            source = self.sources[which]
            found = attempt(f"item {source.group(item)}", source.read, item, generator)
            if isinstance(found, Failure):
                self._leave_out((which, item), found)
                continue
            if self.edit is not None:
                found.caption = self.edit(found.caption)
            return found
        raise AudioError(self._nothing_left())

    def _leave_out(self, place: tuple[int, int], failure: Failure) -> None:
        reason = failure.reason if isinstance(failure.error, AudioError) else str(failure)
        self._bad[place] = reason
        if len(self._bad) >= self._usable:
            raise AudioError(self._nothing_left()) from failure.error
        logger.warning("left out from now on: %s", reason)

    def _nothing_left(self) -> str:
        first = next(iter(self._bad.values()), "")
        return f"none of the {len(self._bad)} sounds can be read; the first: {first}"


def item_of_sample(
    sample: Sample, sample_rate: int, channels: int, length: int, generator: torch.Generator | None
) -> Item:
    """An item out of a sample of a shard, at random or (None) from its beginning.

    Args:
        sample: raw or encoded.
        sample_rate: Hz wanted of sound.
        channels: wanted of sound.
        length: of the longest stretch, in samples or frames.
        generator: None makes no random choice.

    Raises:
        AudioError: it holds neither sound nor codes, or cannot be read.
    """
    try:
        if ".safetensors" in sample.members:
            return _encoded_item(sample, length, generator)
        captions: tuple[str, ...] = ()
        for suffix in (".json", ".txt"):
            if suffix in sample.members and not captions:
                captions = side_car_captions(sample.members[suffix], suffix)
    except (ValueError, KeyError) as error:
        raise AudioError(f"{sample} cannot be used ({error}); make the shards anew") from error
    sound = next((sample.members[suffix] for suffix in AUDIO_SUFFIXES if suffix in sample.members), None)
    if sound is None:
        found = ", ".join(sample.members)
        raise AudioError(f"{sample} holds no sound, only {found}; known: {', '.join(AUDIO_SUFFIXES)}")
    caption, place = choose(captions, generator), random_place(generator)
    audio = read_part(
        io.BytesIO(sound),
        sample_rate,
        channels,
        seconds=length / sample_rate,
        place=place,
        name=str(sample),
    )
    return Item(caption, audio=audio)


def _encoded_item(sample: Sample, frames: int, generator: torch.Generator | None) -> Item:
    tensors = load_safetensors(sample.members[".safetensors"], str(sample))
    captions = captions_of_entry(json.loads(sample.members[".json"]))
    which = below(len(captions), generator)
    codes = tensors["codes"].long()
    start, stop = stretch(codes.shape[1], frames, generator)
    states = tensors.get(f"text.{which}")
    return Item(
        captions[which] if captions else "",
        codes=codes[:, start:stop],
        states=None if states is None else states.float(),
    )


def collate_items(
    items: Sequence[Item], length: int, mixing: Mixing | None = None, batch_size: int = 0, tail: int = 0
) -> dict[str, Any]:
    """Make the batch that AudioGenModule takes (see `CodeBatch`), padded with zeros.

    Args:
        items: all with sound, or all with codes.
        length: N or T of the batch.
        mixing: makes a batch of `batch_size` out of more items with sound; it draws from torch's generator.
        batch_size: see `mixing`.
        tail: how many samples of the padding after sound count as part of it: silence to be learned.
    """
    captions = [item.caption for item in items]
    if items[0].codes is None:
        audio, lengths = _padded([item.audio for item in items if item.audio is not None], length)
        if mixing is not None:
            generator = torch.Generator().manual_seed(int(torch.randint(2**62, ())))
            mixed = mixing(Clips(audio, lengths, captions), min(batch_size, len(items)), generator)
            audio, lengths, captions = mixed.audio, mixed.lengths, mixed.captions
        lengths = (lengths + tail).clamp_max(length)
        return {"audio": audio, "audio_lengths": lengths, "prompts": captions}
    codes, lengths = _padded([item.codes for item in items if item.codes is not None], length)
    batch: dict[str, Any] = {"codes": codes, "lengths": lengths, "prompts": captions}
    states = [item.states for item in items if item.states is not None]
    if states:
        longest = max(1, *(state.shape[0] for state in states))
        padded, sizes = _padded([state.T for state in states], longest)
        batch["text_states"] = padded.transpose(1, 2).contiguous()
        batch["text_mask"] = torch.arange(longest) < sizes[:, None]
    return batch


def _padded(rows: Sequence[Tensor], length: int) -> tuple[Tensor, Tensor]:
    """Stack `[X, n]` to `[B, X, length]`, with the sizes int64 `[B]`."""
    batch = rows[0].new_zeros(len(rows), rows[0].shape[0], length)
    for place, row in zip(batch, rows, strict=True):
        place[:, : row.shape[1]] = row
    return batch, torch.tensor([row.shape[1] for row in rows])
