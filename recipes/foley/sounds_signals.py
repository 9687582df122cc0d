"""Signals: sirens, alarms, telephones, car horns, test tones and steady noise."""

from __future__ import annotations

import numpy as np

from .events import (
    Sound,
    between,
    choose,
    how_many,
    option,
    place,
    regular_times,
    ring,
    rolloff,
    scrambled,
    tone,
)
from .granular import scatter
from .sound_classes import sound_class
from .synth import (
    Array,
    Rng,
    coloured_noise,
    decay,
    fade,
    filtered,
    finish,
    length_of,
    reverberate,
    smooth_curve,
    time_axis,
)


@sound_class(
    name="siren",
    kind="texture",
    surroundings="field",
    tags=(
        "Siren",
        "Police car (siren)",
        "Ambulance (siren)",
        "Emergency vehicle",
        "Fire engine, fire truck (siren)",
        "Civil defense siren",
    ),
    subjects=("a siren", "a police siren", "an ambulance siren", "an emergency siren", "a fire engine siren"),
    verbs=("wails", "is wailing", "blares", "sounds", "is blaring"),
    nouns=(
        "siren",
        "a wailing siren",
        "an emergency vehicle siren",
        "a police car with its siren on",
        "an ambulance siren wailing",
        "the siren of a fire engine",
    ),
    attributes={
        "pattern": {"sweeping": ("sweeping", "rising and falling"), "two-tone": ("two-tone", "hi-lo")},
        "speed": {"slow": ("slow", "slowly changing"), "fast": ("fast", "rapid")},
    },
)
def siren(
    rng: Rng, sample_rate: int, seconds: float, *, pattern: str | None = None, speed: str | None = None
) -> Sound:
    """A horn-loaded tone that sweeps between two pitches or alternates between them."""
    n = length_of(seconds, sample_rate)
    t = time_axis(n, sample_rate)
    pattern = option(rng, pattern, ("sweeping", "two-tone"), "pattern")
    if pattern == "two-tone":
        cycle = choose(rng, speed, {"slow": (1.3, 2.2), "fast": (0.45, 0.8)}, "speed")
        low = between(rng, 380, 750)
        high = low * float(rng.choice([1.2, 1.26, 1.335, 1.41]))
        position = np.clip(6 * np.sin(2 * np.pi * (t / cycle + rng.random())) + 0.5, 0, 1)
    else:
        cycle = choose(rng, speed, {"slow": (2.2, 5.0), "fast": (0.22, 0.6)}, "speed")
        low = between(rng, 380, 700)
        high = low * between(rng, 1.8, 2.8)
        rise = rng.uniform(0.3, 0.65)
        phase = (t / cycle + rng.random()) % 1.0
        position = 0.5 - 0.5 * np.cos(np.pi * np.where(phase < rise, phase / rise, (1 - phase) / (1 - rise)))
    frequency = low * (high / low) ** position
    x = tone(frequency, sample_rate, rolloff(16, rng.uniform(0.7, 1.4)), rng.random())
    x = filtered(x, sample_rate, low=between(rng, 300, 600), high=between(rng, 2500, 5000))
    x *= smooth_curve(rng, n, sample_rate, 0.7, 0.6, 1.0)
    x = reverberate(rng, x, sample_rate, rng.uniform(0.4, 1.0), rng.uniform(0.1, 0.5))
    return finish(fade(x, sample_rate, 0.03, 0.05), sample_rate, seconds)


@sound_class(
    name="alarm_beeps",
    kind="event",
    surroundings="field",
    tags=("Alarm", "Beep, bleep", "Alarm clock", "Buzzer", "Smoke detector, smoke alarm", "Fire alarm"),
    subjects=("an alarm", "an alarm clock", "an electronic alarm", "a beeper", "a warning alarm"),
    verbs=("beeps", "is beeping", "bleeps", "gives a beep", "sounds"),
    nouns=(
        "beeping",
        "electronic beeping",
        "alarm clock beeping",
        "electronic beeps",
        "a beeping alarm",
        "beeps of a warning alarm",
        "digital alarm beeping",
    ),
    attributes={
        "pitch": {"low": ("low-pitched", "low"), "high": ("high-pitched", "shrill")},
        "speed": {"slow": ("slow",), "fast": ("fast", "rapid")},
    },
    countable=True,
    unit=("beep", "beeps"),
)
def alarm_beeps(
    rng: Rng,
    sample_rate: int,
    seconds: float,
    *,
    pitch: str | None = None,
    speed: str | None = None,
    count: int | None = None,
) -> Sound:
    """Identical beeps of a piezo buzzer at a regular interval."""
    frequency = choose(rng, pitch, {"low": (450, 900), "high": (1900, 3300)}, "pitch")
    interval = choose(rng, speed, {"slow": (0.85, 1.4), "fast": (0.24, 0.42)}, "speed")
    times = regular_times(rng, seconds, interval, count)
    step = float(np.diff(times).min(initial=interval))
    n = length_of(min(rng.uniform(0.3, 0.6) * step, 0.35), sample_rate)
    levels = np.zeros(15)
    levels[::2] = rolloff(8, rng.uniform(1.0, 3.0)) * rng.uniform(0.3, 1.0, 8)
    levels[0] = 1
    levels[1] = rng.uniform(0, 0.4)
    beep = fade(tone(np.full(n, frequency), sample_rate, levels), sample_rate, 0.003, 0.006)
    x = scatter(length_of(seconds, sample_rate), sample_rate, times, np.tile(beep, (len(times), 1)))
    return finish(reverberate(rng, x, sample_rate, 0.15, rng.uniform(0, 0.15)), sample_rate, seconds)


@sound_class(
    name="telephone_ring",
    kind="event",
    surroundings="field",
    tags=("Telephone", "Telephone bell ringing", "Ringtone"),
    subjects=("a telephone", "a phone", "a desk telephone", "an office phone", "a landline phone"),
    verbs=("rings", "is ringing", "jangles", "trills", "sounds"),
    nouns=(
        "telephone ringing",
        "a ringing phone",
        "phone ringing",
        "the ring of a telephone",
        "an incoming phone call",
        "a telephone ringtone",
    ),
    attributes={
        "age": {
            "old": ("old-fashioned", "vintage", "rotary"),
            "modern": ("electronic", "digital", "modern"),
        },
        "pitch": {"low": ("low-pitched", "deep-sounding"), "high": ("high-pitched", "shrill")},
    },
    countable=True,
    unit=("telephone ring", "telephone rings"),
)
def telephone_ring(
    rng: Rng,
    sample_rate: int,
    seconds: float,
    *,
    age: str | None = None,
    pitch: str | None = None,
    count: int | None = None,
) -> Sound:
    """Bursts of a two-gong bell whose clapper swings at 20 Hz, or of an electronic two-tone warble."""
    old = option(rng, age, ("old", "modern"), "age") == "old"
    rate = rng.uniform(16, 25)
    base = choose(rng, pitch, {"low": (650, 1000), "high": (1500, 2200)}, "pitch") * (1.0 if old else 0.8)
    ratio = rng.uniform(1.12, 1.3)
    modes = np.array([1.0, 2.32, 4.25, 6.6])
    levels = rolloff(10, rng.uniform(1.2, 2.2))

    def burst(length: float) -> Array:
        n = length_of(length, sample_rate)
        if old:
            m = length_of(0.7, sample_rate)
            t60 = np.array([0.8, 0.5, 0.3, 0.2]) * (1.0 if count is None else 0.55)
            gongs = [ring(m, sample_rate, base * r * modes, t60, (1, 0.6, 0.4, 0.25)) for r in (1.0, ratio)]
            times = np.arange(0, length, 0.5 / rate)
            hits = [gongs[i % 2] * rng.uniform(0.75, 1) for i in range(len(times))]
            return scatter(n + m, sample_rate, times, hits)
        t = time_axis(n, sample_rate)
        frequency = np.where((t * rate) % 1.0 < 0.5, base, base * ratio)
        return fade(tone(frequency, sample_rate, levels), sample_rate, 0.005, 0.02)

    number = how_many(rng, seconds, count, 1, 2)
    length = rng.uniform(1.0, 2.0) if count is None else rng.uniform(0.6, 1.0)
    x = place(rng, sample_rate, seconds, number, length, burst, gap=0.45 if count else 1.0, jitter=0.1)
    return finish(reverberate(rng, x, sample_rate, 0.3, rng.uniform(0.05, 0.25)), sample_rate, seconds)


@sound_class(
    name="car_horn",
    kind="event",
    surroundings="field",
    tags=("Vehicle horn, car horn, honking", "Toot", "Air horn, truck horn", "Car alarm"),
    subjects=("a car horn", "a vehicle horn", "an automobile horn", "the horn of a car", "a truck horn"),
    verbs=("honks", "is honking", "blares", "toots", "is blaring"),
    nouns=(
        "car horn",
        "car honking",
        "a honking car",
        "a driver honking the horn",
        "the honk of a car",
        "horn honking in traffic",
    ),
    attributes={"pitch": {"low": ("low-pitched", "deep"), "high": ("high-pitched", "shrill")}},
    countable=True,
    unit=("car honk", "car honks"),
)
def car_horn(
    rng: Rng, sample_rate: int, seconds: float, *, pitch: str | None = None, count: int | None = None
) -> Sound:
    """Two buzzing electric horns a third apart, sounded together."""
    base = choose(rng, pitch, {"low": (170, 270), "high": (400, 560)}, "pitch")
    ratio = float(rng.choice([1.19, 1.26, 1.26, 1.335])) * rng.uniform(0.99, 1.01)
    levels = scrambled(rng, rolloff(40, 0.4) * rng.uniform(0.4, 1.0, 40))
    centre = between(rng, 1800, 2800)

    def honk(length: float) -> Array:
        n = length_of(length * (rng.uniform(0.75, 1.0)), sample_rate)
        # the membrane takes some milliseconds to reach its pitch
        frequency = base * (1 - 0.05 * decay(n, sample_rate, 0.05))
        x = tone(frequency, sample_rate, levels) + tone(frequency * ratio, sample_rate, levels, 0.3)
        return fade(x, sample_rate, 0.012, 0.03)

    number = how_many(rng, seconds, count, 1, 4)
    length = between(rng, 0.3, 1.4) if count is None else between(rng, 0.22, 0.55)
    x = place(rng, sample_rate, seconds, number, length, honk, gap=0.25, jitter=0.35)
    x = 0.4 * filtered(x, sample_rate, high=6000) + filtered(x, sample_rate, 0.5 * centre, 1.5 * centre, 1)
    return finish(reverberate(rng, x, sample_rate, 0.3, rng.uniform(0.05, 0.25)), sample_rate, seconds)


@sound_class(
    name="sine_tone",
    kind="texture",
    surroundings="none",
    tags=("Sine wave", "Beep, bleep", "Tuning fork", "Harmonic", "Dial tone"),
    subjects=("a sine tone", "a pure tone", "a test tone", "a sine wave", "a steady tone"),
    verbs=("sounds", "plays", "is playing", "holds", "hums on"),
    nouns=(
        "sine tone",
        "a pure sine wave",
        "a continuous test tone",
        "a steady pure tone",
        "a single frequency tone",
        "a constant sine tone",
    ),
    attributes={
        "pitch": {
            "low": ("low", "low-pitched", "deep"),
            "middle": ("mid-range", "medium-pitched"),
            "high": ("high", "high-pitched"),
        }
    },
)
def sine_tone(rng: Rng, sample_rate: int, seconds: float, *, pitch: str | None = None) -> Sound:
    """One steady sine."""
    frequency = choose(rng, pitch, {"low": (90, 250), "middle": (400, 900), "high": (1600, 3400)}, "pitch")
    n = length_of(seconds, sample_rate)
    x = np.sin(2 * np.pi * (frequency * time_axis(n, sample_rate) + rng.random()))
    x = fade(x, sample_rate, rng.uniform(0.005, 0.1), rng.uniform(0.005, 0.1))
    return finish(x, sample_rate, seconds, rng.uniform(0.4, 0.9))


@sound_class(
    name="noise",
    kind="texture",
    surroundings="none",
    tags=("Noise", "White noise", "Pink noise", "Static"),
    subjects=("a noise signal", "a noise generator", "a noise source", "a noise machine", "steady noise"),
    verbs=("plays", "sounds", "is playing", "runs steadily", "is on"),
    nouns=("noise", "steady noise", "static noise", "random noise", "continuous noise", "constant noise"),
    attributes={
        "colour": {
            "white": ("white", "hissing white"),
            "pink": ("pink", "soft pink"),
            "brown": ("brown", "deep brown", "red"),
        }
    },
)
def noise(rng: Rng, sample_rate: int, seconds: float, *, colour: str | None = None) -> Sound:
    """Stationary Gaussian noise that falls by 0 (white), 3 (pink) or 6 dB per octave (brown)."""
    colour = option(rng, colour, ("white", "pink", "brown"), "colour")
    n = length_of(seconds, sample_rate)
    x = coloured_noise(rng, n, sample_rate, {"white": 0.0, "pink": -3.01, "brown": -6.02}[colour], low=40)
    return finish(fade(x, sample_rate, 0.02, 0.02), sample_rate, seconds, rng.uniform(0.5, 0.9))
