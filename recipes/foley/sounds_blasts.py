"""Blasts: explosions, gunshots and the laser guns of science fiction."""

from __future__ import annotations

import numpy as np

from . import parametric
from .events import Sound, between, choose, how_many, place, rolloff, tone
from .granular import impulses, poisson_times
from .sound_classes import sound_class
from .synth import (
    Array,
    Rng,
    breakpoints,
    decay,
    fade,
    finish,
    length_of,
    morph,
    resonate,
    reverberate,
    shaped_noise,
    soften,
    time_axis,
)


@sound_class(
    name="explosion",
    kind="event",
    tags=("Explosion", "Boom", "Eruption", "Artillery fire", "Burst, pop"),
    subjects=("an explosion", "a bomb", "a blast", "a detonation"),
    verbs=("goes off", "booms", "thunders", "is going off", "rumbles"),
    nouns=(
        "explosion",
        "an exploding bomb",
        "bomb exploding",
        "a bomb blast",
        "the boom of an explosion",
        "something blowing up",
    ),
    attributes={"size": {"large": ("huge", "massive", "big"), "small": ("small", "little")}},
    countable=True,
    unit=("explosion", "explosions"),
)
def explosion(
    rng: Rng, sample_rate: int, seconds: float, *, size: str | None = None, count: int | None = None
) -> Sound:
    """A blast of noise that darkens as it dies, on a falling sub-bass thump, with debris."""
    t60 = choose(rng, size, {"large": (2.6, 4.5), "small": (0.8, 1.3)}, "size")
    number = how_many(rng, seconds, count, 1, 2)
    if count is not None:
        t60 = min(t60, 2.2 * seconds / number)

    def boom(length: float) -> Array:
        n = length_of(min(1.1 * t60, seconds), sample_rate)
        t = time_axis(n, sample_rate)
        bright = shaped_noise(rng, n, sample_rate, (30, 200, 1500, 8000), (-6, 0, -5, -18))
        dark = shaped_noise(rng, n, sample_rate, (25, 60, 200, 1000), (-4, 3, -8, -42))
        blast = morph((bright, 1.5 * dark), 1 - np.exp(-t / (0.1 * t60**0.5)))
        pitch = 28 + rng.uniform(45, 80) * np.exp(-t / 0.12)
        thump = np.sin(2 * np.pi * np.cumsum(pitch) / sample_rate) * np.exp(-t / (0.12 * t60))
        debris = poisson_times(rng, np.exp(-np.linspace(0, 5, 40)) * 60, n / sample_rate)
        crackle = impulses(n, sample_rate, debris, rng.uniform(-3, 3, len(debris)))
        crackle = resonate(crackle, sample_rate, (700, 1900), (0.02, 0.015), (1.0, 0.7))
        x = (
            blast * decay(n, sample_rate, t60, 0.006)
            + 2.2 * thump
            + 0.3 * crackle * decay(n, sample_rate, t60)
        )
        return fade(soften(x, rng.uniform(1.5, 3.5)), sample_rate, 0.0, 0.15)

    x = place(rng, sample_rate, seconds, number, min(0.6, 0.4 * t60), boom, gap=0.35, jitter=0.2)
    return finish(x, sample_rate, seconds)


@sound_class(
    name="gunshot",
    kind="event",
    surroundings="field",
    tags=("Gunshot, gunfire", "Machine gun", "Fusillade", "Cap gun", "Artillery fire"),
    subjects=("a gun", "a rifle", "a firearm", "a handgun", "a shotgun"),
    verbs=("fires", "shoots", "goes off", "fires a shot", "is firing"),
    nouns=(
        "gunshot",
        "gunfire",
        "a gun being fired",
        "a shot from a gun",
        "the crack of a rifle",
        "someone shooting a gun",
    ),
    attributes={"size": {"large": ("large", "heavy"), "small": ("small", "small-calibre")}},
    countable=True,
    unit=("gunshot", "gunshots"),
)
def gunshot(
    rng: Rng, sample_rate: int, seconds: float, *, size: str | None = None, count: int | None = None
) -> Sound:
    """A burst of noise within a millisecond, that dies away in some tenths of a second."""
    p = parametric.draw(rng, "gunshot")
    if size is not None:
        calibre = choose(rng, size, {"large": (1.3, 1.9), "small": (0.5, 0.75)}, "size")
        p["burst"] /= calibre**0.5
        p["burst_decay"] = min(p["burst_decay"] * calibre**0.7, 0.4)

    def shot(length: float) -> Array:
        return rng.uniform(0.7, 1) * parametric.impact(rng, sample_rate, p)

    number = how_many(rng, seconds, count, 1, 4)
    x = place(rng, sample_rate, seconds, number, 0.3, shot, gap=0.3, jitter=0.45)
    return finish(x, sample_rate, seconds)


@sound_class(
    name="laser_zap",
    kind="event",
    tags=("Sound effect", "Zing", "Chirp tone", "Video game music"),
    subjects=("a laser", "a laser gun", "a ray gun", "a blaster", "a sci-fi laser"),
    verbs=("zaps", "fires", "is zapping", "shoots", "goes pew"),
    nouns=(
        "laser zap",
        "a sci-fi laser shot",
        "pew pew of a laser gun",
        "a ray gun firing",
        "a video game laser",
        "laser fire",
    ),
    attributes={"pitch": {"low": ("low-pitched", "deep"), "high": ("high-pitched", "bright")}},
    countable=True,
    unit=("laser zap", "laser zaps"),
)
def laser_zap(
    rng: Rng, sample_rate: int, seconds: float, *, pitch: str | None = None, count: int | None = None
) -> Sound:
    """A tone that falls over three octaves or so in a fraction of a second."""
    top = choose(rng, pitch, {"low": (900, 1500), "high": (2600, 4500)}, "pitch")
    bottom = top / between(rng, 6, 16)
    levels = rolloff(12, rng.uniform(0.9, 2.5))
    wobble, depth, bend = between(rng, 25, 90), rng.uniform(0, 0.25), rng.uniform(0.45, 1.0)

    def zap(length: float) -> Array:
        n = length_of(length, sample_rate)
        fall = breakpoints(n, (0, 1), (0, 1)) ** bend
        frequency = top * rng.uniform(0.95, 1.05) * (bottom / top) ** fall
        frequency *= 1 + depth * np.sin(2 * np.pi * wobble * time_axis(n, sample_rate))
        return fade(tone(frequency, sample_rate, levels) * (1 - 0.8 * fall), sample_rate, 0.002, 0.03)

    number = how_many(rng, seconds, count, 1, 6)
    x = place(rng, sample_rate, seconds, number, between(rng, 0.18, 0.45), zap, gap=0.25, jitter=0.3)
    return finish(reverberate(rng, x, sample_rate, 0.35, rng.uniform(0.05, 0.3)), sample_rate, seconds)
