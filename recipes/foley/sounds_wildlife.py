"""Birds, owls, frogs and insects: whistles with quick pitch sweeps, pulse trains and wing beats."""

from __future__ import annotations

import numpy as np

from . import granular, parametric, synth
from .events import Sound, between, choose, how_many
from .repeat import repeated
from .sound_classes import sound_class
from .synth import Array, Rng


@sound_class(
    name="birds",
    kind="event",
    surroundings="field",
    tags=("Bird", "Bird vocalization, bird call, bird song", "Chirp, tweet", "Squawk"),
    subjects=("a bird", "a songbird", "a garden bird", "a bird in a tree", "birds"),
    verbs=("chirps", "is chirping", "sings", "is singing", "tweets", "twitters"),
    nouns=(
        "bird song",
        "birds chirping",
        "birdsong",
        "a chirping bird",
        "birds singing",
        "tweeting birds",
        "bird calls",
    ),
    attributes={
        "pitch": {"low": ("low-pitched", "large"), "high": ("high-pitched", "tiny")},
        "speed": {"slow": ("slow", "slowly", "calm"), "fast": ("fast-singing", "rapidly", "lively")},
    },
    countable=True,
    unit=("bird chirp", "bird chirps"),
)
def birds(
    rng: Rng,
    sample_rate: int,
    seconds: float,
    *,
    pitch: str | None = None,
    speed: str | None = None,
    count: int | None = None,
) -> Sound:
    """Whistled notes that sweep over a fifth or more in a few hundredths of a second, in phrases."""
    n = synth.length_of(seconds, sample_rate)
    base = choose(rng, pitch, {"low": (1900, 2500), "high": (4000, 5200)}, "pitch")
    pace = choose(rng, speed, {"slow": (2.2, 3.2), "fast": (6.5, 9.5)}, "speed")
    if count is not None:
        note = _bird_note(rng, base)
        total = how_many(rng, seconds, count)
        out = repeated(
            rng,
            sample_rate,
            seconds,
            total,
            0.2,
            lambda left: _sing(rng, sample_rate, note, min(left, 0.2)),
            gap=0.25,
        )
    else:
        out = np.zeros(n)
        for bird in range(int(rng.integers(1, 4))):
            own = base * (1 if bird == 0 else rng.uniform(0.8, 1.25))
            repertoire = [_bird_note(rng, own) for _ in range(int(rng.integers(2, 4)))]
            now, starts, notes = rng.uniform(0, 0.15) * min(seconds, 3), [], []
            while now < seconds:
                note = repertoire[int(rng.integers(len(repertoire)))]
                for _ in range(int(rng.integers(2, 7))):
                    starts.append(now)
                    notes.append(_sing(rng, sample_rate, note, 0.75 / pace))
                    now += rng.uniform(0.95, 1.05) / pace
                now += rng.uniform(0.2, 1.0) * (1 if bird == 0 else 2)
            out += granular.scatter(n, sample_rate, starts, notes) * (
                1 if bird == 0 else rng.uniform(0.08, 0.5)
            )
    out = synth.reverberate(rng, out, sample_rate, rng.uniform(0.15, 0.5), rng.uniform(0.05, 0.25), 6000)
    return synth.finish(out, sample_rate, seconds)


def _bird_note(rng: Rng, base: float) -> tuple[Array, float, float, float]:
    """A note to repeat: pitch targets in Hz, warble rate in Hz, warble depth, length 0..1 of its slot."""
    shapes = ((0.75, 1.2), (1.3, 0.8), (0.8, 1.25, 0.85), (1.15, 0.8, 1.2), (1.0, 1.02), (1.35, 1.0, 1.0))
    shape = np.array(shapes[int(rng.integers(len(shapes)))])
    warble = rng.uniform(25, 55) if rng.random() < 0.35 else 0.0
    return base * shape * rng.uniform(0.92, 1.08), warble, rng.uniform(0.03, 0.09), rng.uniform(0.55, 1.0)


def _sing(rng: Rng, sample_rate: int, note: tuple[Array, float, float, float], length: float) -> Array:
    targets, warble, depth, fill = note
    n = max(synth.length_of(min(length, 0.3) * fill, sample_rate), 8)
    sweep = synth.breakpoints(n, np.linspace(0, 1, len(targets)), targets) * rng.uniform(0.98, 1.02)
    sweep *= 1 + (depth * np.sin(2 * np.pi * warble * synth.time_axis(n, sample_rate)) if warble else 0)
    # a low sample rate can only hold the lower part of a song: fold it down as a whole
    sweep *= min(1.0, 0.42 * sample_rate / float(sweep.max()))
    tone = synth.harmonics(sweep, sample_rate, (1.0, 0.08, 0.03))
    return rng.uniform(0.7, 1) * tone * synth.bump(n, rng.uniform(0.3, 0.6), 0.7)


@sound_class(
    name="crickets",
    kind="texture",
    tags=("Cricket", "Insect"),
    rendered=False,
    subjects=("a cricket", "a field cricket", "crickets", "a cricket in the grass", "night crickets"),
    verbs=("chirps", "is chirping", "chirrs", "sings at night", "stridulates"),
    nouns=(
        "crickets",
        "crickets chirping",
        "a chirping cricket",
        "chirping crickets",
        "crickets at night",
        "a field of crickets",
    ),
    attributes={
        "pitch": {"low": ("low-pitched", "large"), "high": ("high-pitched", "tiny")},
        "speed": {"slow": ("slow", "slowly"), "fast": ("fast-chirping", "rapidly", "rapid")},
    },
)
def crickets(
    rng: Rng, sample_rate: int, seconds: float, *, pitch: str | None = None, speed: str | None = None
) -> Sound:
    """Steady tones of 3 to 6 kHz cut into pulses, three to five to a chirp, several chirps a second."""
    n = synth.length_of(seconds, sample_rate)
    carrier = choose(rng, pitch, {"low": (3000, 3700), "high": (4800, 5900)}, "pitch")
    rate = choose(rng, speed, {"slow": (1.5, 2.1), "fast": (3.6, 5.2)}, "speed")
    trill = speed is None and rng.random() < 0.25
    out = np.zeros(n)
    for insect in range(int(rng.integers(1, 5))):
        level = 1.0 if insect == 0 else between(rng, 0.03, 0.4)
        pulse_rate = rng.uniform(28, 45)
        m = max(synth.length_of(0.62 / pulse_rate, sample_rate), 4)
        if trill:
            times = np.arange(0, seconds, 1 / pulse_rate)
            gains = np.interp(times, np.linspace(0, seconds, 12), rng.uniform(0.6, 1, 12))
        else:
            pulses = int(rng.integers(3, 6))
            starts = granular.periodic_times(rng, rate * rng.uniform(0.93, 1.07), seconds, jitter=0.03)
            times = (starts[:, None] + np.arange(pulses) / pulse_rate).ravel()
            gains = np.tile(np.linspace(0.5, 1, pulses), len(starts))
        envelope = granular.scatter(n, sample_rate, times, gains[:, None] * synth.bump(m, 0.45)[None])
        frequency = min(carrier * (1 if insect == 0 else rng.uniform(0.92, 1.08)), 0.44 * sample_rate)
        drift = synth.smooth_curve(rng, n, sample_rate, 3, 0.995, 1.005)
        out += level * envelope * synth.sine(frequency * drift, sample_rate)
    night = synth.band_noise(rng, n, sample_rate, 150, 1500, skirt_db=9)
    out += between(rng, 0.0005, 0.004) * night
    return synth.finish(out, sample_rate, seconds)


@sound_class(
    name="frog",
    kind="event",
    surroundings="field",
    tags=("Frog", "Croak"),
    rendered=False,
    subjects=("a frog", "a pond frog", "a frog by a pond", "a croaking frog"),
    verbs=("croaks", "is croaking", "ribbits", "gives a croak"),
    nouns=(
        "frog croaking",
        "a croaking frog",
        "the croak of a frog",
        "croaking",
        "a frog's croak",
        "a ribbiting frog",
    ),
    attributes={
        "pitch": {"low": ("deep-voiced", "big", "low-pitched"), "high": ("small", "high-pitched", "little")}
    },
    countable=True,
    unit=("croak", "croaks"),
)
def frog(
    rng: Rng, sample_rate: int, seconds: float, *, pitch: str | None = None, count: int | None = None
) -> Sound:
    """Voice "rib-bit": a rattle of 35 to 90 pulses a second through two resonances, the second higher."""
    resonance = choose(rng, pitch, {"low": (330, 520), "high": (1050, 1600)}, "pitch")
    rattle = between(rng, 35, 90)
    length = between(rng, 0.25, 0.5)
    split, step = rng.uniform(0.35, 0.5), rng.uniform(1.12, 1.45)

    def croak(available: float) -> Array:
        n = synth.length_of(min(available, length * rng.uniform(0.9, 1.1)), sample_rate)
        pace = rattle * rng.uniform(0.95, 1.05) * synth.breakpoints(n, (0, 1), (0.9, 1.25))
        pulses = np.diff(np.floor(synth.phase_of(pace, sample_rate)), prepend=0.0)
        pulses *= rng.uniform(0.6, 1.0, n)
        halves = []
        for factor in (1.0, step):
            centres = [resonance * factor, resonance * factor * 2.3, resonance * factor * 3.9]
            halves.append(
                synth.formants(pulses, sample_rate, centres, [0.12 * f for f in centres], (1, 0.6, 0.15))
            )
        tone = synth.morph(halves, (np.linspace(0, 1, n) > split).astype(np.float64))
        dip = (split - 0.04, split, split + 0.04)
        return (
            rng.uniform(0.75, 1)
            * tone
            * synth.breakpoints(n, (0, 0.1, *dip, 0.85, 1), (0, 0.8, 0.7, 0.15, 1, 0.8, 0))
        )

    total = how_many(rng, seconds, count)
    out = repeated(rng, sample_rate, seconds, total, length * 1.1, croak, gap=0.25)
    out = synth.reverberate(rng, out, sample_rate, 0.3, rng.uniform(0.0, 0.12), 3000)
    return synth.finish(synth.soften(out, 2.5), sample_rate, seconds)


@sound_class(
    name="owl",
    kind="event",
    tags=("Owl", "Hoot"),
    rendered=False,
    subjects=("an owl", "a tawny owl", "an owl in the forest", "a night owl"),
    verbs=("hoots", "is hooting", "gives a hoot", "hoots in the night"),
    nouns=("owl hooting", "a hooting owl", "the hoot of an owl", "an owl's hoot", "hooting", "an owl call"),
    attributes={"pitch": {"low": ("deep-voiced", "large", "low-pitched"), "high": ("small", "high-pitched")}},
    countable=True,
    unit=("owl hoot", "owl hoots"),
)
def owl(
    rng: Rng, sample_rate: int, seconds: float, *, pitch: str | None = None, count: int | None = None
) -> Sound:
    """Voice "hu-hooo": a soft, nearly pure tone in two joined syllables, the second long."""
    base = choose(rng, pitch, {"low": (270, 340), "high": (470, 600)}, "pitch")
    length = between(rng, 0.55, 0.9)
    split, tremble = rng.uniform(0.2, 0.32), rng.uniform(0, 0.25)

    def hoot(available: float) -> Array:
        n = synth.length_of(min(available, length * rng.uniform(0.92, 1.08)), sample_rate)
        bend = synth.breakpoints(
            n, (0, split * 0.5, split, split + 0.15, 0.8, 1), (0.93, 1.03, 0.93, 1.05, 1.02, 0.9)
        )
        tone = synth.harmonics(base * rng.uniform(0.98, 1.02) * bend, sample_rate, (1.0, 0.12, 0.06, 0.01))
        breath = synth.band_noise(rng, n, sample_rate, base * 0.8, base * 1.6)
        shape = synth.breakpoints(
            n, (0, 0.08, split - 0.03, split, split + 0.1, 0.7, 1), (0, 0.75, 0.6, 0.25, 1, 0.8, 0)
        )
        shape = shape * (1 - tremble * (0.5 + 0.5 * np.sin(2 * np.pi * 13 * synth.time_axis(n, sample_rate))))
        return rng.uniform(0.85, 1) * shape * (tone + 0.025 * breath)

    total = how_many(rng, seconds, count, high=3)
    out = repeated(rng, sample_rate, seconds, total, length * 1.08, hoot, gap=0.35)
    out = synth.reverberate(rng, out, sample_rate, rng.uniform(0.3, 0.9), rng.uniform(0.05, 0.2), 2500)
    return synth.finish(out, sample_rate, seconds)


@sound_class(
    name="bee",
    kind="texture",
    surroundings="field",
    tags=("Bee, wasp, etc.", "Buzz", "Fly, housefly", "Mosquito", "Insect"),
    subjects=("a bee", "an insect", "a wasp", "a fly", "a buzzing insect"),
    verbs=("buzzes", "is buzzing", "buzzes around", "is buzzing around", "buzzes past"),
    nouns=(
        "bee buzzing",
        "a buzzing bee",
        "insect buzzing",
        "a buzzing fly",
        "the buzz of a bee",
        "the buzz of an insect",
    ),
    attributes={"size": {"small": ("small", "tiny", "little"), "large": ("big", "fat", "large")}},
)
def bee(rng: Rng, sample_rate: int, seconds: float, *, size: str | None = None) -> Sound:
    """Beating wings, bent in pitch and loudness by an erratic flight that comes near and goes."""
    n = synth.length_of(seconds, sample_rate)
    p = parametric.draw(rng, "bee")
    if size is not None:
        p["f0"] = choose(rng, size, {"large": (115, 165), "small": (300, 430)}, "size")
    flights = []
    starts = [0.0]
    while starts[-1] < seconds:
        flights.append(parametric.call(rng, sample_rate, p) * rng.uniform(0.6, 1))
        starts.append(starts[-1] + len(flights[-1]) / sample_rate + p["gap"] * rng.uniform(0.1, 0.5))
    out = granular.scatter(n, sample_rate, starts[: len(flights)], flights)
    hum = parametric.call(rng, sample_rate, {**p, "length": seconds})  # while it is further away
    out += 0.15 * np.abs(out).max() * synth.fit(hum, n)
    return synth.finish(out, sample_rate, seconds)
