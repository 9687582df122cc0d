"""Three ways to make a sound from a set of numbers: a creature's call, an impact, a texture.

The numbers of a class are sets in parameters.json, each of which gave sounds that YAMNet hears as the class,
in a room and with a background. They were found by drawing at random within ranges that the physics of the
sound allows, around the spectra of recordings, and drawing again near the best, which
benchmarks/foley_parameters.py does.
`draw` gives a new set near one of them. YAMNet chose among renderings; no network is trained on its opinion.

Letters: N samples.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import numpy as np
from scipy import fft, signal

from . import granular, synth
from .synth import Array, Rng

Parameters = Mapping[str, float]

SPREAD = 0.15  # of the standard deviation among the sets of a class, added to a drawn set
_LN_60_DB = 6.9  # natural logarithm of an amplitude ratio of 60 dB

FORMANTS = 4
# Hz at which the level of a texture is given, in dB: level0, level1, ...
ANCHORS = (40.0, 100.0, 200.0, 400.0, 800.0, 1600.0, 3000.0, 5000.0, 7600.0)
_CROSSOVERS = (300.0, 1000.0, 2500.0)  # Hz, between bands of a texture that flutter independently
MODES = 5


@cache
def _sets() -> dict[str, list[dict[str, float]]]:
    with open(Path(__file__).with_name("parameters.json"), encoding="utf-8") as file:
        return json.load(file)


def draw(rng: Rng, name: str) -> dict[str, float]:
    """A set of parameters of the class `name`: a stored one, each number moved a little within all of them.

    Raises:
        KeyError: no sets are stored under that name.
    """
    stored = _sets()[name]
    drawn = dict(stored[int(rng.integers(len(stored)))])
    for key in drawn:
        values = [one[key] for one in stored]
        moved = drawn[key] + SPREAD * float(np.std(values)) * rng.standard_normal()
        drawn[key] = float(np.clip(moved, min(values), max(values)))
    return drawn


# ---------------------------------------------------------------- calls


def call(rng: Rng, sample_rate: int, p: Parameters, seconds: float | None = None) -> Array:
    """One call of a creature: pulses of the vocal folds through formants that open and close; peak 1, `[N]`.

    Args:
        p: pitch f0 in Hz with its contour (peak, start, bend, middle, end), vibrato (depth, rate), jitter
            (depth, rate), irregular folds (shimmer, every other pulse weaker by `subharmonic`), their open
            share and skew, breath; formants closed0.., open0.., their gain0.. and width; when the mouth
            opens and closes; the loudness' attack, decay and level; length in seconds.
        seconds: longest length; None: as long as `p` says.
    """
    length = p["length"] * rng.uniform(0.9, 1.1)
    length = length if seconds is None else min(length, seconds)
    n = max(round(length * sample_rate), 64)
    t = np.linspace(0, 1, n)
    peak, bend = p["peak"], max(p["bend"], p["peak"] + 0.01)
    contour = np.interp(t, (0, peak, bend, 1), (p["start"], 1.0, p["middle"], p["end"]))
    wobble = np.sin(2 * np.pi * (p["vibrato_rate"] * np.arange(n) / sample_rate + rng.random()))
    jitter = 1 + p["jitter"] * synth.smooth_curve(rng, n, sample_rate, p["jitter_rate"], -1, 1)
    pitch = np.maximum(
        p["f0"] * rng.uniform(0.95, 1.05) * contour * (1 + p["vibrato"] * wobble) * jitter, 5.0
    )
    phase = np.cumsum(pitch) / sample_rate
    cycle, within = np.floor(phase).astype(np.int64), phase % 1.0
    flow = np.where(within < p["open"], 0.5 - 0.5 * np.cos(np.pi * within / p["open"] * p["skew"]), 0.0)
    source = np.diff(flow, prepend=0.0) * sample_rate / (4 * p["f0"])
    source *= (1 - p["shimmer"] * rng.random(int(cycle.max()) + 2)[cycle]) * (
        1 - p["subharmonic"] * (cycle % 2)
    )
    source += p["breath"] * rng.standard_normal(n) * (0.3 + 0.7 * (within < p["open"]))
    opened = np.interp(t, (0, p["opens"], max(p["closes"], p["opens"]), 1), (0, 1, 1, p["left_open"]))
    out = np.zeros(n)
    for index in range(FORMANTS):
        for hertz, share in ((p[f"closed{index}"], 1 - opened), (p[f"open{index}"], opened)):
            hertz = min(hertz, 0.46 * sample_rate)
            b, a = signal.iirpeak(hertz, hertz / (60 + p["width"] * hertz), fs=sample_rate)
            out += p[f"gain{index}"] * (-1) ** index * share * signal.lfilter(b, a, source)
    attack, decay = p["attack"], max(p["decay"], p["attack"] + 0.3 * (1 - p["attack"]))
    out *= np.interp(t, (0, attack, attack + 0.3 * (1 - attack), decay, 1), (0, 1, 0.9, p["level"], 0))
    return out / (np.abs(out).max() + 1e-9)


# ---------------------------------------------------------------- impacts


def impact(rng: Rng, sample_rate: int, p: Parameters, pitch: float = 1.0) -> Array:
    """One blow: ringing modes, a burst of noise, and grains that follow; peak 1, `[N]`.

    Args:
        p: modes (mode0 in Hz, spread, shape, slope, decay, damping) and their share `tonal`; the burst's
            centre, width in octaves, decay and attack; grains, their level, number, time and centre.
        pitch: scales the modes.
    """
    longest = max(p["mode_decay"], p["burst_decay"], p["grain_time"] if p["grain_level"] > 0 else 0.0)
    n = round(min(0.6, 1.1 * longest + 0.02) * sample_rate)
    t = np.arange(n) / sample_rate
    steps = np.random.default_rng(int(abs(p["shape"]) * 1e4)).random(MODES - 1)
    modes = p["mode0"] * pitch * np.cumprod(np.append(1.0, 1 + p["mode_spread"] * (0.4 + steps)))
    out = np.zeros(n)
    for index, hertz in enumerate(modes * rng.uniform(0.97, 1.03, MODES)):
        if hertz < 0.46 * sample_rate:
            ringing = np.exp(-_LN_60_DB * t * (1 + p["mode_damping"] * index) / p["mode_decay"])
            level = rng.uniform(0.5, 1) * p["mode_slope"] ** index
            out += level * np.sin(2 * np.pi * hertz * t + rng.uniform(0, 2 * np.pi)) * ringing
    band = p["burst"] * 2 ** -p["burst_width"], p["burst"] * 2 ** p["burst_width"]
    burst = synth.filtered(rng.standard_normal(n), sample_rate, *_band(band, sample_rate), order=1)
    rise = np.minimum(t / p["burst_attack"], 1)
    fall = np.exp(-_LN_60_DB * np.maximum(t - p["burst_attack"], 0) / p["burst_decay"])
    out = p["tonal"] * out + (1 - p["tonal"]) * burst / (burst.std() + 1e-9) * rise * fall
    if p["grain_level"] > 0:
        number = max(int(p["grains"]), 1)
        times = rng.beta(1.2, 2.2, number) * p["grain_time"]
        gains = rng.lognormal(0, 0.8, number) * rng.choice((-1.0, 1.0), number)
        grains = granular.impulses(n, sample_rate, times, gains)
        band = 0.6 * p["grain_centre"], 1.7 * p["grain_centre"]
        grains = synth.filtered(grains, sample_rate, *_band(band, sample_rate), order=1)
        out += 1.5 * p["grain_level"] * grains / (np.abs(grains).max() + 1e-9)
    return out / (np.abs(out).max() + 1e-9)


def double_impact(rng: Rng, sample_rate: int, p: Parameters, pitch: float = 1.0) -> Array:
    """A blow and perhaps a weaker one after it (`second_level`, `second_delay`, `second_pitch`), `[N]`."""
    pitch *= 2 ** (p["pitch_spread"] * rng.standard_normal())
    first = impact(rng, sample_rate, p, pitch)
    if p["second_level"] <= 0:
        return first
    second = p["second_level"] * impact(rng, sample_rate, p, pitch * p["second_pitch"])
    delay = p["second_delay"] * rng.uniform(0.85, 1.15)
    size = max(len(first), round(delay * sample_rate) + len(second))
    return granular.scatter(size, sample_rate, (0.0, delay), (first, second))


def impacts(rng: Rng, sample_rate: int, p: Parameters, n: int) -> Array:
    """A train of blows, `rate` a second, as regular as `timing` says, with pauses, `[N]`."""
    rate = max(p["rate"], 0.3)
    seconds = n / sample_rate
    times: list[float] = []
    blows: list[Array] = []
    now, index = rng.uniform(0, min(0.3, 0.5 / rate, 0.3 * seconds)), 0
    while now < seconds - 0.02 or not times:
        level = rng.lognormal(0, p["level_spread"])
        blows.append(level * double_impact(rng, sample_rate, p, 1.0 if index % 2 == 0 else p["every_other"]))
        times.append(now)
        now += max(0.02, 1 + p["timing"] * rng.standard_normal()) / rate
        now += rng.uniform(0.2, 0.7) if rng.random() < p["pauses"] else 0.0
        index += 1
    return granular.scatter(n, sample_rate, times, blows)


# ---------------------------------------------------------------- textures


def texture(rng: Rng, sample_rate: int, p: Parameters, n: int) -> Array:
    """Noise of a colour that flutters, with drops or crackles, pulses and a tone; about unit rms, `[N]`.

    Args:
        p: level0.. in dB at ANCHORS; depth in dB and rate in Hz of what moves slowly, at a middle pace, fast,
            and in each of four bands by itself; drops: their share, number a second, centre, width in
            octaves, decay and spread of levels; pulses, as of a rotor or of wheels: depth in dB, rate, rise
            and fall, weaker every other time; a tone: share, pitch in Hz with jitter and wander, slope and
            shape of its partials, and how far it follows the pulses.
    """
    levels = [p[f"level{index}"] for index in range(len(ANCHORS))]
    noise = synth.shaped_noise(rng, n, sample_rate, ANCHORS, levels)
    if p["band_depth"] > 0:
        noise = _flutter(rng, noise, sample_rate, p)
    for pace in ("slow", "middle", "fast"):
        noise = noise * _wander(rng, n, sample_rate, p[f"{pace}_depth"], p[f"{pace}_rate"])
    out = noise / (noise.std() + 1e-9)
    if p["drops"] > 0:
        share = min(p["drops"], 1.0)
        out = (1 - share) * out + share * _drops(rng, sample_rate, p, n)
    pulses = _pulses(rng, sample_rate, p, n) if p["pulse_depth"] > 0 else None
    if pulses is not None:
        out = out * 10 ** (p["pulse_depth"] * (pulses - 1) / 20)
        out /= out.std() + 1e-9
    if p["tonal"] > 0:
        tone = _tone(rng, sample_rate, p, n)
        if pulses is not None:
            tone *= 1 - p["tone_pulsed"] + p["tone_pulsed"] * pulses
        out = (1 - p["tonal"]) * out + p["tonal"] * tone / (tone.std() + 1e-9)
    return out


def _flutter(rng: Rng, noise: Array, sample_rate: int, p: Parameters) -> Array:
    """Noise `[N]` of which four bands come and go independently."""
    n = len(noise)
    size = fft.next_fast_len(n, real=True)
    spectrum, hertz = fft.rfft(noise, size), fft.rfftfreq(size, 1 / sample_rate)
    out, rest = np.zeros(n), np.ones(len(hertz))
    for crossover in (*_CROSSOVERS, np.inf):
        share = rest / (1 + (hertz / crossover) ** 4)
        rest = rest - share
        out += fft.irfft(spectrum * share, size)[:n] * _wander(
            rng, n, sample_rate, p["band_depth"], p["band_rate"]
        )
    return out


def _drops(rng: Rng, sample_rate: int, p: Parameters, n: int) -> Array:
    """Short bursts at random times, `[N]`."""
    times = granular.poisson_times(rng, min(p["drop_rate"], 4000.0), n / sample_rate)
    gains = rng.lognormal(0, p["drop_spread"], len(times)) * rng.choice((-1.0, 1.0), len(times))
    clicks = granular.impulses(n, sample_rate, times, gains)
    band = p["drop_centre"] * 2 ** -p["drop_width"], p["drop_centre"] * 2 ** p["drop_width"]
    clicks = synth.filtered(clicks, sample_rate, *_band(band, sample_rate), order=1)
    m = max(round(p["drop_decay"] * sample_rate), 8)
    kernel = rng.standard_normal(m) * np.exp(-_LN_60_DB * np.arange(m) / m)
    clicks = signal.oaconvolve(clicks, kernel)[:n]
    return clicks / (clicks.std() + 1e-9) * (1.0 if p["drop_rate"] > 100 else 1.5)


def _pulses(rng: Rng, sample_rate: int, p: Parameters, n: int) -> Array:
    """Regular pulses, each a quick rise and a fall, from 0 to 1, `[N]`."""
    rate = p["pulse_rate"] * (1 + p["pulse_jitter"] * synth.smooth_curve(rng, n, sample_rate, 3, -1, 1))
    phase = np.cumsum(rate) / sample_rate + rng.random()
    within = phase % 1.0
    pulses = np.exp(-within * p["pulse_fall"]) * np.minimum(within / p["pulse_rise"], 1)
    if p["pulse_alternate"] > 0:
        pulses *= np.where(np.floor(phase) % 2 == 0, 1, 1 - p["pulse_alternate"])
    return pulses / (pulses.max() + 1e-9)


def _tone(rng: Rng, sample_rate: int, p: Parameters, n: int) -> Array:
    """A harmonic tone whose partials have a shape of their own, `[N]`."""
    pitch = p["tone"] * (1 + p["tone_wander"] * synth.smooth_curve(rng, n, sample_rate, 0.6, -1, 1))
    pitch *= 1 + p["tone_jitter"] * synth.smooth_curve(rng, n, sample_rate, p["tone_jitter_rate"], -1, 1)
    partials = np.arange(1, int(min(60, 0.44 * sample_rate / p["tone"])) + 1, dtype=np.float64)
    shape = np.random.default_rng(int(abs(p["tone_shape"]) * 1e4)).uniform(0.15, 1, len(partials))
    return synth.harmonics(pitch, sample_rate, partials ** -p["tone_slope"] * shape)


def _wander(rng: Rng, n: int, sample_rate: int, depth: float, rate: float) -> Array | float:
    """A gain that wanders by `depth` dB, with `rate` new targets a second."""
    if depth <= 0:
        return 1.0
    return 10 ** (depth / 20 * synth.smooth_curve(rng, n, sample_rate, rate, -1.7, 1.7))


def _band(band: tuple[float, float], sample_rate: int) -> tuple[float, float]:
    """A band within what the rate allows."""
    high = min(band[1], 0.475 * sample_rate)
    return max(min(band[0], 0.6 * high), 20.0), high
