"""Measure the joins of a sound: does one click, and how much does the sound change across it?

A join that nobody hears is one across which the sound changes as much as it does anywhere else. So every
figure is meant to stand beside the same figure of real joins: places of recordings where nothing was joined.

Letters: C channels, N samples, K codebooks, T frames, D width of a latent.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..codecs.base import Codec
from ..core.samples import AudioError
from ..core.spectra import MelSpectrogram, decibels

CLICK = 1.5  # how many times more surprising than its neighbourhood a click is, at the least
NEAR = 4  # samples to either side that count as the join
BESIDE_SECONDS = 0.03  # to either side, with which a join is compared
FAINT = 3e-4  # surprise below which nobody hears a click (-70 dB)
SIDE_SECONDS = 0.1  # before and after a join, whose spectra are compared
FLOOR_DB = -80.0


def click(samples: Tensor, place: int, sample_rate: int) -> float:
    """How many times the waveform surprises more at a join than beside it; a click from `CLICK` on.

    What surprises is the third difference: what is left of a sample when a parabola through the three before
    it is taken off. A step in the waveform is one of full size, as is a bend in a tone.

    Args:
        samples: float `[C, N]`; the channel that clicks most counts.
        place: the first sample after the join.
        sample_rate: Hz.

    Returns:
        The largest surprise within 4 samples of the join over the largest of 30 ms to either side, 0 where
        the first is too faint to be heard.

    Raises:
        AudioError: the join is too near to an end for a comparison.
    """
    beside = round(BESIDE_SECONDS * sample_rate)
    first, last = max(0, place - beside), min(samples.shape[-1], place + beside)
    if place - first < 4 * NEAR or last - place < 4 * NEAR:
        raise AudioError(
            f"a join at sample {place} of {samples.shape[-1]} is too near to an end; it needs {4 * NEAR} "
            "samples to either side"
        )
    surprise = samples[..., first:last].double().diff(n=3, dim=-1).abs()
    at = slice(place - first - NEAR, place - first + NEAR)
    there = surprise[..., at].amax(dim=-1)  # [C]
    elsewhere = torch.cat([surprise[..., : at.start], surprise[..., at.stop :]], dim=-1).amax(dim=-1)
    ratio = there / elsewhere.clamp_min(FAINT)
    return float(torch.where(there < FAINT, 0.0, ratio).max())


def spectral_step(samples: Tensor, place: int, sample_rate: int) -> float:
    """How much a spectrum changes across a join: mean difference of mel bands in dB, 0.1 s to either side.

    Args:
        samples: float `[C, N]`, mixed to one channel.
        place: the first sample after the join.
        sample_rate: Hz.

    Raises:
        AudioError: there are fewer than 20 ms to one side.
    """
    reach = min(round(SIDE_SECONDS * sample_rate), place, samples.shape[-1] - place)
    if reach < round(0.02 * sample_rate):
        raise AudioError(f"a join at sample {place} needs 20 ms to either side, at {sample_rate} Hz")
    size = 2 ** (reach.bit_length() - 2)  # windows that fit into a side
    scale = MelSpectrogram(n_fft=min(512, size), n_mels=32, sample_rate=sample_rate)
    mono = samples.mean(dim=0)
    sides = [mono[place - reach : place], mono[place : place + reach]]
    # Power of each band, mean over the side.
    bands = [scale(side).square().mean(dim=-1).sqrt() / (scale.n_fft**0.5 / 4) for side in sides]
    before, after = (decibels(band, FLOOR_DB) for band in bands)
    return float((before - after).abs().mean())


def latent_step(latents: Tensor, frame: int) -> float:
    """How far the codec's latents `[D, T]` move across a join, between a frame and the one before it."""
    return float((latents[:, frame] - latents[:, frame - 1]).norm())


def latents_of(codec: Codec, codes: Tensor) -> Tensor:
    """The quantized latents of codes `[K, T]`: float32 `[D, T]`.

    Raises:
        TypeError: the codec has no residual quantizer.
    """
    quantizer = getattr(codec, "quantizer", None)
    if quantizer is None:
        raise TypeError(f"{type(codec).__name__} has no quantizer whose latents could be compared")
    with torch.inference_mode():
        return quantizer.decode(codes[None])[0].float()
