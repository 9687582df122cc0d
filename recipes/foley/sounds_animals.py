"""Farm and house animals: a buzzing source (the vocal folds) through formants (the throat) that move.

Dogs, cats, cows, sheep and roosters share one voice; what tells them apart is length, pitch contour,
formants, roughness and tremor.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from . import parametric, synth
from .events import Sound, between, choose, how_many
from .repeat import repeated
from .sound_classes import sound_class
from .synth import Array, Rng

Vowel = tuple[Sequence[float], Sequence[float]]  # formant frequencies in Hz, their gains


def voice(
    rng: Rng,
    sample_rate: int,
    pitch: Array,
    vowels: Sequence[Vowel],
    positions: Array,
    *,
    throat: float = 1.0,
    breath: float = 0.1,
    rough: float = 0.2,
) -> Array:
    """An animal's voice `[N]`, without loudness envelope.

    Args:
        pitch: fundamental frequency `[N]` in Hz.
        vowels: mouth shapes; `positions` `[N]` moves along them (0 is the first, 1 the second, ...).
        throat: scales all formants; above 1 is a smaller animal.
        breath: level of turbulent noise relative to the tone.
        rough: irregularity of the folds: random amplitude and pitch from period to period, 0..1.
    """
    n = len(pitch)
    jitter = 1 + 0.06 * rough * synth.smooth_curve(rng, n, sample_rate, 60, -1, 1)
    source = synth.sawtooth(pitch * jitter, sample_rate)
    source *= 1 - rough * synth.smooth_curve(rng, n, sample_rate, 110, 0, 1)
    source += breath * rng.standard_normal(n)
    parts = []
    for frequencies, gains in vowels:
        centres = [throat * f for f in frequencies]
        parts.append(synth.formants(source, sample_rate, centres, [60 + 0.09 * f for f in centres], gains))
    return synth.morph(parts, positions)


def creature(
    rng: Rng, name: str, pitch: object, ranges: Mapping[str, tuple[float, float]]
) -> dict[str, float]:
    """Parameters of a creature's call (see `parametric.call`), at a pitch of its choice or a given one.

    Args:
        pitch: attribute value, or None; see `events.choose`. A higher creature is a smaller one: formants go
            with the cube root of its pitch.
        ranges: attribute value -> lowest and highest fundamental in Hz.
    """
    p = parametric.draw(rng, name)
    if pitch is not None:
        hertz = choose(rng, pitch, ranges, "pitch")
        throat, p["f0"] = (hertz / p["f0"]) ** (1 / 3), hertz
        p["subharmonic"] = 0.0  # which would be an octave lower
        for index in range(parametric.FORMANTS):
            p[f"closed{index}"] *= throat
            p[f"open{index}"] *= throat
    return p


@sound_class(
    name="dog",
    kind="event",
    surroundings="field",
    tags=("Dog", "Bark", "Bow-wow", "Yip", "Growling", "Howl", "Whimper (dog)", "Canidae, dogs, wolves"),
    subjects=("a dog", "a hound", "a guard dog", "a farm dog"),
    verbs=("barks", "is barking", "woofs", "barks at something"),
    nouns=("dog barking", "a barking dog", "a dog's bark", "barking", "dog barks", "the bark of a dog"),
    attributes={
        "pitch": {"low": ("big", "deep-voiced", "large"), "high": ("small", "little", "high-pitched")}
    },
    countable=True,
    unit=("dog bark", "dog barks"),
)
def dog(
    rng: Rng, sample_rate: int, seconds: float, *, pitch: str | None = None, count: int | None = None
) -> Sound:
    """Harsh bursts of 80 to 260 ms; the pitch jumps up and falls."""
    p = creature(rng, "dog", pitch, {"low": (170, 260), "high": (520, 820)})
    total = how_many(rng, seconds, count, 2, 6)
    spacing = None if count is not None else p["length"] + p["gap"]

    def bark(available: float) -> Array:
        return rng.uniform(0.7, 1) * parametric.call(rng, sample_rate, p, available)

    out = repeated(
        rng,
        sample_rate,
        seconds,
        total,
        1.1 * p["length"],
        bark,
        gap=0.25,
        spacing=spacing,
    )
    return synth.finish(out, sample_rate, seconds)


@sound_class(
    name="cat",
    kind="event",
    surroundings="field",
    tags=("Cat", "Meow", "Purr", "Caterwaul", "Hiss"),
    subjects=("a cat", "a house cat", "a pet cat", "a hungry cat"),
    verbs=("meows", "is meowing", "mews", "miaows"),
    nouns=("cat meowing", "a meowing cat", "a cat's meow", "meowing", "the meow of a cat", "a miaowing cat"),
    attributes={"pitch": {"low": ("deep-voiced", "big", "old"), "high": ("small", "high-pitched", "young")}},
    countable=True,
    unit=("meow", "meows"),
)
def cat(
    rng: Rng, sample_rate: int, seconds: float, *, pitch: str | None = None, count: int | None = None
) -> Sound:
    """Voice "m-ee-a-ow": a clear tone that rises and falls while the mouth opens and closes."""
    p = creature(rng, "cat", pitch, {"low": (310, 400), "high": (680, 900)})
    total = how_many(rng, seconds, count, 1, 3)

    def meow(available: float) -> Array:
        return rng.uniform(0.7, 1) * parametric.call(rng, sample_rate, p, available)

    out = repeated(rng, sample_rate, seconds, total, 1.1 * p["length"], meow, gap=0.3)
    return synth.finish(out, sample_rate, seconds)


@sound_class(
    name="cow",
    kind="event",
    surroundings="field",
    tags=("Moo", "Cattle, bovinae"),
    rendered=False,
    subjects=("a cow", "a dairy cow", "a brown cow", "a cow in a field"),
    verbs=("moos", "is mooing", "lows", "bellows"),
    nouns=("cow mooing", "a mooing cow", "the moo of a cow", "mooing", "a cow's moo", "cattle mooing"),
    attributes={
        "pitch": {"low": ("deep-voiced", "big", "heavy"), "high": ("young", "high-pitched", "small")}
    },
    countable=True,
    unit=("moo", "moos"),
)
def cow(
    rng: Rng, sample_rate: int, seconds: float, *, pitch: str | None = None, count: int | None = None
) -> Sound:
    """A long low note that starts through the nose and opens."""
    p = creature(rng, "cow", pitch, {"low": (82, 115), "high": (185, 250)})
    p["length"] = max(p["length"], 0.9)
    total = how_many(rng, seconds, count, 1, 2)

    def moo(available: float) -> Array:
        return rng.uniform(0.7, 1) * parametric.call(rng, sample_rate, p, available)

    out = repeated(rng, sample_rate, seconds, total, 1.1 * p["length"], moo, gap=0.35)
    return synth.finish(out, sample_rate, seconds)


@sound_class(
    name="sheep",
    kind="event",
    tags=("Sheep", "Bleat", "Goat"),
    rendered=False,
    subjects=("a sheep", "a woolly sheep", "a sheep in a meadow", "a farm sheep"),
    verbs=("bleats", "is bleating", "baas", "is baaing"),
    nouns=(
        "sheep bleating",
        "a bleating sheep",
        "the bleat of a sheep",
        "baaing",
        "a sheep's bleat",
        "a baaing sheep",
    ),
    attributes={"pitch": {"low": ("old", "deep-voiced", "big"), "high": ("young", "high-pitched", "small")}},
    countable=True,
    unit=("bleat", "bleats"),
)
def sheep(
    rng: Rng, sample_rate: int, seconds: float, *, pitch: str | None = None, count: int | None = None
) -> Sound:
    """A nasal "baa" that trembles 6 to 10 times a second in pitch and loudness."""
    base = choose(rng, pitch, {"low": (150, 205), "high": (360, 500)}, "pitch")
    throat = (base / 230) ** 0.25 * rng.uniform(0.93, 1.08)
    length = between(rng, 0.6, 1.2)
    tremor, depth = rng.uniform(6, 10), rng.uniform(0.45, 0.65)
    vowels: list[Vowel] = [((300, 1300), (0.7, 0.1)), ((720, 1750, 2700, 3700), (0.9, 1.0, 0.6, 0.25))]

    def bleat(available: float) -> Array:
        n = synth.length_of(min(available, length * rng.uniform(0.85, 1.1)), sample_rate)
        t = synth.time_axis(n, sample_rate)
        wobble = np.sin(2 * np.pi * (tremor * t + rng.random()))
        contour = (
            base * rng.uniform(0.95, 1.06) * synth.breakpoints(n, (0, 0.15, 0.7, 1), (0.9, 1.08, 1.0, 0.85))
        )
        tone = voice(
            rng,
            sample_rate,
            contour * (1 + 0.045 * wobble),
            vowels,
            synth.breakpoints(n, (0, 0.03, 0.1), (0, 0.2, 1)),
            throat=throat,
            breath=0.15,
            rough=0.3,
        )
        shape = synth.breakpoints(n, (0, 0.06, 0.3, 0.75, 1), (0, 0.9, 1, 0.6, 0))
        return rng.uniform(0.75, 1) * tone * shape * (1 - depth * (0.5 + 0.5 * wobble))

    total = how_many(rng, seconds, count, high=3)
    out = repeated(rng, sample_rate, seconds, total, length * 1.1, bleat, gap=0.35)
    out = synth.reverberate(rng, out, sample_rate, 0.2, rng.uniform(0.0, 0.1))
    return synth.finish(out, sample_rate, seconds)


@sound_class(
    name="rooster",
    kind="event",
    surroundings="field",
    tags=("Crowing, cock-a-doodle-doo", "Chicken, rooster", "Fowl"),
    rendered=False,
    subjects=("a rooster", "a cockerel", "a farmyard rooster", "a rooster on a farm"),
    verbs=("crows", "is crowing", "calls cock-a-doodle-doo", "crows at dawn"),
    nouns=(
        "rooster crowing",
        "a crowing rooster",
        "a cock crowing",
        "cock-a-doodle-doo",
        "the crow of a rooster",
        "a rooster's call",
    ),
    attributes={"pitch": {"low": ("deep-voiced", "big", "old"), "high": ("high-pitched", "young", "small")}},
)
def rooster(rng: Rng, sample_rate: int, seconds: float, *, pitch: str | None = None) -> Sound:
    """Voice "cock-a-doodle-doo": four harsh notes, the last the longest."""
    p = creature(rng, "rooster", pitch, {"low": (370, 440), "high": (560, 680)})
    notes = np.array([p[f"note{index}"] for index in range(4)])
    steps = (1.0, p["step1"], p["step2"], p["step3"])

    def crow(available: float) -> Array:
        scale = min(1.0, available / notes.sum())
        out = []
        for index, (duration, step) in enumerate(zip(notes * scale, steps, strict=True)):
            note = {**p, "length": duration, "f0": p["f0"] * step}
            if index < 3:
                note["end"] = max(p["end"], 0.8)
            out.append(parametric.call(rng, sample_rate, note) * (1.0 if index == 3 else 0.7))
            out.append(np.zeros(synth.length_of(0.3 * p["gap"] * scale, sample_rate)))
        return np.concatenate(out)

    length = float(notes.sum()) + 1.2 * p["gap"] + 0.1
    total = how_many(rng, seconds, None, high=2)
    song = repeated(rng, sample_rate, seconds, total, length, crow, gap=0.4)
    return synth.finish(song, sample_rate, seconds)
