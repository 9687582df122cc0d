"""Training examples of the language model out of sources and shards, and batches of them.

Letters: B items, C channels, N samples, K codebooks, T frames, L text tokens, D text width.
"""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from ...core.audio import AudioError
from ...core.failures import Failure, attempt
from ...core.safetensors_files import load_safetensors
from ...gen.training.mixing import Clips, Mixing
from .folder import AUDIO_SUFFIXES, read_part, side_car_captions
from .shards import Sample
from .sources import CaptionedSource, Item, below, captions_of_entry, choose, crop_bounds, random_place

logger = logging.getLogger(__name__)


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
        sources: Sequence[CaptionedSource],
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
    start, stop = crop_bounds(codes.shape[1], frames, generator)
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
        padded, sizes = _padded([state.T for state in states], longest)  # each [L, D] -> [B, D, L]
        batch["text_states"] = padded.transpose(1, 2).contiguous()  # [B, L, D]
        batch["text_mask"] = torch.arange(longest) < sizes[:, None]
    return batch


def _padded(rows: Sequence[Tensor], length: int) -> tuple[Tensor, Tensor]:
    """Stack `[X, n]` to `[B, X, length]`, with the sizes int64 `[B]`."""
    batch = rows[0].new_zeros(len(rows), rows[0].shape[0], length)
    for place, row in zip(batch, rows, strict=True):
        place[:, : row.shape[1]] = row
    return batch, torch.tensor([row.shape[1] for row in rows])
