"""How a rendered sound is put into a clip: room, distance, level, position, and the recording of it all.

Sounds in the world come with a room, a microphone and a background; a rendering has none of them, and a
listener that knows recordings takes it for something else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy import fft, signal

PEAK = 0.97  # no sample of a clip goes beyond
_FRAME_SECONDS = 0.02
_ACTIVE_DB = 25.0  # frames within this range below the loudest count as sounding
# active level in dBFS (mean, spread) and the highest peak, by loudness
_LEVELS: Mapping[str | None, tuple[float, float, float]] = {
    None: (-20.0, 2.0, 0.8),
    "loud": (-15.0, 1.0, PEAK),
    "quiet": (-28.5, 1.5, 0.25),
}
_NEARBY_DB, _QUIET_DB = -12.0, -10.0  # the room's answer to such a sound, against that to another
_DISTANCE_DB: Mapping[str | None, float] = {None: 0.0, "distant": -6.0, "nearby": 2.0}


def place_sound(
    rng: np.random.Generator,
    sound: np.ndarray,
    sample_rate: int,
    attributes: Mapping[str, str],
    *,
    cut: bool,
    field: bool = False,
) -> np.ndarray:
    """Give a sound `[N]` its surroundings.

    A distant sound loses its high frequencies and gains reverberation; others are in a room or outdoors. A
    nearby one is much louder than its room, and so is one that is recorded in the quiet, which has a room at
    all in one case of three.

    Args:
        rng: draws the surroundings.
        sound: `[N]`; it may be changed in place.
        sample_rate: Hz.
        attributes: "distance" counts.
        cut: whether another sound takes over at the end, so that this one has to be faded out.
        field: whether it is recorded in the field.
    """
    distance = attributes.get("distance")
    if distance == "distant":
        sound = from_afar(rng, sound, sample_rate)
    elif field or rng.random() < 0.35:
        wet_db = (0.0 if field else _QUIET_DB) + (_NEARBY_DB if distance == "nearby" else 0.0)
        sound = in_a_room(rng, sound, sample_rate, wet_db)
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


def from_afar(rng: np.random.Generator, sound: np.ndarray, sample_rate: int) -> np.ndarray:
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


def in_a_room(rng: np.random.Generator, sound: np.ndarray, sample_rate: int, wet_db: float) -> np.ndarray:
    """Convolve with the impulse response of a place: outdoors, a room, or sometimes a hall.

    Outdoors it is an echo off the ground. Indoors, a few early reflections from walls and a diffuse tail that
    loses its high frequencies; it decays by 60 dB in 0.2 to 0.9 s, in a hall in 0.8 to 1.6 s.

    Args:
        wet_db: level of what the place adds, relative to what is usual.
    """
    gain = 10 ** (wet_db / 20)
    place = rng.choice(("outdoors", "room", "hall"), p=(0.3, 0.58, 0.12))
    if place == "outdoors":
        shift = max(1, round(rng.uniform(0.001, 0.008) * sample_rate))
        out = sound.copy()
        out[shift:] += np.float32(gain * rng.uniform(0.15, 0.5)) * sound[: len(sound) - shift]
        return out
    hall = place == "hall"
    decay = rng.uniform(0.8, 1.6) if hall else rng.uniform(0.2, 0.9)  # s until -60 dB
    wet = gain * 10 ** (rng.uniform(-12.0, -3.0) / 20 if hall else rng.uniform(-16.0, -5.0) / 20)
    length = round(min(0.9, decay) * sample_rate)
    tail = rng.standard_normal(length, dtype=np.float32)
    tail *= np.exp(np.linspace(0.0, -6.9 * length / (decay * sample_rate), length, dtype=np.float32))
    tail[: round(rng.uniform(0.003, 0.015) * sample_rate)] = 0.0
    pole = rng.uniform(0.2, 0.6)
    tail = signal.lfilter([1 - pole], [1.0, -pole], tail).astype(np.float32)
    response = tail * np.float32(wet / np.sqrt(np.dot(tail, tail) + 1e-12))
    response[0] += 1.0
    for delay in rng.uniform(0.002, 0.03, int(rng.integers(4, 12))):
        strength = gain * rng.choice((-1.0, 1.0)) * rng.uniform(0.05, 0.35) * np.exp(-delay / 0.02)
        response[round(delay * sample_rate)] += np.float32(strength)
    return signal.oaconvolve(sound, response)[: len(sound)].astype(np.float32)


def record_clip(
    rng: np.random.Generator, clip: np.ndarray, sample_rate: int, *, field: bool = False
) -> np.ndarray:
    """What a microphone makes of a clip `[N]`: colour, and in the field a background of -66 to -44 dBFS.

    In the quiet the background is -100 to -80 dBFS, and the colour half as strong.

    The colour is a gentle slope and a few wide humps, without what is below 40 to 110 Hz; the level stays,
    and peaks stay below PEAK.
    """
    size = fft.next_fast_len(len(clip), real=True)
    frequency = np.linspace(0.0, sample_rate / 2, size // 2 + 1, dtype=np.float32)
    octaves = np.log2(np.maximum(frequency, 20.0) / np.float32(1000.0))
    strength = 1.0 if field else 0.5
    level = np.float32(strength * rng.uniform(-1.5, 1.0)) * octaves  # dB
    for _ in range(3):
        centre, width = rng.uniform(-3.0, 3.0), rng.uniform(0.4, 1.2)
        level += np.float32(strength * rng.normal(0.0, 2.0)) * np.exp(-(((octaves - centre) / width) ** 2))
    corner = (frequency / np.float32(rng.uniform(40.0, 110.0))) ** 2
    gain = np.float32(10.0) ** (level / 20) * corner / np.sqrt(1 + corner * corner)
    spectrum = fft.rfft(clip, size)
    power = np.square(np.abs(spectrum))
    gain *= np.sqrt(power.sum() / (np.square(gain) @ power + 1e-20))
    hiss = fft.rfft(rng.standard_normal(size, dtype=np.float32))
    hiss *= np.maximum(frequency, 40.0) ** np.float32(-rng.uniform(0.3, 1.0))
    loudness = 10 ** (rng.uniform(*((-66.0, -44.0) if field else (-100.0, -80.0))) / 20)
    hiss *= np.float32(loudness * size / np.sqrt(2 * np.square(np.abs(hiss)).sum()))
    out = fft.irfft(spectrum * gain + hiss, size)[: len(clip)].astype(np.float32)
    peak = float(np.abs(out).max())
    return out * np.float32(PEAK / peak) if peak > PEAK else out
