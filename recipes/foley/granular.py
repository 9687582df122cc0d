"""Building blocks of procedural sounds that are many short ones: times of events, grains at these times.

Units and shapes are those of synth.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .synth import LN_60_DB, Array, Rng, Values, length_of, time_axis


def poisson_times(rng: Rng, rate: float | Array, seconds: float) -> Array:
    """Sorted times in `[0, seconds)` of a Poisson process.

    Args:
        rate: events a second; an array is a curve of rates spread evenly over the whole time.
    """
    curve = np.atleast_1d(np.asarray(rate, float))
    top = float(curve.max())
    times = np.sort(rng.uniform(0, seconds, rng.poisson(top * seconds)))
    chance = curve[np.minimum((times / seconds * len(curve)).astype(np.int64), len(curve) - 1)] / max(
        top, 1e-9
    )
    return times[rng.random(len(times)) < chance]


def periodic_times(rng: Rng, rate: float, seconds: float, jitter: float = 0.05) -> Array:
    """Times in `[0, seconds)` of a regular train of `rate` events a second, random start.

    Args:
        jitter: standard deviation of each interval relative to the interval.
    """
    intervals = np.clip(rng.normal(1, jitter, int(seconds * rate * 1.5) + 4), 0.3, 3.0) / rate
    times = np.cumsum(intervals) - intervals[0] + rng.random() * min(1 / rate, 0.5 * seconds)
    return times[times < seconds]


def impulses(n: int, sample_rate: int, times: Values, gains: Values | float = 1.0) -> Array:
    """Impulse train `[N]` with `gains` at `times` (seconds); times outside are dropped."""
    where = np.round(np.asarray(times, float) * sample_rate).astype(np.int64)
    weights = np.broadcast_to(np.asarray(gains, float), where.shape)
    inside = (where >= 0) & (where < n)
    return np.bincount(where[inside], weights=weights[inside], minlength=n)[:n].astype(np.float64)


def scatter(n: int, sample_rate: int, times: Values, grains: Sequence[Array] | npt.NDArray) -> Array:
    """Overlap-add one grain at each time: `grains` is `[G, M]` or G arrays of any lengths; `[N]`."""
    out = np.zeros(n)
    starts = np.round(np.asarray(times, float) * sample_rate).astype(np.int64)
    if isinstance(grains, np.ndarray):
        inside = (starts >= 0) & (starts < n)
        if not inside.any():
            return out
        index = starts[inside, None] + np.arange(grains.shape[1])
        sums = np.bincount(index.ravel(), weights=grains[inside].ravel(), minlength=n)
        return np.asarray(sums[:n], np.float64)
    for start, grain in zip(starts.tolist(), grains, strict=True):
        begin, end = max(start, 0), min(start + len(grain), n)
        if end > begin:
            out[begin:end] += grain[begin - start : end - start]
    return out


def ringing_grains(
    rng: Rng, sample_rate: int, frequencies: Array, t60s: Array, gains: Array, rise: float = 0.0
) -> npt.NDArray[np.float32]:
    """Decaying sines of random phase as a matrix `[G, M]` for `scatter` (drops, bubbles, crackles, ticks).

    Args:
        frequencies, t60s, gains: `[G]`, one for each grain; those above the Nyquist limit are silent.
        rise: relative rise of the frequency over one t60 (bubbles rise as they reach the surface).
    """
    m = max(length_of(float(np.max(t60s, initial=0.001)), sample_rate), 4)
    # single precision: sin and exp are several times faster and short grains need no more
    t = time_axis(m, sample_rate).astype(np.float32)[None]
    f, d = frequencies.astype(np.float32)[:, None], t60s.astype(np.float32)[:, None]
    start = rng.random((len(frequencies), 1), dtype=np.float32)
    phase = f * t + start if rise == 0 else f * t * (1 + np.float32(0.5 * rise) * t / d) + start
    level = np.where(frequencies * (1 + rise) < 0.48 * sample_rate, gains, 0.0).astype(np.float32)
    grains = np.sin(np.float32(2 * np.pi) * phase)
    grains *= np.exp(t * (np.float32(-LN_60_DB) / d))
    grains *= level[:, None]
    return grains


@dataclass(frozen=True)
class Schedule:
    """When countable events happen: `starts` `[count]` in seconds, each at most `length` seconds long."""

    starts: Array
    length: float


def schedule(
    rng: Rng, seconds: float, count: int, length: float, gap: float = 0.3, jitter: float = 0.25
) -> Schedule:
    """Places for exactly `count` separated events of `length` seconds, all within `seconds`.

    Args:
        gap: least silence after each event, seconds. When the time is too short for all of them, gap and
            length shrink in proportion.
        jitter: how far the spacing strays from regular (0 none, 1 fully random within the free time).
    """
    slot = length + gap
    if count * slot > seconds:
        length, gap = length * seconds / (count * slot), gap * seconds / (count * slot)
        slot = seconds / count
    free = max(0.0, seconds - count * slot)  # rounding may leave less than nothing
    even = np.arange(count) * (slot + free * 0.8 / max(count, 1))
    loose = np.arange(count) * slot + np.sort(rng.uniform(0, free, count))
    starts = (1 - jitter) * (even + free * 0.2 * rng.random()) + jitter * loose
    return Schedule(starts=starts, length=length)
