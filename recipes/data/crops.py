"""Crops of sound as torch datasets, for training codecs: at random, or always the same."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from .crop import crop_start
from .sources import SoundSource

SILENCE_RMS = 1e-3  # a crop below this is drawn again
GAIN_DB = (-6.0, 3.0)  # range of the random gain of a training crop, dB
_MAX_REDRAWS = 20


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
    if length < segment:
        return in_silence(source.read(item, 0, length), segment, rng)
    start = crop_start(length, segment, rng.random())
    return source.read(item, start, start + segment)


def in_silence(sound: np.ndarray, segment: int, rng: np.random.Generator) -> np.ndarray:
    """Lay a short sound `[..., n]` at a random place in silence: float32 `[..., segment]`."""
    length = sound.shape[-1]
    crop = np.zeros((*sound.shape[:-1], segment), dtype=np.float32)
    start = crop_start(segment, length, rng.random())
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
