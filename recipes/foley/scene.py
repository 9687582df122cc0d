"""How a rendered sound is put into a clip: room, distance, level, position."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy import fft

PEAK = 0.97  # no sample of a clip goes beyond
_FRAME_SECONDS = 0.02
_ACTIVE_DB = 25.0  # frames within this range below the loudest count as sounding
# active level in dBFS (mean, spread) and the highest peak, by loudness
_LEVELS: Mapping[str | None, tuple[float, float, float]] = {
    None: (-20.0, 2.0, 0.8),
    "loud": (-15.0, 1.0, PEAK),
    "quiet": (-28.5, 1.5, 0.25),
}
_DISTANCE_DB: Mapping[str | None, float] = {None: 0.0, "distant": -6.0, "nearby": 2.0}


def place_sound(
    rng: np.random.Generator, sound: np.ndarray, sample_rate: int, attributes: Mapping[str, str], cut: bool
) -> np.ndarray:
    """Give a sound `[N]` its surroundings.

    A distant sound loses its high frequencies and gains reverberation; about a third of the others get a few
    early reflections; a nearby one stays dry.

    Args:
        cut: whether another sound takes over at the end, so that this one has to be faded out.
    """
    distance = attributes.get("distance")
    if distance == "distant":
        sound = _from_afar(rng, sound, sample_rate)
    elif distance is None and rng.random() < 0.35:
        sound = _early_reflections(rng, sound, sample_rate)
    fade = min(len(sound) // 4, round((0.06 if cut else 0.004) * sample_rate))
    if fade > 0:
        sound[-fade:] *= np.linspace(1.0, 0.0, fade, dtype=np.float32)
    return sound


def active_level(sound: np.ndarray, sample_rate: int) -> float:
    """RMS in dBFS of the frames of `sound [N]` that sound at all, so that pauses do not count."""
    hop = max(1, round(_FRAME_SECONDS * sample_rate))
    frames = sound[: len(sound) // hop * hop].reshape(-1, hop) if len(sound) >= hop else sound[None]
    power = np.einsum("fn,fn->f", frames, frames) / frames.shape[1]
    active = power[power >= power.max() * 10 ** (-_ACTIVE_DB / 10)]
    return float(10 * np.log10(active.mean() + 1e-12))


def set_level(
    rng: np.random.Generator,
    sound: np.ndarray,
    sample_rate: int,
    attributes: Mapping[str, str],
    offset_db: float = 0.0,
) -> np.ndarray:
    """Scale a sound `[N]` to a level that fits its loudness and distance; peaks stay below PEAK."""
    mean, spread, ceiling = _LEVELS[
        attributes.get("loudness") if attributes.get("loudness") in _LEVELS else None
    ]
    target = mean + spread * float(np.clip(rng.standard_normal(), -2.0, 2.0)) + offset_db
    target += _DISTANCE_DB.get(attributes.get("distance"), 0.0)
    gain = 10 ** ((target - active_level(sound, sample_rate)) / 20)
    peak = float(np.abs(sound).max()) * gain
    return sound * np.float32(gain * min(1.0, ceiling / max(peak, 1e-9)))


def sum_parts(parts: Sequence[tuple[int, np.ndarray]], samples: int) -> np.ndarray:
    """Add sounds at their start positions into a clip `[samples]`, scaled down if it would clip."""
    clip = np.zeros(samples, dtype=np.float32)
    for start, sound in parts:
        clip[start : start + len(sound)] += sound
    peak = float(np.abs(clip).max())
    return clip * np.float32(PEAK / peak) if peak > PEAK else clip


def _from_afar(rng: np.random.Generator, sound: np.ndarray, sample_rate: int) -> np.ndarray:
    """Low-pass (12 dB per octave from 900-2200 Hz) and decaying-noise reverberation (0.5-1.1 s) at once."""
    decay = rng.uniform(0.5, 1.1)  # s until -60 dB
    tail = round(min(0.8, decay) * sample_rate)
    size = fft.next_fast_len(len(sound) + tail, real=True)
    envelope = np.exp(np.linspace(0.0, -6.9 * tail / (decay * sample_rate), tail, dtype=np.float32))
    echo = rng.standard_normal(tail, dtype=np.float32) * envelope
    echo *= np.float32(
        rng.uniform(0.4, 0.8) / np.sqrt(np.dot(echo, echo))
    )  # energy against the direct sound's 1
    echo[0] += 1.0
    frequency = np.linspace(0.0, sample_rate / 2, size // 2 + 1, dtype=np.float32)
    low_pass = 1.0 / (1.0 + (frequency / np.float32(rng.uniform(900.0, 2200.0))) ** 2)
    spectrum = fft.rfft(sound, size) * fft.rfft(echo, size) * low_pass
    return fft.irfft(spectrum, size)[: len(sound)].astype(np.float32)


def _early_reflections(rng: np.random.Generator, sound: np.ndarray, sample_rate: int) -> np.ndarray:
    """Three to six echoes within 4-45 ms, weaker with delay: the colour of a small room."""
    out = sound.copy()
    for _ in range(int(rng.integers(3, 7))):
        delay = rng.uniform(0.004, 0.045)
        shift = max(1, round(delay * sample_rate))
        if shift < len(sound):
            gain = rng.choice((-1.0, 1.0)) * rng.uniform(0.08, 0.3) * np.exp(-delay / 0.04)
            out[shift:] += np.float32(gain) * sound[:-shift]
    return out
