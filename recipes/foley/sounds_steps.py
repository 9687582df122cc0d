"""Footsteps on wood, gravel and snow: a heel and a toe, and what the ground makes of them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from . import granular, synth
from .events import Sound, between, choose, regular_times, ring
from .sound_classes import sound_class
from .synth import Array, Rng

_SPEED = {
    "slow": ("slow", "slowly", "unhurried"),
    "fast": ("quick", "quickly", "hurried"),
}


def _walk(
    rng: Rng,
    sample_rate: int,
    seconds: float,
    speed: str | None,
    count: int | None,
    step: Callable[[float], Array],
) -> Array:
    """Regular steps, `count` of them or as many as fit; `step` is given the seconds that it may last."""
    interval = choose(rng, speed, {"slow": (0.72, 0.95), "fast": (0.32, 0.42)}, "speed")
    times = regular_times(rng, seconds, interval, count, jitter=0.025)
    if len(times) > 1:
        interval = float(np.diff(times).min())
    favourite = rng.uniform(0.8, 1.0)
    steps = [
        step(0.8 * interval) * (favourite if i % 2 else 1) * rng.uniform(0.85, 1) for i in range(len(times))
    ]
    return granular.scatter(synth.length_of(seconds, sample_rate), sample_rate, times, steps)


@sound_class(
    name="footsteps_wood",
    kind="event",
    tags=("Walk, footsteps", "Run", "Shuffle"),
    rendered=False,
    subjects=(
        "a person on a wooden floor",
        "a man on wooden floorboards",
        "a woman on floorboards",
        "a walker on a wooden floor",
    ),
    verbs=("walks", "is walking", "steps", "takes a step", "strides"),
    nouns=(
        "footsteps on wood",
        "footsteps on a wooden floor",
        "steps on floorboards",
        "shoes on a wooden floor",
        "walking on a wooden floor",
        "footsteps on floorboards",
    ),
    attributes={"speed": _SPEED},
    countable=True,
    unit=("step on wood", "steps on wood"),
)
def footsteps_wood(
    rng: Rng, sample_rate: int, seconds: float, *, speed: str | None = None, count: int | None = None
) -> Sound:
    """The boards answer with a hollow thud, the heel with a click; the toe follows softly."""
    boards = np.sort(rng.uniform(75, 340, 5))
    shoe = np.sort(rng.uniform(500, 2100, 5))
    hardness, roll = between(rng, 0.15, 0.7), rng.uniform(0.06, 0.12)

    def step(length: float) -> Array:
        n = synth.length_of(length, sample_rate)
        sides = []
        for gain, bright in ((1.0, 1.0), (rng.uniform(0.2, 0.4), 1.4)):
            detune = rng.uniform(0.96, 1.04)
            f, phases = np.concatenate([boards, shoe]) * detune, rng.uniform(0, 2 * np.pi, 10)
            t60s = np.concatenate([rng.uniform(0.06, 0.14, 5), rng.uniform(0.012, 0.03, 5)])
            levels = np.concatenate(
                [rng.uniform(0.5, 1, 5), 0.5 * hardness * bright * rng.uniform(0.3, 1, 5)]
            )
            knock = ring(n, sample_rate, f, t60s, levels, phases)
            scuff = synth.band_noise(rng, n, sample_rate, 400, 3500, 12) * synth.decay(n, sample_rate, 0.03)
            sides.append(gain * (knock + 0.25 * hardness * bright * scuff))
        sound = granular.scatter(n, sample_rate, (0.0, min(roll, 0.4 * length)), sides)
        return synth.fade(sound, sample_rate, 0.0005, 0.03)

    out = _walk(rng, sample_rate, seconds, speed, count, step)
    out = synth.reverberate(rng, out, sample_rate, rng.uniform(0.15, 0.45), rng.uniform(0.05, 0.25), 2500)
    return synth.finish(synth.soften(out, 3.0), sample_rate, seconds)


@sound_class(
    name="footsteps_gravel",
    kind="event",
    tags=("Walk, footsteps", "Crunch", "Run", "Shuffle"),
    rendered=False,
    subjects=(
        "a person on gravel",
        "a walker on a gravel path",
        "a man on a gravel path",
        "a hiker on gravel",
    ),
    verbs=("walks", "is walking", "steps", "takes a step", "strides"),
    nouns=(
        "footsteps on gravel",
        "crunching footsteps on gravel",
        "steps on a gravel path",
        "shoes on gravel",
        "walking on gravel",
        "gravel crunching underfoot",
    ),
    attributes={"speed": _SPEED},
    countable=True,
    unit=("step on gravel", "steps on gravel"),
)
def footsteps_gravel(
    rng: Rng, sample_rate: int, seconds: float, *, speed: str | None = None, count: int | None = None
) -> Sound:
    """Each step crushes a hundred stones: sharp grains of 1 to 7 kHz, densest under heel and toe."""
    coarse = between(rng, 0.75, 1.3)
    grains = int(between(rng, 60, 160))
    duration = rng.uniform(0.2, 0.32)

    def step(length: float) -> Array:
        length = min(length, duration * rng.uniform(0.9, 1.1))
        n = synth.length_of(length, sample_rate)
        heel = rng.random(grains) < 0.55
        times = np.where(heel, rng.gamma(1.6, 0.09, grains), 0.5 + rng.gamma(2.0, 0.08, grains)) * length
        frequencies = np.clip(rng.lognormal(np.log(2600 * coarse), 0.5, grains), 700, 0.45 * sample_rate)
        stones = granular.ringing_grains(
            rng, sample_rate, frequencies, rng.uniform(0.003, 0.011, grains), rng.lognormal(-0.5, 0.8, grains)
        )
        crunch = granular.scatter(n, sample_rate, times, stones)
        hiss = synth.band_noise(rng, n, sample_rate, 900 * coarse, 6000, 12)
        hiss *= synth.breakpoints(n, (0, 0.1, 0.35, 0.6, 1), (0, 1, 0.35, 0.7, 0))
        thud = ring(n, sample_rate, (70, 110, 160), (0.08, 0.06, 0.05), (0.6, 0.5, 0.4))
        return synth.fade(crunch + 0.45 * hiss + thud, sample_rate, 0.001, 0.04)

    out = _walk(rng, sample_rate, seconds, speed, count, step)
    return synth.finish(synth.soften(out, 1.6), sample_rate, seconds)


@sound_class(
    name="footsteps_snow",
    kind="event",
    tags=("Walk, footsteps", "Crunch", "Crushing", "Run", "Shuffle"),
    subjects=(
        "a person in the snow",
        "a walker in deep snow",
        "a man in fresh snow",
        "a hiker in the snow",
    ),
    verbs=("walks", "is walking", "steps", "takes a step", "trudges"),
    nouns=(
        "footsteps in snow",
        "footsteps in the snow",
        "steps in fresh snow",
        "boots in the snow",
        "walking in snow",
        "snow creaking underfoot",
    ),
    attributes={"speed": _SPEED},
    countable=True,
    unit=("step in the snow", "steps in the snow"),
)
def footsteps_snow(
    rng: Rng, sample_rate: int, seconds: float, *, speed: str | None = None, count: int | None = None
) -> Sound:
    """Soft snow packs with a dull crump and a creak: stick-slip pulses through a low, wide resonance."""
    creak, squeak = between(rng, 70, 190), rng.uniform(0.8, 1.6)
    centre = between(rng, 550, 1000)
    duration = rng.uniform(0.3, 0.42)

    def step(length: float) -> Array:
        n = synth.length_of(min(length, duration * rng.uniform(0.9, 1.1)), sample_rate)
        pace = (
            creak
            * synth.smooth_curve(rng, n, sample_rate, 18, 0.7, 1.3)
            * synth.breakpoints(n, (0, 1), (1.2, 0.8))
        )
        slips = np.diff(np.floor(synth.phase_of(pace, sample_rate)), prepend=0.0) * rng.uniform(0.2, 1.0, n)
        resonances = (centre, centre * 1.7, centre * 2.9)
        packed = synth.formants(slips, sample_rate, resonances, [0.35 * f for f in resonances], (1, 0.7, 0.3))
        packed /= np.abs(packed).max() + 1e-9
        crump = synth.shaped_noise(rng, n, sample_rate, (60, 180, centre, 2200, 7000), (-18, -4, 0, -14, -44))
        shape = synth.breakpoints(n, (0, 0.18, 0.45, 0.62, 1), (0, 1, 0.6, 0.75, 0))
        return shape * (squeak * packed + 0.3 * crump)

    out = _walk(rng, sample_rate, seconds, speed, count, step)
    return synth.finish(synth.filtered(out, sample_rate, high=4200), sample_rate, seconds)
