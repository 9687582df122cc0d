"""Put a filled region into a sound: nothing outside changes by a bit, levels match, and no join clicks.

What a codec decodes is no copy of the waveform, so it can't simply stand beside the original. Within the
first and last 20 ms of a region the original goes on by linear prediction from outside and fades out while
the new sound fades in. What the region held before plays no part.

Letters: B rows, C channels, N samples of the sound, n of the region.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from ...core.limiter import limit

FADE_SECONDS = 0.02
MATCH_SECONDS = 0.5  # beside a region, over which levels are compared
MOST_GAIN = 4.0  # 12 dB
QUIET = 1e-3  # root mean square (-60 dB) below which a level says nothing
ORDER = 32  # of the linear prediction
LEARNED = 2048  # samples that it is learned from


def replace_region(
    samples: Tensor, made: Tensor, start: int, stop: int, sample_rate: int, *, free: tuple[int, int]
) -> None:
    """Put samples `start` to `stop - 1` of sounds into others, in place.

    Args:
        samples: float32 `[B, C, N]`; all but the region stays as it is.
        made: `[B, C, N]`, what the codec makes of them with the region filled.
        start, stop: the region.
        sample_rate: Hz.
        free: the nearest samples before and after the region that belong to another region or to nothing.
    """
    reach = _count(MATCH_SECONDS, sample_rate)
    before = slice(max(0, free[0], start - reach), start)
    after = slice(stop, min(samples.shape[-1], free[1], stop + reach))
    # The level that the codec misses by, from the one side to the other.
    first, last = (level_ratio(samples[..., side], made[..., side]) for side in (before, after))
    gains = [gain for gain in (first, last) if gain is not None] or [torch.ones(1, 1)]
    position = torch.linspace(0, 1, stop - start)
    region = made[..., start:stop] * torch.lerp(gains[0].unsqueeze(-1), gains[-1].unsqueeze(-1), position)
    ceiling = max(1.0, float(samples.abs().max()))
    region = limit(region, sample_rate, ceiling)
    # Fades, where there is something outside to fade from or to.
    fade = min(_count(FADE_SECONDS, sample_rate), (stop - start) // 2)
    rising, falling = fade_curves(fade)
    if start > 0 and fade:
        outside = predict(samples[..., max(0, start - LEARNED) : start], fade)
        region[..., :fade] = region[..., :fade] * rising + outside * falling
    if stop < samples.shape[-1] and fade:
        outside = predict(samples[..., stop : stop + LEARNED].flip(-1), fade).flip(-1)
        region[..., -fade:] = region[..., -fade:] * falling + outside * rising
    samples[..., start:stop] = region.clamp(-ceiling, ceiling)


def _count(seconds: float, sample_rate: int) -> int:
    return round(seconds * sample_rate)


def level_ratio(wanted: Tensor, made: Tensor) -> Tensor | None:
    """Factor for each channel that gives sounds the level of others: two `[B, C, n]` -> `[B, C]`.

    None where there is no sample, or where either is too quiet to tell. The factor of all channels together
    stays within 12 dB; how they share the sound is that of `wanted`.
    """
    if not wanted.shape[-1]:
        return None
    has, should = (sound.square().mean(dim=-1) for sound in (made, wanted))  # [B, C]
    whole, whole_wanted = has.mean(dim=-1, keepdim=True).sqrt(), should.mean(dim=-1, keepdim=True).sqrt()
    if bool((whole < QUIET).any()) or bool((whole_wanted < QUIET).any()):
        return None
    overall = (whole_wanted / whole).clamp(1 / MOST_GAIN, MOST_GAIN)
    # A channel's share of the sound, there and here.
    share, share_wanted = has.sqrt() / whole, should.sqrt() / whole_wanted
    return overall * share_wanted / share.clamp_min(QUIET)


def fade_curves(length: int) -> tuple[Tensor, Tensor]:
    """Factors `[length]` of what fades in and of what fades out, with flat ends; their squares sum to 1."""
    place = (torch.arange(length) + 1) / (length + 1)
    angle = 0.5 * math.pi * (0.5 * math.pi * place).sin().square()
    return angle.sin(), angle.cos()


def predict(samples: Tensor, count: int) -> Tensor:
    """Go on with sounds by linear prediction: `[..., n]` -> `[..., count]`.

    Coefficients are those of Burg's method (J. P. Burg, "Maximum entropy spectral analysis", 1975): tones go
    on exactly, and no prediction grows.
    """
    rows = samples.reshape(-1, samples.shape[-1]).double().numpy()
    found = np.stack([_predict_row(row, count) for row in rows])
    return torch.from_numpy(found).float().view(*samples.shape[:-1], count)


def _predict_row(row: np.ndarray, count: int) -> np.ndarray:
    order = min(ORDER, len(row) - 1)
    if order < 1 or not row.any():
        return np.zeros(count)
    # Each coefficient is the one that leaves the least of what both directions could not predict so far.
    weights, forward, backward = np.ones(1), row[1:], row[:-1]
    for _ in range(order):
        power = forward @ forward + backward @ backward
        if power <= 1e-12 * (row @ row) or not len(forward):
            break  # all is predicted
        reflection = -2 * (forward @ backward) / power
        weights = np.append(weights, 0.0)
        weights = weights + reflection * weights[::-1]
        forward, backward = (forward + reflection * backward)[1:], (backward + reflection * forward)[:-1]
    from scipy.signal import lfilter, lfiltic  # imported where sounds are edited: half a second

    state = lfiltic([1.0], weights, row[::-1][: len(weights) - 1])
    return lfilter([1.0], weights, np.zeros(count), zi=state)[0]
