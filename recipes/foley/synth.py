"""Building blocks of procedural sounds: noise, resonators, envelopes, oscillators (granular.py: grains).

Everything is vectorised numpy/scipy, in float64, on one-dimensional arrays `[N]`; nothing loops over samples.
Frequencies and rates are in Hz, times in seconds, `sample_rate` in samples per second, `n` is a number of
samples. Frequencies above the Nyquist limit are pulled below it or left out, so that every function works at
any rate. Randomness comes only from the generator that is passed in. `finish` turns a result into what a
sound class returns: float32, of exact length, normalised.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import fft, signal

Array = npt.NDArray[np.float64]
Rng = np.random.Generator
Values = Sequence[float] | Array

# Added to what recursive filters read: else they decay into subnormal numbers, 10 to 100 times slower.
_INAUDIBLE = 1e-20

LN_60_DB = float(np.log(1000.0))  # natural logarithm of an amplitude ratio of 60 dB


def length_of(seconds: float, sample_rate: int) -> int:
    """Number of samples that last `seconds`."""
    return round(seconds * sample_rate)


def time_axis(n: int, sample_rate: int) -> Array:
    """Times in seconds of `n` samples."""
    return np.arange(n) / sample_rate


# ---------------------------------------------------------------- noise and filters


def shaped_noise(rng: Rng, n: int, sample_rate: int, frequencies: Values, levels_db: Values) -> Array:
    """Gaussian noise of unit rms whose spectrum follows a curve given by points.

    Args:
        frequencies: rising, in Hz; between the points the level is linear over log frequency.
        levels_db: level at each point in dB; beyond the first and last point it stays constant.
    """
    padded = fft.next_fast_len(max(n, 16), real=True)
    spectrum = fft.rfft(rng.standard_normal(padded))
    bins = np.maximum(fft.rfftfreq(padded, 1 / sample_rate), 1e-3)
    levels = np.interp(np.log(bins), np.log(np.asarray(frequencies, float)), np.asarray(levels_db, float))
    spectrum *= np.exp(levels * (np.log(10) / 20))
    spectrum[0] = 0
    noise = fft.irfft(spectrum, padded)
    return noise[:n] / (np.sqrt(np.mean(noise**2)) + 1e-12)


def coloured_noise(rng: Rng, n: int, sample_rate: int, slope_db: float = 0.0, low: float = 20.0) -> Array:
    """Noise with `slope_db` dB per octave (0 white, -3 pink, -6 brown) above `low` Hz; unit rms, no DC."""
    top = max(sample_rate / 2, 2 * low)
    return shaped_noise(
        rng, n, sample_rate, (low / 2, low, top), (-24.0, 0.0, slope_db * float(np.log2(top / low)))
    )


def band_noise(rng: Rng, n: int, sample_rate: int, low: float, high: float, skirt_db: float = 24.0) -> Array:
    """Noise that is flat from `low` to `high` Hz and falls `skirt_db` dB per octave outside; unit rms."""
    high = min(high, 0.49 * sample_rate)
    low = min(max(low, 1.0), 0.9 * high)
    floor = 4 * skirt_db
    return shaped_noise(
        rng, n, sample_rate, (low / 16, low, high * 1.001, high * 16), (-floor, 0.0, 0.0, -floor)
    )


def swept_noise(rng: Rng, sample_rate: int, centre: Array, width: float) -> Array:
    """Narrow-band noise whose centre follows the curve `centre` `[N]` in Hz; unit rms.

    Args:
        width: bandwidth in Hz: slow random modulation in amplitude and phase of a carrier at the centre.
    """
    n = len(centre)
    points = int(n / sample_rate * width) + 4
    position = np.arange(n) * (min(width / sample_rate, 1.0))
    real, imaginary = (np.interp(position, np.arange(points), rng.standard_normal(points)) for _ in range(2))
    angle = 2 * np.pi * phase_of(centre, sample_rate, rng.random())
    noise = (real * np.cos(angle) + imaginary * np.sin(angle)) * (centre < 0.48 * sample_rate)
    return noise / (np.sqrt(np.mean(noise**2)) + 1e-12)


def filtered(
    x: Array, sample_rate: int, low: float | None = None, high: float | None = None, order: int = 2
) -> Array:
    """Butterworth filter: high-pass (`low` only), low-pass (`high` only) or band-pass (both), causal."""
    nyquist = sample_rate / 2
    if high is not None and high >= 0.97 * nyquist:
        high = None
    if low is not None:
        low = min(max(low, 1.0), 0.9 * nyquist if high is None else 0.9 * high)
    if low is None and high is None:
        return x
    if low is not None and high is not None:
        sections = signal.butter(order, [low, high], "bandpass", fs=sample_rate, output="sos")
    elif low is not None:
        sections = signal.butter(order, low, "highpass", fs=sample_rate, output="sos")
    else:
        sections = signal.butter(order, high, "lowpass", fs=sample_rate, output="sos")
    return np.asarray(signal.sosfilt(sections, x + _INAUDIBLE))


def resonate(x: Array, sample_rate: int, frequencies: Values, t60s: Values, gains: Values) -> Array:
    """Sum of two-pole resonators driven by `x` `[N]`; an impulse of 1 rings as `gain * sin` at each of them.

    Args:
        t60s: time in which each mode decays by 60 dB, seconds.
        gains: amplitude of each mode; modes above the Nyquist limit are left out.
    """
    out = np.zeros(len(x))
    x = x + _INAUDIBLE
    for frequency, t60, gain in zip(frequencies, t60s, gains, strict=True):
        if not 0 < frequency < 0.48 * sample_rate:
            continue
        omega = 2 * np.pi * frequency / sample_rate
        radius = 10 ** (-3 / max(t60 * sample_rate, 3.0))
        out += signal.lfilter([gain * np.sin(omega)], [1.0, -2 * radius * np.cos(omega), radius * radius], x)
    return out


def strike(n: int, sample_rate: int, frequencies: Values, t60s: Values, gains: Values) -> Array:
    """Modal synthesis: the modes of an object after one blow at time 0, `[N]` (see `resonate`)."""
    impulse = np.zeros(n)
    impulse[:1] = 1.0
    return resonate(impulse, sample_rate, frequencies, t60s, gains)


def formants(
    x: Array, sample_rate: int, frequencies: Values, bandwidths: Values, gains: Values | None = None
) -> Array:
    """Parallel vocal-tract filter: each formant has unit gain at its centre (times `gains`).

    Args:
        frequencies: centres in Hz; formants above the Nyquist limit are left out.
        bandwidths: -3 dB widths in Hz.
    """
    out = np.zeros(len(x))
    levels = [1.0] * len(frequencies) if gains is None else gains
    for index, (centre, width, gain) in enumerate(zip(frequencies, bandwidths, levels, strict=True)):
        if centre < 0.47 * sample_rate:
            b, a = signal.iirpeak(centre, centre / width, fs=sample_rate)
            # neighbours change sign so that the valleys between formants do not cancel out
            out += signal.lfilter(b * (gain if index % 2 == 0 else -gain), a, x)
    return out


def morph(parts: Sequence[Array], positions: Array) -> Array:
    """Cross-fade along `parts` (each `[N]`) by `positions` `[N]`: 0 is the first, 1 the second; `[N]`."""
    out = np.zeros(len(positions))
    for index, part in enumerate(parts):
        out += part * np.clip(1 - np.abs(positions - index), 0, None)
    return out


def reverberate(
    rng: Rng, x: Array, sample_rate: int, t60: float, wet: float, bright: float = 4000.0
) -> Array:
    """Add a diffuse tail: convolution with decaying noise low-passed at `bright` Hz; same length as `x`.

    Args:
        t60: decay time of the tail, seconds.
        wet: level of the tail relative to the direct sound (rms of the impulse response is 1).
    """
    m = max(length_of(min(t60, len(x) / sample_rate), sample_rate), 2)
    tail = filtered(rng.standard_normal(m), sample_rate, high=bright, order=1)
    tail *= np.exp(time_axis(m, sample_rate) * (-LN_60_DB / t60))
    tail /= np.sqrt(np.sum(tail**2)) + 1e-12
    return x + wet * signal.oaconvolve(x, tail)[: len(x)]


# ---------------------------------------------------------------- curves and envelopes


def smooth_curve(
    rng: Rng, n: int, sample_rate: int, rate: float, low: float = 0.0, high: float = 1.0
) -> Array:
    """A random curve that wanders between `low` and `high`, with about `rate` new targets a second."""
    points = max(int(np.ceil(n / sample_rate * rate)) + 3, 4)
    targets = rng.random(points)
    position = np.arange(n) * (rate / sample_rate) + rng.random() * 0.99
    index = position.astype(np.int64)
    weight = 0.5 - 0.5 * np.cos(np.pi * (position - index))
    return low + (high - low) * (targets[index] * (1 - weight) + targets[index + 1] * weight)


def breakpoints(n: int, times: Values, values: Values) -> Array:
    """Piecewise linear curve `[N]`; `times` run from 0 (start) to 1 (end)."""
    return np.interp(np.linspace(0, 1, n), np.asarray(times, float), np.asarray(values, float))


def decay(n: int, sample_rate: int, t60: float, attack: float = 0.0) -> Array:
    """Exponential decay by 60 dB in `t60` seconds after a linear rise of `attack` seconds."""
    t = time_axis(n, sample_rate)
    envelope = np.exp(np.maximum(t - attack, 0) * (-LN_60_DB / t60))
    return envelope * np.minimum(t / attack, 1) if attack > 0 else envelope


def bump(n: int, peak: float = 0.5, sharpness: float = 1.0) -> Array:
    """A raised-cosine hump `[N]` from 0 to 1 and back, highest at the relative position `peak`."""
    return (0.5 - 0.5 * np.cos(2 * np.pi * breakpoints(n, (0, peak, 1), (0, 0.5, 1)))) ** sharpness


def fade(x: Array, sample_rate: int, attack: float = 0.005, release: float = 0.01) -> Array:
    """Copy of `x` with raised-cosine fades at both ends (each at most half of it)."""
    out = np.array(x, dtype=np.float64)
    for seconds, end in ((attack, 1), (release, -1)):
        m = min(length_of(seconds, sample_rate), len(out) // 2)
        if m > 0:
            out[::end][:m] *= 0.5 - 0.5 * np.cos(np.pi * np.arange(m) / m)
    return out


# ---------------------------------------------------------------- oscillators


def phase_of(frequency: Array, sample_rate: int, start: float = 0.0) -> Array:
    """Phase in cycles `[N]` of an oscillator with the frequency curve `frequency` `[N]` in Hz."""
    return start + np.cumsum(frequency) / sample_rate


def sine(frequency: Array, sample_rate: int, start: float = 0.0) -> Array:
    """Sine with the frequency curve `[N]`; silent where the frequency is above the Nyquist limit."""
    return np.sin(2 * np.pi * phase_of(frequency, sample_rate, start)) * (frequency < 0.48 * sample_rate)


def harmonics(frequency: Array, sample_rate: int, amplitudes: Values) -> Array:
    """Sum of sines at 1, 2, 3, ... times the frequency curve `[N]`, none above the Nyquist limit."""
    base = 2 * np.pi * phase_of(frequency, sample_rate)
    limit = 0.48 * sample_rate
    top = float(frequency.max(initial=0.0))
    bottom = float(frequency.min(initial=top))
    out = np.zeros(len(frequency))
    # sin((k+1)x) = 2 cos(x) sin(kx) - sin((k-1)x) costs no further sine
    twice_cosine, before, partial = 2 * np.cos(base), np.zeros(len(frequency)), np.sin(base)
    for number, amplitude in enumerate(amplitudes, start=1):
        if number * bottom >= limit:
            break
        if amplitude != 0:
            out += amplitude * (partial if number * top < limit else partial * (number * frequency < limit))
        before, partial = partial, twice_cosine * partial - before
    return out


def sawtooth(frequency: Array, sample_rate: int) -> Array:
    """Falling sawtooth with all harmonics (1/k), its edges smoothed over two samples (polyBLEP)."""
    phase = phase_of(frequency, sample_rate) % 1.0
    step = np.clip(frequency / sample_rate, 1e-6, 0.5)
    out = 1 - 2 * phase
    early, late = phase < step, phase > 1 - step
    t = phase[early] / step[early]
    out[early] -= (1 - t) ** 2
    t = (phase[late] - 1) / step[late]
    out[late] += (1 + t) ** 2
    return out


def fm(carrier: Array, modulator: Array, index: Array | float, sample_rate: int) -> Array:
    """Two-operator FM: `sin(carrier + index * sin(modulator))`, with frequency curves `[N]` in Hz."""
    swing = index * np.sin(2 * np.pi * phase_of(modulator, sample_rate))
    return np.sin(2 * np.pi * phase_of(carrier, sample_rate) + swing)


def pluck(rng: Rng, n: int, sample_rate: int, frequency: float, t60: float, brightness: float = 0.5) -> Array:
    """Plucked string (Karplus and Strong 1983): a burst of noise in a lossy loop of one period; `[N]`.

    The loop `1 / (1 - z^-period * loss(z))` is evaluated as a spectrum, which tunes it exactly. The spectrum
    is that of the string damped by a further 60 dB at the end (taken outside the unit circle), as otherwise
    what rings on beyond the end would wrap around to the beginning.

    Args:
        frequency: pitch in Hz, below a quarter of the rate.
        t60: decay time of the lowest partial, seconds.
        brightness: 0 (dull, highs die fast) to 1 (bright).
    """
    frequency = min(max(frequency, 10.0), 0.22 * sample_rate)
    period = sample_rate / frequency
    damping = 0.25 * (1 - brightness) + 0.004
    burst = rng.uniform(-1, 1, int(period))
    burst -= burst.mean()
    padded = fft.next_fast_len(max(n, len(burst)) + 256, real=True)
    growth = np.log(1e3) / padded
    spectrum = fft.rfft(burst * np.exp(-growth * np.arange(len(burst))), padded)
    # e^-jwk as an outer product of coarse and fine steps: a tenth of the time of so many complex exponentials
    coarse, fine = np.arange(0, len(spectrum), 256)[:, None] / padded, np.arange(256) / padded

    def delay(samples: float) -> npt.NDArray[np.complex128]:
        turns = -2j * np.pi * samples
        steps = np.exp(turns * coarse - growth * samples) * np.exp(turns * fine)
        return steps.ravel()[: len(spectrum)]

    pole = np.exp(-2 * np.pi * (1500 + brightness * 12000) / sample_rate)
    turn = delay(1.0)
    spectrum *= (1 - pole) / (1 - pole * turn)
    # a delay that is no whole number jumps at the Nyquist limit; nothing may be left there
    taper = np.clip((np.arange(len(spectrum)) / len(spectrum) - 0.75) / 0.25, 0, 1)
    spectrum *= 0.5 + 0.5 * np.cos(np.pi * taper)
    loss = 10 ** (-3 / (t60 * frequency)) * (1 - 2 * damping + damping * (turn + 1 / turn))
    spectrum /= 1 - loss * delay(period)
    return fft.irfft(spectrum, padded)[:n] * np.exp(growth * np.arange(min(n, padded)))


# ---------------------------------------------------------------- finishing


def fit(x: Array, n: int) -> Array:
    """Cut `x` or pad it with silence at its end to `n` samples."""
    return x[:n] if len(x) >= n else np.pad(x, (0, n - len(x)))


def soften(x: Array, drive: float = 1.0) -> Array:
    """Smooth saturation `tanh(drive * x / peak)`: tames rare peaks, adds warmth for large drives."""
    return np.tanh(x * (drive / (np.abs(x).max(initial=0) + 1e-12)))


def finish(x: Array, sample_rate: int, seconds: float, peak: float = 0.85) -> npt.NDArray[np.float32]:
    """What a sound class returns: `round(seconds * sample_rate)` float32 samples of the given peak, no DC."""
    out = fit(np.asarray(x, np.float64), length_of(seconds, sample_rate))
    out = out - out.mean()
    return (out * (peak / (np.abs(out).max(initial=0) + 1e-12))).astype(np.float32)
