"""Bells: doorbells, church bells and wind chimes."""

from __future__ import annotations

import numpy as np

from .events import Sound, between, choose, how_many, option, place, ring
from .granular import impulses, poisson_times, scatter
from .sound_classes import sound_class
from .synth import (
    Array,
    Rng,
    decay,
    fade,
    filtered,
    finish,
    length_of,
    resonate,
    reverberate,
    smooth_curve,
)


@sound_class(
    name="doorbell",
    kind="event",
    tags=("Doorbell", "Ding-dong", "Ding", "Chime"),
    subjects=("a doorbell", "a house doorbell", "a front door bell", "an apartment doorbell", "a door chime"),
    verbs=("rings", "goes ding dong", "sounds", "is ringing", "chimes"),
    nouns=(
        "doorbell",
        "a ringing doorbell",
        "doorbell ringing",
        "the ding dong of a doorbell",
        "a ding dong door chime",
        "someone ringing the doorbell",
    ),
    attributes={"pitch": {"low": ("low-pitched", "mellow"), "high": ("high-pitched", "bright")}},
    countable=True,
    unit=("doorbell ring", "doorbell rings"),
)
def doorbell(
    rng: Rng, sample_rate: int, seconds: float, *, pitch: str | None = None, count: int | None = None
) -> Sound:
    """Ding dong: two struck metal bars, the second lower by a third or so."""
    high = choose(rng, pitch, {"low": (480, 640), "high": (850, 1200)}, "pitch")
    low = high / float(rng.choice([1.189, 1.26, 1.26, 1.335]))
    t60 = rng.uniform(0.9, 1.6)
    apart = rng.uniform(0.28, 0.45)
    modes = np.array([1.0, 2.0, 2.76, 5.4])
    levels = np.array([1.0, rng.uniform(0.05, 0.3), rng.uniform(0.1, 0.35), rng.uniform(0.03, 0.2)])

    def ding_dong(length: float) -> Array:
        n = length_of(2 * t60, sample_rate)
        notes = [ring(n, sample_rate, f * modes, t60 / modes**0.6, levels) for f in (high, low)]
        return scatter(
            length_of(length + t60, sample_rate), sample_rate, (0.0, min(apart, length / 2)), notes
        )

    number = how_many(rng, seconds, count, 1, 2)
    x = place(rng, sample_rate, seconds, number, 0.7, ding_dong, gap=0.28 if count else 1.0, jitter=0.15)
    return finish(reverberate(rng, x, sample_rate, 0.4, rng.uniform(0.05, 0.3)), sample_rate, seconds)


@sound_class(
    name="church_bell",
    kind="event",
    tags=("Church bell", "Bell", "Change ringing (campanology)"),
    rendered=False,
    subjects=(
        "a church bell",
        "a bell tower",
        "a tower bell",
        "a cathedral bell",
        "a bell in a church tower",
    ),
    verbs=("rings", "tolls", "is ringing", "chimes", "is tolling"),
    nouns=(
        "church bell",
        "church bell ringing",
        "church bells",
        "the toll of a bell",
        "cathedral bell tolling",
        "bell ringing from a church tower",
    ),
    attributes={"size": {"large": ("large", "big", "heavy"), "small": ("small", "high-pitched")}},
    countable=True,
    unit=("church bell stroke", "church bell strokes"),
)
def church_bell(
    rng: Rng, sample_rate: int, seconds: float, *, size: str | None = None, count: int | None = None
) -> Sound:
    """Hum, prime, tierce (a minor third), quint, nominal and higher partials, which beat and die slowly."""
    prime = choose(rng, size, {"large": (130, 240), "small": (430, 700)}, "size")
    ratios = np.array([0.5, 1.0, 1.2, 1.5, 2.0, 2.51, 2.66, 3.01, 4.17, 5.43])
    ratios *= 1 + 0.006 * rng.standard_normal(10)
    t60s = np.array([14, 8, 6.5, 3.5, 4.5, 2.0, 1.8, 1.6, 1.0, 0.6]) * (300 / prime) ** 0.4
    gains = np.array([0.5, 0.7, 0.9, 0.35, 1.0, 0.4, 0.4, 0.5, 0.35, 0.2]) * rng.uniform(0.6, 1.2, 10)
    apart = 1 + rng.uniform(2e-4, 1.5e-3, 10)  # a bell is never quite round: each partial is a beating pair
    n = length_of(seconds, sample_rate)
    number = how_many(rng, seconds, count, 1, 3)

    def stroke(length: float) -> Array:
        level = rng.uniform(0.8, 1.0)
        m = length_of(0.08, sample_rate)
        x = ring(
            n, sample_rate, np.append(ratios, ratios * apart) * prime, np.tile(t60s, 2), np.tile(gains, 2)
        )
        clang = filtered(rng.standard_normal(m), sample_rate, low=6 * prime, order=1) * decay(
            m, sample_rate, 0.05
        )
        x[: min(m, n)] += 0.4 * clang[:n]
        return level * x

    x = place(rng, sample_rate, seconds, number, 0.4, stroke, gap=0.5, jitter=0.12)
    x = reverberate(rng, x, sample_rate, 0.8, rng.uniform(0.05, 0.3))
    return finish(fade(x, sample_rate, 0.0, 0.1), sample_rate, seconds)


@sound_class(
    name="bell_chimes",
    kind="texture",
    tags=("Wind chime", "Chime", "Jingle, tinkle"),
    subjects=("a wind chime", "a garden wind chime", "a hanging wind chime", "a porch wind chime"),
    verbs=("tinkles in the breeze", "jingles", "is tinkling", "chimes softly", "sways in the wind"),
    nouns=(
        "wind chimes",
        "tinkling wind chimes",
        "chimes in the wind",
        "wind chimes jingling",
        "little bells tinkling",
        "the tinkle of wind chimes",
    ),
    attributes={
        "material": {"metal": ("metal", "metallic"), "bamboo": ("bamboo", "wooden")},
        "pitch": {"low": ("low-pitched", "deep"), "high": ("high-pitched", "bright")},
    },
)
def bell_chimes(
    rng: Rng, sample_rate: int, seconds: float, *, material: str | None = None, pitch: str | None = None
) -> Sound:
    """Gusts strike hanging tubes of a pentatonic scale at random; free tubes have modes 1, 2.76, 5.40."""
    n = length_of(seconds, sample_rate)
    metal = option(rng, material, ("metal", "bamboo"), "material") == "metal"
    base = choose(rng, pitch, {"low": (480, 700), "high": (1200, 1700)}, "pitch") * (1.0 if metal else 0.6)
    tubes = base * 2 ** (np.array([0, 2, 4, 7, 9, 12]) / 12)
    gusts = smooth_curve(rng, 200, 40, 1.2) ** 2 + 0.1
    times = poisson_times(rng, gusts * between(rng, 9, 16), seconds)
    times = np.append(times, rng.uniform(0, 0.3 * seconds, 2))
    which = rng.integers(len(tubes), size=len(times))
    gains = rng.uniform(0.15, 1.0, len(times))
    t60 = between(rng, 1.4, 3.0) if metal else between(rng, 0.1, 0.2)
    modes = np.array([1.0, 2.756, 5.404]) if metal else np.array([1.0, 2.5, 4.3])
    x = np.zeros(n)
    m = length_of(min(t60, seconds), sample_rate)
    for index, f in enumerate(tubes):
        mine = which == index
        tube = ring(
            m,
            sample_rate,
            f * modes,
            t60 / np.array([1, 1.8, 3.5]),
            rng.uniform(0.3, 1.0, 3) * np.array([1, 0.6, 0.4]),
        )
        x += scatter(n, sample_rate, times[mine], list(gains[mine, None] * tube))
    if not metal:
        tock = impulses(n, sample_rate, times, gains)
        x += resonate(tock, sample_rate, (2.1 * base, 3.3 * base), (0.03, 0.02), (0.6, 0.4))
    return finish(fade(x, sample_rate, 0.0, 0.05), sample_rate, seconds)
