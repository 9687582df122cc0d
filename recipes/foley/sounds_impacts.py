"""Impacts: knocks on a door, hammer blows, falling coins and breaking glass."""

from __future__ import annotations

import numpy as np

from . import parametric
from .events import Sound, between, choose, how_many, place, regular_times, ring
from .granular import ringing_grains, scatter
from .sound_classes import sound_class
from .synth import Array, Rng, band_noise, decay, fade, filtered, finish, length_of, reverberate


@sound_class(
    name="door_knock",
    kind="event",
    tags=("Knock", "Tap", "Thunk"),
    subjects=("someone", "somebody", "someone outside", "somebody outside"),
    verbs=(
        "knocks on a door",
        "knocks on the door",
        "is knocking on a door",
        "raps on a wooden door",
        "knocks at the door",
    ),
    nouns=(
        "knocking on a door",
        "a knock at the door",
        "door knocking",
        "knocking",
        "knuckles rapping on a wooden door",
        "knocks on wood",
    ),
    attributes={"speed": {"slow": ("slow", "slowly", "unhurried"), "fast": ("fast", "quickly", "rapid")}},
    countable=True,
    unit=("knock on a door", "knocks on a door"),
)
def door_knock(
    rng: Rng, sample_rate: int, seconds: float, *, speed: str | None = None, count: int | None = None
) -> Sound:
    """Groups of thuds: a wooden panel's low modes after a short blow of the knuckles."""
    interval = choose(rng, speed, {"slow": (0.42, 0.6), "fast": (0.17, 0.25)}, "speed")
    panel = between(rng, 95, 200)
    modes = panel * np.array([1.0, 1.58, 2.24, 2.92, 4.2, 6.3, 9.1]) * rng.uniform(0.95, 1.05, 7)
    t60s = between(rng, 0.1, 0.2) / np.array([1, 1, 1.1, 1.3, 1.6, 2.2, 3])
    gains = rng.uniform(0.5, 1.0, 7) * np.array([1, 0.9, 0.8, 0.6, 0.5, 0.35, 0.25])
    m = length_of(0.25, sample_rate)

    def knock() -> Array:
        hit = ring(m, sample_rate, modes, t60s, gains * rng.uniform(0.85, 1.15, 7))
        skin = filtered(rng.standard_normal(m), sample_rate, 300, 2500, 1) * decay(m, sample_rate, 0.02)
        return (hit + 0.5 * skin) * rng.uniform(0.8, 1.0)

    hits = [knock() for _ in range(4)]
    if count is not None:
        times = regular_times(rng, seconds, max(interval, 0.27), count, jitter=0.02)
    else:
        groups = how_many(rng, seconds, None, 1, 3)
        size = int(rng.integers(2, 5))
        slot = seconds / groups
        lead = rng.uniform(0.02, 0.3, groups) * max(slot - size * interval, 0)
        times = (np.arange(groups) * slot + lead)[:, None] + interval * np.arange(size)
        times = np.ravel(times + rng.normal(0, 0.02 * interval, times.shape))
    x = scatter(
        length_of(seconds, sample_rate),
        sample_rate,
        times,
        [hits[i] for i in rng.integers(len(hits), size=len(times))],
    )
    return finish(reverberate(rng, x, sample_rate, 0.25, rng.uniform(0.05, 0.3), 2500), sample_rate, seconds)


@sound_class(
    name="hammer",
    kind="event",
    surroundings="field",
    tags=("Hammer", "Thunk", "Whack, thwack", "Tap"),
    rendered=False,
    subjects=("a hammer", "a steel hammer", "a claw hammer", "a carpenter's hammer"),
    verbs=("pounds a nail", "hammers", "strikes a nail", "is hammering", "bangs"),
    nouns=(
        "hammer",
        "hammering",
        "hammering a nail",
        "a hammer hitting a nail",
        "the blows of a hammer",
        "someone hammering nails into wood",
    ),
    attributes={
        "size": {"large": ("large", "heavy"), "small": ("small", "light")},
        "speed": {"slow": ("slow", "slowly swung"), "fast": ("fast", "quickly swung")},
    },
    countable=True,
    unit=("hammer blow", "hammer blows"),
)
def hammer(
    rng: Rng,
    sample_rate: int,
    seconds: float,
    *,
    size: str | None = None,
    speed: str | None = None,
    count: int | None = None,
) -> Sound:
    """Blows on a nail, each a click and a ring over the thump of the wood, and perhaps a rebound."""
    p = parametric.draw(rng, "hammer")
    interval = 1 / p["rate"]
    if speed is not None:
        interval = choose(rng, speed, {"slow": (0.75, 1.1), "fast": (0.32, 0.45)}, "speed")
    head = 1.0
    if size is not None:
        head = choose(rng, size, {"large": (0.6, 0.85), "small": (1.25, 1.7)}, "size")
        p["burst"] *= head
    times = regular_times(rng, seconds, interval, count, jitter=0.025)
    hits = [parametric.double_impact(rng, sample_rate, p, head) * rng.uniform(0.8, 1) for _ in times]
    return finish(scatter(length_of(seconds, sample_rate), sample_rate, times, hits), sample_rate, seconds)


@sound_class(
    name="coin",
    kind="event",
    tags=("Coin (dropping)", "Chink, clink", "Ding", "Clang"),
    subjects=("a coin", "a metal coin", "a dropped coin", "a falling coin"),
    verbs=(
        "drops on a table",
        "clinks",
        "bounces on the floor",
        "lands on a hard surface",
        "rings on the counter",
    ),
    nouns=(
        "coin",
        "a dropping coin",
        "coin clink",
        "a coin falling on a table",
        "a spinning coin",
        "a coin bouncing on the floor",
    ),
    attributes={"size": {"large": ("large", "heavy"), "small": ("small", "light")}},
    countable=True,
    unit=("coin drop", "coin drops"),
)
def coin(
    rng: Rng, sample_rate: int, seconds: float, *, size: str | None = None, count: int | None = None
) -> Sound:
    """A metal disc's high modes, struck again and again as the coin bounces and settles."""
    base = choose(rng, size, {"large": (1900, 2700), "small": (3600, 5000)}, "size")
    modes = base * np.array([1.0, 1.02, 1.73, 2.33, 2.36])
    t60 = between(rng, 0.25, 0.6)
    m = length_of(t60, sample_rate)

    def drop(length: float) -> Array:
        apart, times = min(rng.uniform(0.18, 0.3), 0.4 * length), [0.0]
        shrink = rng.uniform(0.62, 0.75)
        while times[-1] + apart < length and apart > 0.012:
            times.append(times[-1] + apart)
            apart *= shrink
        level = 0.72 ** np.arange(len(times)) if count is None else 0.35 ** np.arange(len(times))
        hits = [
            g * ring(m, sample_rate, modes, t60 / np.array([1, 1, 1.3, 2, 2]), rng.uniform(0.2, 1.0, 5))
            for g in level
        ]
        clicks = [fade(h, sample_rate, 0.0, 0.02) for h in hits]
        return scatter(length_of(length, sample_rate) + m, sample_rate, times, clicks)

    number = how_many(rng, seconds, count, 1, 3)
    x = place(rng, sample_rate, seconds, number, 0.9 if count is None else 0.5, drop, gap=0.3, jitter=0.3)
    return finish(x, sample_rate, seconds)


@sound_class(
    name="glass_breaking",
    kind="event",
    tags=("Glass", "Shatter", "Breaking", "Smash, crash", "Chink, clink"),
    subjects=("glass", "a pane of glass", "a drinking glass", "a sheet of glass", "a glass window"),
    verbs=("breaks", "shatters", "smashes", "is shattering", "breaks into pieces"),
    nouns=(
        "glass breaking",
        "breaking glass",
        "shattering glass",
        "a glass smashing on the floor",
        "a window being smashed",
        "the crash of broken glass",
    ),
    attributes={"size": {"large": ("large", "big"), "small": ("small", "little")}},
    countable=True,
    unit=("glass smash", "glass smashes"),
)
def glass_breaking(
    rng: Rng, sample_rate: int, seconds: float, *, size: str | None = None, count: int | None = None
) -> Sound:
    """A crack, then dozens of ringing shards that fall and thin out."""
    scale = choose(rng, size, {"large": (0.55, 0.8), "small": (1.15, 1.6)}, "size")
    number = how_many(rng, seconds, count, 1, 2)
    length = between(rng, 0.8, 1.8) / scale**0.5 if count is None else 0.55

    def crash(length: float) -> Array:
        n = length_of(length, sample_rate)
        crack = band_noise(rng, n, sample_rate, 900 * scale, 7500) * decay(
            n, sample_rate, 0.16 / scale, 0.001
        )
        thud = ring(n, sample_rate, (220 * scale, 530 * scale), 0.12, 1.5)
        grains = int(rng.integers(45, 90) * (0.5 + 0.5 * min(length, 1.5)))
        times = np.sort(rng.exponential(0.22 * length, grains))
        f = between(rng, 2600, 3400) * scale * rng.lognormal(0, 0.35, grains)
        gains = rng.uniform(0.1, 1.0, grains) * np.exp(-1.6 * times / length)
        shards = scatter(
            n, sample_rate, times, ringing_grains(rng, sample_rate, f, rng.uniform(0.06, 0.25, grains), gains)
        )
        return fade(crack + thud + 1.2 * shards, sample_rate, 0.0, 0.06)

    x = place(rng, sample_rate, seconds, number, length, crash, gap=0.3, jitter=0.3)
    return finish(x, sample_rate, seconds)
