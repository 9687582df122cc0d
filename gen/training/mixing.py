"""AudioGen's augmentation: two sounds become one, and so do their captions.

A model that hears "a dog barks" and "rain" together under the caption "a dog barks rain" learns to
compose what no recording holds. Source: AudioGen (Kreuk et al. 2023), with the values of its training
configuration. The published checkpoint, facebook/audiogen-medium, was trained without it (its model card).

It works on waveforms, so the codes are computed afterwards. Letters: B clips, C channels, N samples.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

REFERENCE_DB = -25.0  # level of both sounds before they meet, dB relative to full scale
PEAK = 0.99  # a mix that would exceed it is scaled down


@dataclass
class Clips:
    """Captioned sounds of one batch.

    Attributes:
        audio: float32 `[B, C, N]`, zero behind the end of a shorter clip.
        lengths: int64 `[B]`, samples of each clip that are sound.
        captions: B texts.
    """

    audio: Tensor
    lengths: Tensor
    captions: list[str]


@dataclass(frozen=True)
class Mixing:
    """Turns a batch of clips into a smaller one of mixed, or just chosen, clips.

    Args:
        probability: chance that a batch is mixed; otherwise some of its clips are kept as they are.
        keep: clips that remain, as a share of those that were loaded; AudioGen loads 256 to train on 128.
        snr_db: range of the ratio of the first sound to the second, dB, lowest included, highest not; a whole
            number is drawn once a batch.
        level_db: range of the mix's root mean square, dB relative to full scale, drawn in the same way.
        min_overlap: share of the first sound that the second one must overlap with.

    Raises:
        ValueError: a value is out of range.
    """

    probability: float = 0.5
    keep: float = 0.5
    snr_db: tuple[int, int] = (-5, 5)
    level_db: tuple[int, int] = (-35, -15)
    min_overlap: float = 0.5

    def __post_init__(self) -> None:
        for name in ("probability", "min_overlap"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"{name} is {getattr(self, name)}; allowed are 0 to 1")
        if not 0.0 < self.keep <= 1.0:
            raise ValueError(f"keep is {self.keep}; allowed is more than 0, up to 1")
        for name in ("snr_db", "level_db"):
            low, high = getattr(self, name)
            if not low < high:
                raise ValueError(f"{name} is {(low, high)}; the first number must be below the second")

    def clips_to_load(self, batch_size: int) -> int:
        """How many clips a batch of `batch_size` is made of."""
        return math.ceil(batch_size / self.keep)

    def __call__(self, clips: Clips, batch_size: int, generator: torch.Generator) -> Clips:
        """Make a batch of `batch_size` clips out of at least as many.

        When the batch is mixed, clips are paired at random, and a clip may meet itself. Each pair becomes one
        clip: both at `REFERENCE_DB`, the second one `snr` dB below, starting at a random place in the first
        part of the first and cut where the batch ends. Its caption is both captions, or one if they are the
        same.
        """
        loaded = len(clips.captions)
        if not 1 <= batch_size <= loaded:
            raise ValueError(f"a batch of {batch_size} clips cannot be made of {loaded}; load more")
        # Which clips remain; most often only some of them are kept.
        first = torch.randperm(loaded, generator=generator)[:batch_size]
        if float(torch.rand((), generator=generator)) >= self.probability:
            kept = [clips.captions[index] for index in first.tolist()]
            return Clips(clips.audio[first], clips.lengths[first], kept)
        # A partner for each, and how loud, where and at which level both are mixed.
        second = torch.randperm(loaded, generator=generator)[:batch_size]
        snr = int(torch.randint(*self.snr_db, (), generator=generator))
        level = int(torch.randint(*self.level_db, (), generator=generator))
        places = torch.rand(batch_size, generator=generator) * (1.0 - self.min_overlap)
        audio, lengths, captions = torch.zeros_like(clips.audio[first]), clips.lengths[first], []
        for row, (one, other) in enumerate(zip(first.tolist(), second.tolist(), strict=True)):
            # The first from its beginning, the second from a place within the first.
            sizes = int(clips.lengths[one]), int(clips.lengths[other])
            start = int(float(places[row]) * sizes[0])
            stop = min(start + sizes[1], audio.shape[-1])
            mix = audio[row]
            mix[:, : sizes[0]] = at_level(clips.audio[one, :, : sizes[0]], REFERENCE_DB)
            # Both in the row [C, N], cut where the batch ends.
            quieter = at_level(clips.audio[other, :, : sizes[1]], REFERENCE_DB - snr)
            mix[:, start:stop] += quieter[:, : stop - start]
            lengths[row] = max(sizes[0], stop)
            mix[:, : lengths[row]] = at_level(mix[:, : lengths[row]], level, peak=PEAK)
            captions.append(join_captions(clips.captions[one], clips.captions[other]))
        return Clips(audio, lengths, captions)


def join_captions(first: str, second: str) -> str:
    """The caption of a mix: both with a space between, or just one if they are the same."""
    return first if first == second else f"{first} {second}".strip()


def at_level(audio: Tensor, db: float, peak: float | None = None) -> Tensor:
    """Scale a sound `[C, N]`, all channels alike, to a root mean square of `db` dB relative to full scale.

    Silence stays silence.

    Args:
        audio: `[C, N]`.
        db: level wanted.
        peak: scale further down if a sample would exceed this.
    """
    rms = float(audio.square().mean().sqrt()) if audio.numel() else 0.0
    if rms == 0.0:
        return audio
    scale = 10.0 ** (db / 20.0) / rms
    if peak is not None:
        scale = min(scale, peak / float(audio.abs().max()))
    return audio * scale
