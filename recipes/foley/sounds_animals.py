"""Farm and house animals: a buzzing source (the vocal folds) through formants (the throat) that move.

Dogs, cats, cows, sheep and roosters share one voice; what tells them apart is length, pitch contour,
formants, roughness and tremor.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from . import synth
from .events import Sound, between, choose, how_many
from .registry import sound_class
from .repeat import repeated
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


@sound_class(
    name="dog",
    kind="event",
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
    """Harsh bursts of 150 to 250 ms with a noisy onset; the pitch jumps up and falls."""
    base = choose(rng, pitch, {"low": (170, 260), "high": (520, 820)}, "pitch")
    throat = (base / 260) ** 0.42 * rng.uniform(0.9, 1.1)
    length = between(rng, 0.15, 0.26) * (300 / base) ** 0.15
    peak, rough = rng.uniform(0.2, 0.4), rng.uniform(0.45, 0.8)
    vowels: list[Vowel] = [
        ((420, 1000, 2300), (1.0, 0.5, 0.25)),
        ((680, 1250, 2500, 3500), (1.0, 0.8, 0.4, 0.2)),
    ]

    def bark(available: float) -> Array:
        n = synth.length_of(min(available, length * rng.uniform(0.9, 1.1)), sample_rate)
        top = base * rng.uniform(0.93, 1.08)
        contour = top * synth.breakpoints(n, (0, peak, 1), (0.7, 1.0, 0.55))
        positions = synth.breakpoints(n, (0, peak, 0.7, 1), (0, 1, 0.9, 0.1))
        tone = voice(
            rng,
            sample_rate,
            contour,
            vowels,
            positions,
            throat=throat,
            breath=rng.uniform(0.3, 0.6),
            rough=rough,
        )
        onset = synth.band_noise(rng, n, sample_rate, 500 * throat, 3500) * synth.decay(n, sample_rate, 0.05)
        shape = synth.breakpoints(n, (0, 0.07, peak, 0.75, 1), (0, 0.7, 1, 0.35, 0))
        return rng.uniform(0.75, 1) * shape * (tone / (np.abs(tone).max() + 1e-9) + 0.12 * onset)

    total = how_many(rng, seconds, count)
    out = repeated(rng, sample_rate, seconds, total, length * 1.1, bark, gap=0.25)
    out = synth.reverberate(rng, out, sample_rate, rng.uniform(0.1, 0.3), rng.uniform(0.0, 0.2))
    return synth.finish(out, sample_rate, seconds)


@sound_class(
    name="cat",
    kind="event",
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
    """ "m-ee-a-ow": a clear tone that rises and falls while the mouth opens and closes."""
    base = choose(rng, pitch, {"low": (310, 400), "high": (680, 900)}, "pitch")
    throat = (base / 500) ** 0.3 * rng.uniform(0.95, 1.08)
    length = between(rng, 0.5, 1.05)
    peak, bend = rng.uniform(0.2, 0.45), rng.uniform(0.55, 0.8)
    vowels: list[Vowel] = [
        ((320, 1200), (0.6, 0.05)),
        ((650, 2200, 3200), (0.7, 0.9, 0.4)),
        ((1000, 1700, 3100), (1.0, 0.8, 0.4)),
        ((550, 1000, 2700), (0.8, 0.35, 0.08)),
    ]

    def meow(available: float) -> Array:
        n = synth.length_of(min(available, length * rng.uniform(0.85, 1.15)), sample_rate)
        contour = (
            base * rng.uniform(0.95, 1.06) * synth.breakpoints(n, (0, peak, 0.7, 1), (0.78, 1.12, 1.0, bend))
        )
        positions = synth.breakpoints(n, (0, 0.14, 0.5, 0.95), (0.1, 1, 2, 3))
        tone = voice(rng, sample_rate, contour, vowels, positions, throat=throat, breath=0.06, rough=0.12)
        shape = synth.breakpoints(n, (0, 0.12, peak + 0.1, 0.75, 1), (0, 0.55, 1, 0.6, 0))
        return rng.uniform(0.7, 1) * tone * shape

    total = how_many(rng, seconds, count, high=3)
    out = repeated(rng, sample_rate, seconds, total, length * 1.15, meow, gap=0.3)
    return synth.finish(out, sample_rate, seconds)


@sound_class(
    name="cow",
    kind="event",
    tags=("Moo", "Cattle, bovinae"),
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
    """A long low note that starts through the nose and opens to "oo"."""
    base = choose(rng, pitch, {"low": (82, 115), "high": (185, 250)}, "pitch")
    throat = (base / 110) ** 0.25 * rng.uniform(0.92, 1.08)
    length = between(rng, 1.1, 2.1)
    peak, rough = rng.uniform(0.35, 0.65), rng.uniform(0.15, 0.45)
    vowels: list[Vowel] = [
        ((230, 950, 2000), (1.0, 0.08, 0.03)),
        ((330, 720, 2100), (1.0, 0.6, 0.1)),
        ((520, 950, 2300, 3200), (1.0, 0.8, 0.25, 0.1)),
    ]

    def moo(available: float) -> Array:
        n = synth.length_of(min(available, length * rng.uniform(0.9, 1.1)), sample_rate)
        contour = (
            base * rng.uniform(0.95, 1.05) * synth.breakpoints(n, (0, peak, 0.85, 1), (0.8, 1.1, 1.0, 0.72))
        )
        positions = synth.breakpoints(n, (0, 0.2, peak, 0.8, 1), (0, 0.6, 2, 1.3, 0.6))
        tone = voice(rng, sample_rate, contour, vowels, positions, throat=throat, breath=0.08, rough=rough)
        shape = synth.breakpoints(n, (0, 0.12, peak, 0.8, 1), (0, 0.5, 1, 0.75, 0))
        return rng.uniform(0.8, 1) * tone * shape

    total = how_many(rng, seconds, count, high=2)
    out = repeated(rng, sample_rate, seconds, total, length * 1.1, moo, gap=0.35)
    out = synth.reverberate(rng, out, sample_rate, rng.uniform(0.2, 0.6), rng.uniform(0.0, 0.15), 2500)
    return synth.finish(out, sample_rate, seconds)


@sound_class(
    name="sheep",
    kind="event",
    tags=("Sheep", "Bleat", "Goat"),
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
    tags=("Crowing, cock-a-doodle-doo", "Chicken, rooster", "Fowl"),
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
    """ "cock-a-doodle-doo": four harsh notes, the last the highest, long and falling."""
    base = choose(rng, pitch, {"low": (370, 440), "high": (560, 680)}, "pitch")
    throat = (base / 480) ** 0.3 * rng.uniform(0.95, 1.08)
    last = rng.uniform(0.6, 1.0)
    notes = np.array([rng.uniform(0.14, 0.2), rng.uniform(0.1, 0.15), rng.uniform(0.2, 0.32), last])
    steps = np.array([1.0, 1.25, 1.55, 1.95]) * rng.uniform(0.93, 1.07, 4)
    vowels: list[Vowel] = [((900, 1700, 3000), (1, 0.6, 0.3)), ((1250, 2300, 3500), (1, 0.8, 0.4))]

    def crow(available: float) -> Array:
        scale = min(1.0, available / notes.sum())
        out = []
        for index, (duration, step) in enumerate(zip(notes * scale, steps, strict=True)):
            n = synth.length_of(duration, sample_rate)
            final = index == 3
            bend = (0.9, 1.04, 1.0, 0.62) if final else (0.85, 1.06, 1.0, 0.9)
            contour = base * step * synth.breakpoints(n, (0, 0.15, 0.55, 1), bend)
            positions = synth.breakpoints(n, (0, 0.3, 0.7, 1), (0, 1, 0.8, 0))
            tone = voice(rng, sample_rate, contour, vowels, positions, throat=throat, breath=0.12, rough=0.3)
            shape = synth.breakpoints(n, (0, 0.1, 0.7, 1), (0.05, 1, 0.8, 0)) * (1.0 if final else 0.75)
            out += [tone * shape, np.zeros(synth.length_of(0.025 * scale, sample_rate))]
        return np.concatenate(out)

    length = float(notes.sum()) + 0.1
    total = how_many(rng, seconds, None, high=2)
    song = repeated(rng, sample_rate, seconds, total, length, crow, gap=0.4)
    song = synth.reverberate(rng, song, sample_rate, rng.uniform(0.2, 0.6), rng.uniform(0.05, 0.25))
    return synth.finish(song, sample_rate, seconds)
