"""How sounds vary and repeat: choosing attribute values, counting and placing events, ringing partials.

Shared by the sound modules next to it. Times are in seconds, frequencies in Hz, signals float64 `[N]`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from .granular import scatter, schedule
from .synth import Array, Rng, Values

Sound = npt.NDArray[np.float32]  # what a sound class returns: [N]
Levels = Values | npt.NDArray[np.complex128]


def between(rng: Rng, low: float, high: float) -> float:
    """A value between `low` and `high` (both positive), uniform over its logarithm."""
    return float(low * (high / low) ** rng.random())


def option(rng: Rng, value: object, options: Sequence[str], name: str = "attribute") -> str:
    """`value`, or one of `options` at random when it is None.

    Args:
        name: what the attribute is called, for the error.

    Raises:
        ValueError: the value is none of the options.
    """
    if value is None:
        return options[int(rng.integers(len(options)))]
    if value not in options:
        raise ValueError(f"{name} is {value!r}, allowed are {sorted(options)} or None (drawn at random)")
    return str(value)


def choose(
    rng: Rng, value: object, ranges: Mapping[str, tuple[float, float]], name: str = "attribute"
) -> float:
    """A number from the range that the attribute `value` stands for, log-uniform.

    Args:
        ranges: attribute value -> lowest and highest number; a `value` of None draws over all of them. Leave
            a gap between neighbours, so that a listener can tell "low" from "high".
        name: what the attribute is called, for the error.

    Raises:
        ValueError: the value has no range.
    """
    if value is None:
        return between(rng, min(low for low, _ in ranges.values()), max(high for _, high in ranges.values()))
    return between(rng, *ranges[option(rng, value, tuple(ranges), name)])


def how_many(rng: Rng, seconds: float, count: int | None, low: int = 1, high: int = 4) -> int:
    """`count`, or when it is None as many as happen naturally: `low` to `high` in five seconds, at least one.

    Raises:
        ValueError: the count is below 1.
    """
    if count is None:
        return max(1, round(int(rng.integers(low, high + 1)) * seconds / 5))
    if count < 1:
        raise ValueError(f"count is {count}, it must be 1 or more (or None for a natural number of events)")
    return int(count)


def place(
    rng: Rng,
    sample_rate: int,
    seconds: float,
    number: int,
    length: float,
    one: Callable[[float], Array],
    *,
    gap: float = 0.3,
    jitter: float = 0.25,
) -> Array:
    """`number` separated events over `seconds`, each rendered by `one(length)`; `[N]`.

    Args:
        length: seconds for one event; it shrinks when there is no room for all. `one` may return more than
            that when the sound rings on into the next event.
        gap, jitter: see `granular.schedule`.
    """
    plan = schedule(rng, seconds, number, length, gap, jitter)
    sounds = [one(plan.length) for _ in range(number)]
    return scatter(round(seconds * sample_rate), sample_rate, plan.starts, sounds)


def regular_times(
    rng: Rng, seconds: float, interval: float, count: int | None, *, jitter: float = 0.0
) -> Array:
    """Times of a regular train of events: through the whole time, or just `count` of them.

    Args:
        interval: seconds from one event to the next; it shrinks when `count` events need more room.
        jitter: standard deviation of each event's place, relative to the interval.

    Raises:
        ValueError: the count is below 1.
    """
    if count is None:
        times = np.arange(rng.random() * min(interval, 0.3 * seconds), max(seconds - 0.02, 0.01), interval)
    else:
        interval = min(interval, 0.96 * seconds / how_many(rng, seconds, count))
        times = rng.random() * 0.5 * (seconds - count * interval) + interval * np.arange(count)
    wobble = np.clip(rng.standard_normal(len(times)), -2, 2) * jitter * interval
    return np.clip(times + wobble, 0, seconds)


def ring(
    n: int,
    sample_rate: int,
    frequencies: Values,
    t60s: Values | float,
    gains: Values | float = 1.0,
    phases: Values | float = 0.0,
) -> Array:
    """Sum of decaying sines `gain * sin(2 pi f t + phase)`, `[N]`: partials of a struck or plucked object.

    The exponentials are factored into a coarse and a fine time grid, which turns the sum over partials into
    one small matrix product: tens of partials cost about as much as one.

    Args:
        frequencies: `[P]`; those above the Nyquist limit are left out.
        t60s: time in which each partial decays by 60 dB; infinity sustains it.
        gains, phases: amplitude and starting phase (radians) of each partial.
    """
    f, d, g, p = np.broadcast_arrays(
        np.asarray(frequencies, float), np.asarray(t60s, float), np.asarray(gains, float), np.asarray(phases)
    )
    keep = (f > 0) & (f < 0.48 * sample_rate) & (d > 0)
    rate = (-3 * np.log(10) / d[keep] + 2j * np.pi * f[keep]) / sample_rate
    block = 256
    coarse = np.exp(np.arange(0, max(n, 1), block)[:, None] * rate) * (-1j * g[keep] * np.exp(1j * p[keep]))
    fine = np.exp(rate[:, None] * np.arange(block))
    return np.ravel(coarse.real @ fine.real - coarse.imag @ fine.imag)[:n]


def waveshape(phase: Array, amplitudes: Levels) -> Array:
    """A periodic wave read from a table at `phase` (cycles, `[N]`).

    Args:
        amplitudes: of harmonics 1, 2, 3, ...; complex ones carry a phase (real ones are sines).
    """
    size = 2048
    spectrum = np.zeros(size // 2 + 1, complex)
    levels = np.asarray(amplitudes)[: size // 8]
    spectrum[1 : len(levels) + 1] = -0.5j * size * levels
    table = np.fft.irfft(spectrum, size)
    table = np.append(table, table[0])
    position = (phase % 1.0) * size
    index = position.astype(np.int64)
    low = table[index]
    return low + (position - index) * (table[index + 1] - low)


def tone(frequency: Array, sample_rate: int, amplitudes: Levels, start: float = 0.0) -> Array:
    """Periodic wave with a frequency curve `[N]`, without the harmonics that would reach the Nyquist limit.

    Args:
        amplitudes: of the harmonics, see `waveshape`.
        start: phase of the first sample, in cycles.
    """
    most = int(0.47 * sample_rate / max(float(frequency.max(initial=1.0)), 1.0))
    return waveshape(start + np.cumsum(frequency) / sample_rate, np.asarray(amplitudes)[: max(most, 1)])


def rolloff(number: int, power: float) -> Array:
    """Amplitudes `k ** -power` of the harmonics 1..`number`."""
    return np.arange(1, number + 1, dtype=np.float64) ** -power


def scrambled(rng: np.random.Generator, amplitudes: Values) -> npt.NDArray[np.complex128]:
    """The same amplitudes with random phases: a wave with less of a crest than aligned sines have."""
    return np.asarray(amplitudes, float) * np.exp(2j * np.pi * rng.random(len(amplitudes)))
