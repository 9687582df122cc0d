"""Shape a region of a sound: louder or quieter, faded in or out; no model takes part.

Letters: C channels, N samples.
"""

from __future__ import annotations

import math
from numbers import Real

import torch
from torch import Tensor

from ..core.errors import ArgumentError
from ..core.limiter import limit

LEAST_DB, MOST_DB = -60.0, 20.0  # the least is silence
EDGE_SECONDS = 0.01  # over which a level changes at an edge of the region, so that it does not click


def shape_region(
    samples: Tensor,
    sample_rate: int,
    start: float,
    end: float,
    *,
    gain: float = 0.0,
    fade_in: float = 0.0,
    fade_out: float = 0.0,
) -> Tensor:
    """The sound with another level between two seconds; all other samples stay.

    Args:
        samples: float32 `[C, N]`.
        sample_rate: Hz.
        start, end: of the region, seconds.
        gain: dB, -60 (silence) to 20; peaks beyond full scale are limited.
        fade_in, fade_out: seconds from silence at the start, to silence at the end; together at most the
            region.

    Raises:
        TypeError: something else than numbers.
        ArgumentError: a region that is empty or outside of the sound, or another value out of range.
    """
    for name, value in {
        "start": start,
        "end": end,
        "gain": gain,
        "fade_in": fade_in,
        "fade_out": fade_out,
    }.items():
        if isinstance(value, bool) or not isinstance(value, Real):
            raise TypeError(f"{name} is {value!r}; it must be a number")
    duration = samples.shape[-1] / sample_rate
    if not (0 <= start < end and end <= duration + 5e-3):
        raise ArgumentError(
            f"the region {start:g}..{end:g} s is no part of a sound of {duration:g} s; its start must come "
            "before its end, both within the sound"
        )
    if not LEAST_DB <= gain <= MOST_DB:
        raise ArgumentError(
            f"gain is {gain:g} dB; allowed are {LEAST_DB:g} (silence) to {MOST_DB:g}, 0 leaves it as it is"
        )
    if min(fade_in, fade_out) < 0 or fade_in + fade_out > end - start + 1e-6:
        raise ArgumentError(
            f"fades of {fade_in:g} s and {fade_out:g} s do not fit into a region of {end - start:g} s; make "
            "them shorter"
        )
    first, last = round(start * sample_rate), min(round(end * sample_rate), samples.shape[-1])
    count = last - first
    level = 0.0 if gain <= LEAST_DB else 10 ** (gain / 20)
    wanted = level * _rise(count, fade_in, sample_rate) * _rise(count, fade_out, sample_rate).flip(0)  # [n]
    # Without a fade the level goes there from what it is outside, and back.
    edges = [
        EDGE_SECONDS if joined and not fade else 0.0
        for joined, fade in ((first > 0, fade_in), (last < samples.shape[-1], fade_out))
    ]
    inside = _rise(count, edges[0], sample_rate) * _rise(count, edges[1], sample_rate).flip(0)
    shaped = samples.clone()
    shaped[:, first:last] *= torch.lerp(torch.ones(count), wanted, inside)
    ceiling = max(1.0, float(samples.abs().max()))
    shaped[:, first:last] = limit(shaped[:, first:last], sample_rate, ceiling)
    return shaped


def _rise(count: int, seconds: float, sample_rate: int) -> Tensor:
    """Factors `[count]` that rise from 0 to 1 in so many seconds, with flat ends, and stay there."""
    length = min(count, round(seconds * sample_rate))
    place = (torch.arange(count) + 0.5).clamp(max=length) / max(1, length)
    return 0.5 - 0.5 * torch.cos(math.pi * place) if length else torch.ones(count)
