"""Small mechanisms: ticking clocks, camera shutters, keyboards and zippers."""

from __future__ import annotations

import numpy as np

from . import parametric
from .events import Sound, between, choose, how_many, option, place, regular_times, ring
from .granular import scatter
from .sound_classes import sound_class
from .synth import (
    Array,
    Rng,
    band_noise,
    breakpoints,
    coloured_noise,
    decay,
    fade,
    filtered,
    finish,
    length_of,
    morph,
    resonate,
)


@sound_class(
    name="clock_ticking",
    kind="texture",
    tags=("Tick", "Tick-tock", "Clock"),
    rendered=False,
    subjects=("a clock", "a wall clock", "an old clock", "a table clock", "a mechanical clock"),
    verbs=("ticks", "is ticking", "goes tick tock", "keeps ticking"),
    nouns=(
        "clock ticking",
        "a ticking clock",
        "the tick tock of a clock",
        "the ticking of a clock",
        "a clock going tick tock",
        "mechanical ticking",
    ),
    attributes={
        "speed": {"slow": ("slow", "slowly ticking"), "fast": ("fast", "quickly ticking")},
        "size": {"large": ("large", "big"), "small": ("small", "tiny")},
    },
)
def clock_ticking(
    rng: Rng, sample_rate: int, seconds: float, *, speed: str | None = None, size: str | None = None
) -> Sound:
    """Strictly regular clicks, tick and tock a little different, in a wooden or metal case."""
    n = length_of(seconds, sample_rate)
    interval = choose(rng, speed, {"slow": (0.75, 1.1), "fast": (0.2, 0.4)}, "speed")
    case = choose(rng, size, {"large": (450, 900), "small": (2200, 3600)}, "size")
    times = regular_times(rng, seconds, interval, None)
    m = length_of(0.12, sample_rate)
    t60 = between(rng, 0.03, 0.08)

    def click(shift: float) -> Array:
        modes = case * shift * np.array([1.0, 1.62, 2.41, 3.9])
        x = ring(m, sample_rate, modes, t60 / np.array([1, 1.3, 1.7, 2.4]), rng.uniform(0.3, 1.0, 4))
        gear = filtered(rng.standard_normal(m), sample_rate, low=min(2.5 * case, 4000), order=1)
        x += rng.uniform(0.2, 0.6) * gear * decay(m, sample_rate, 0.012)
        return scatter(m, sample_rate, (0.0, rng.uniform(0.008, 0.02)), (x, x * rng.uniform(0.2, 0.6)))

    tick, tock = click(1.0), click(rng.uniform(0.72, 0.93)) * rng.uniform(0.6, 1.0)
    grains = np.stack([tick, tock])[np.arange(len(times)) % 2] * rng.uniform(0.93, 1.0, (len(times), 1))
    x = scatter(n, sample_rate, times, grains) + 0.002 * coloured_noise(rng, n, sample_rate, -3.0)
    return finish(x, sample_rate, seconds)


@sound_class(
    name="camera_shutter",
    kind="event",
    surroundings="field",
    tags=("Camera", "Single-lens reflex camera"),
    subjects=("a camera", "a camera shutter", "a photo camera", "a photographer's camera", "a reflex camera"),
    verbs=("clicks", "takes a picture", "takes a photo", "snaps a photo", "goes click"),
    nouns=(
        "camera shutter",
        "the click of a camera",
        "a camera taking a photo",
        "a camera shutter clicking",
        "a photographer taking a picture",
        "a snapshot being taken",
    ),
    attributes={"age": {"old": ("old", "vintage"), "modern": ("modern", "digital")}},
    countable=True,
    unit=("camera click", "camera clicks"),
)
def camera_shutter(
    rng: Rng, sample_rate: int, seconds: float, *, age: str | None = None, count: int | None = None
) -> Sound:
    """Mirror and shutter: two crisp clatters; an old camera then winds its film on."""
    p = parametric.draw(rng, "camera_shutter")
    old = option(rng, age, ("old", "modern"), "age") == "old"
    if age is not None:
        p["mode0"] *= 0.8 if old else 1.25
        p["burst"] *= 0.8 if old else 1.25

    def shot(length: float) -> Array:
        parts, times = [parametric.double_impact(rng, sample_rate, p)], [0.0]
        if old:  # ratchet of the film advance
            for at in np.arange(0.28, min(length, 0.28 + rng.uniform(0.2, 0.35)), 1 / rng.uniform(28, 45)):
                parts.append(rng.uniform(0.08, 0.16) * parametric.impact(rng, sample_rate, p))
                times.append(float(at))
        return scatter(length_of(length + 0.1, sample_rate), sample_rate, times, parts)

    number = how_many(rng, seconds, count, 1, 3)
    x = place(rng, sample_rate, seconds, number, 0.65 if old else 0.25, shot, gap=0.3, jitter=0.5)
    return finish(x, sample_rate, seconds)


@sound_class(
    name="keyboard_typing",
    kind="texture",
    surroundings="field",
    tags=("Typing", "Computer keyboard", "Typewriter"),
    rendered=False,
    subjects=("someone", "somebody", "someone at a desk", "somebody at a computer"),
    verbs=(
        "types on a keyboard",
        "is typing on a keyboard",
        "taps on a computer keyboard",
        "is typing",
        "hits the keys of a keyboard",
    ),
    nouns=(
        "keyboard typing",
        "typing",
        "typing on a keyboard",
        "computer keyboard clatter",
        "keys clicking on a keyboard",
        "typing on a computer keyboard",
    ),
    attributes={"speed": {"slow": ("slow", "slowly"), "fast": ("fast", "quickly", "rapid")}},
)
def keyboard_typing(rng: Rng, sample_rate: int, seconds: float, *, speed: str | None = None) -> Sound:
    """Irregular key strokes in bursts: each key clicks down and, weaker, comes up again."""
    n = length_of(seconds, sample_rate)
    p = parametric.draw(rng, "keyboard_typing")
    p["timing"] = max(p["timing"], 0.3)
    if speed is not None:
        p["rate"] = choose(rng, speed, {"slow": (2.2, 3.5), "fast": (7.0, 11.0)}, "speed")
    return finish(parametric.impacts(rng, sample_rate, p, n), sample_rate, seconds)


@sound_class(
    name="zipper",
    kind="event",
    tags=("Zipper (clothing)",),
    rendered=False,
    subjects=("a zipper", "a jacket zipper", "a metal zipper", "a bag zipper"),
    verbs=("is zipped up", "is pulled", "zips up", "is opened", "is closed"),
    nouns=(
        "zipper",
        "zipping up a jacket",
        "a zipper being pulled",
        "zipping a bag",
        "the zip of a zipper",
        "someone opening a zipper",
    ),
    attributes={"speed": {"slow": ("slow", "slowly pulled"), "fast": ("fast", "quickly pulled")}},
    countable=True,
    unit=("zip of a zipper", "zips of a zipper"),
)
def zipper(
    rng: Rng, sample_rate: int, seconds: float, *, speed: str | None = None, count: int | None = None
) -> Sound:
    """Teeth clicking faster and faster: a dense train of tiny ticks that rises in pitch and brightness."""
    length = choose(rng, speed, {"slow": (0.8, 1.2), "fast": (0.25, 0.4)}, "speed")
    teeth = between(rng, 70, 110)
    slider = between(rng, 2600, 3800)

    def zip_(length: float) -> Array:
        n = length_of(length, sample_rate)
        rate = teeth / length * breakpoints(n, (0, 0.15, 0.85, 1), (0.4, 0.8, 1.3, 1.5))
        phase = np.cumsum(rate) / sample_rate
        ticks = np.diff(np.floor(phase), prepend=0) * rng.uniform(0.5, 1.0, n)
        ticks = resonate(
            ticks, sample_rate, (slider, 1.55 * slider, 0.5 * slider), (0.008, 0.006, 0.008), (1, 0.9, 0.5)
        )
        scrape = band_noise(rng, n, sample_rate, 2500, 7500) * (0.5 + 0.5 * np.cos(2 * np.pi * phase))
        dull, bright = filtered(scrape, sample_rate, high=3500, order=1), scrape
        x = ticks / (ticks.std() + 1e-9) + 0.7 * morph((dull, bright), breakpoints(n, (0, 1), (0, 1)))
        x = filtered(x, sample_rate, low=700)
        return fade(x * breakpoints(n, (0, 0.1, 0.9, 1), (0.4, 0.8, 1, 0.9)), sample_rate, 0.01, 0.015)

    number = how_many(rng, seconds, count, 1, 3)
    x = place(
        rng,
        sample_rate,
        seconds,
        number,
        min(length, seconds / number) if count is None else min(length, 0.7),
        zip_,
        gap=0.3,
        jitter=0.3,
    )
    return finish(x, sample_rate, seconds)
