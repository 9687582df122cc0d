"""People: heartbeat, applause, whistling and snoring."""

from __future__ import annotations

import numpy as np

from . import granular, parametric, synth
from .events import Sound, between, choose, how_many, regular_times
from .repeat import repeated
from .sound_classes import sound_class
from .synth import Array, Rng


@sound_class(
    name="heartbeat",
    kind="event",
    surroundings="field",
    tags=("Heart sounds, heartbeat", "Heart murmur", "Throbbing"),
    subjects=("a heart", "a human heart", "a beating heart", "someone's heart"),
    verbs=("beats", "is beating", "thumps", "is thumping", "pulses"),
    nouns=(
        "heartbeat",
        "a beating heart",
        "a human heartbeat",
        "heart beating",
        "the beat of a heart",
        "a thumping heart",
    ),
    attributes={"speed": {"slow": ("slow", "slowly", "calm"), "fast": ("racing", "rapidly", "rapid")}},
    countable=True,
    unit=("heartbeat", "heartbeats"),
)
def heartbeat(
    rng: Rng, sample_rate: int, seconds: float, *, speed: str | None = None, count: int | None = None
) -> Sound:
    """Beat "lub-dub": two dull thumps below 150 Hz, the second shorter, a third of a second apart."""
    interval = choose(rng, speed, {"slow": (0.95, 1.25), "fast": (0.42, 0.55)}, "speed")
    times = regular_times(rng, seconds, interval, count, jitter=0.02)
    if len(times) > 1:
        interval = min(interval, float(np.diff(times).min()))
    systole = 0.29 * np.sqrt(interval)
    first, second = rng.uniform(42, 60), rng.uniform(58, 82)
    dub_level, murmur = rng.uniform(0.5, 0.8), rng.uniform(0.05, 0.3)
    thumps, starts = [], []
    for time in times:
        level = rng.uniform(0.85, 1)
        for delay, frequency, gain, t60 in ((0.0, first, 1.0, 0.22), (systole, second, dub_level, 0.15)):
            n = synth.length_of(min(0.2, 0.6 * systole + 0.03), sample_rate)
            sweep = frequency * synth.breakpoints(n, (0, 0.3, 1), (1.5, 1.0, 0.85))
            noise = synth.shaped_noise(rng, n, sample_rate, (25, 50, 120, 600), (-12, 0, 0, -40))
            body = synth.soften(synth.sine(sweep, sample_rate) + murmur * noise, 1.8)
            body *= synth.decay(n, sample_rate, t60, 0.008)
            thumps.append(synth.fade(gain * level * body, sample_rate, 0.0, 0.03))
            starts.append(time + delay)
    out = granular.scatter(synth.length_of(seconds, sample_rate), sample_rate, starts, thumps)
    return synth.finish(synth.filtered(out, sample_rate, high=rng.uniform(180, 400)), sample_rate, seconds)


@sound_class(
    name="applause",
    kind="texture",
    tags=("Applause", "Clapping"),
    subjects=("an audience", "a clapping crowd", "an applauding audience", "a theatre audience"),
    verbs=("applauds", "is applauding", "claps", "is clapping", "claps and applauds"),
    nouns=(
        "applause",
        "an audience applauding",
        "hand clapping",
        "people clapping",
        "a round of applause",
        "a crowd clapping",
    ),
    attributes={"size": {"small": ("small", "little"), "large": ("large", "big", "huge")}},
)
def applause(rng: Rng, sample_rate: int, seconds: float, *, size: str | None = None) -> Sound:
    """Many pairs of hands: short bursts of 1 to 3 kHz, each clapper with an own sound and pace, in a hall."""
    n = synth.length_of(seconds, sample_rate)
    people = round(choose(rng, size, {"small": (4, 9), "large": (28, 70)}, "size"))
    m = max(synth.length_of(0.022, sample_rate), 16)
    kinds = min(people, 16)
    bank = np.empty((kinds, m))
    for kind in range(kinds):
        centre = between(rng, 750, 2300)
        clap = synth.filtered(rng.standard_normal(m), sample_rate, centre * 0.65, centre * 1.6, order=1)
        clap += 0.2 * synth.filtered(rng.standard_normal(m), sample_rate, 2000, 5000, order=1)
        clap *= synth.decay(m, sample_rate, rng.uniform(0.012, 0.03), 0.0008)
        bank[kind] = clap / np.sqrt(np.sum(clap**2))
    times, kind_of, gains = [], [], []
    for person in range(people):
        claps = granular.periodic_times(rng, rng.uniform(2.6, 4.8), seconds, jitter=0.09)
        times.append(claps)
        kind_of.append(np.full(len(claps), person % kinds))
        gains.append(between(rng, 0.12, 1.0) * rng.uniform(0.6, 1.0, len(claps)))
    when, which, gain = np.concatenate(times), np.concatenate(kind_of), np.concatenate(gains)
    swell = np.interp(when, np.linspace(0, seconds, 5), rng.uniform(0.55, 1.0, 5))
    out = granular.scatter(n, sample_rate, when, bank[which] * (gain * swell)[:, None])
    hall = synth.reverberate(rng, out, sample_rate, rng.uniform(0.3, 1.2), rng.uniform(0.15, 0.5), 5000)
    return synth.finish(synth.soften(hall, 1.8), sample_rate, seconds)


@sound_class(
    name="whistle",
    kind="event",
    surroundings="field",
    tags=("Whistling", "Whistle"),
    subjects=("a whistler", "a whistling person", "a whistling man", "a whistling woman"),
    verbs=("whistles", "is whistling", "whistles with the lips", "makes a whistling sound"),
    nouns=(
        "whistling",
        "a person whistling",
        "a human whistle",
        "someone whistling",
        "lip whistling",
        "a man whistling",
    ),
    attributes={"pitch": {"low": ("low-pitched", "low"), "high": ("high-pitched", "high", "shrill")}},
    countable=True,
    unit=("whistle", "whistles"),
)
def whistle(
    rng: Rng, sample_rate: int, seconds: float, *, pitch: str | None = None, count: int | None = None
) -> Sound:
    """A pure tone with breath around it; a tune whose notes slide into each other, or single calls."""
    n = synth.length_of(seconds, sample_rate)
    base = choose(rng, pitch, {"low": (750, 1000), "high": (1750, 2300)}, "pitch")
    base = min(base, 0.16 * sample_rate)
    vibrato, depth = rng.uniform(4.5, 6.5), rng.uniform(0.002, 0.012)

    def blow(frequency: Array, shape: Array) -> Array:
        t = synth.time_axis(len(frequency), sample_rate)
        frequency = frequency * (1 + depth * np.sin(2 * np.pi * vibrato * t))
        breath = synth.swept_noise(rng, sample_rate, frequency, 250)
        return shape * (synth.harmonics(frequency, sample_rate, (1.0, 0.02, 0.008)) + 0.04 * breath)

    if count is not None:
        bends = ((0.8, 1.0, 1.0), (1.0, 1.0, 0.97), (0.75, 1.2, 0.8), (1.15, 1.0, 0.85), (0.8, 1.0, 1.35))
        bend = bends[int(rng.integers(len(bends)))]
        length = between(rng, 0.3, 0.65)

        def call(available: float) -> Array:
            m = synth.length_of(min(available, length), sample_rate)
            frequency = base * rng.uniform(0.98, 1.02) * synth.breakpoints(m, (0, 0.5, 1), bend)
            return blow(
                frequency, rng.uniform(0.8, 1) * synth.breakpoints(m, (0, 0.12, 0.8, 1), (0, 1, 0.9, 0))
            )

        out = repeated(rng, sample_rate, seconds, how_many(rng, seconds, count), length, call)
    else:
        scale = 2 ** (np.array([-5, -3, 0, 2, 4, 7, 9, 12]) / 12)
        knots, pitches, levels = [0.0], [base], [0.0]
        now, degree = rng.uniform(0, 0.1 * min(seconds, 3)), int(rng.integers(1, 6))
        pace = between(rng, 0.14, 0.4)
        while now < seconds:
            degree = int(np.clip(degree + rng.integers(-2, 3), 0, len(scale) - 1))
            duration = pace * float(rng.choice([1, 1, 1, 2, 3]))
            frequency = base * scale[degree]
            pause = rng.random() < 0.18
            glide = 0.04
            knots += [now + 0.01, now + glide, now + duration - 0.03, now + duration]
            pitches += [frequency * rng.uniform(0.94, 1.0), frequency, frequency, frequency]
            levels += [0.35, 1.0, 0.8, 0.0 if pause else 0.3]
            now += duration
            if pause:
                rest = rng.uniform(0.15, 0.5)
                knots.append(now + rest)
                pitches.append(frequency)
                levels.append(0.0)
                now += rest
        t = synth.time_axis(n, sample_rate)
        out = synth.fade(blow(np.interp(t, knots, pitches), np.interp(t, knots, levels)), sample_rate)
    out = synth.reverberate(rng, out, sample_rate, rng.uniform(0.2, 0.7), rng.uniform(0.02, 0.15), 4000)
    return synth.finish(out, sample_rate, seconds)


@sound_class(
    name="snoring",
    kind="texture",
    surroundings="field",
    tags=("Snoring",),
    subjects=("a snorer", "a snoring man", "a snoring sleeper", "a sleeping person", "a snoring person"),
    verbs=("snores", "is snoring", "snores away", "breathes with a snore", "is snoring in bed"),
    nouns=(
        "snoring",
        "a person snoring",
        "a man snoring",
        "the snoring of a sleeper",
        "snores",
        "someone snoring",
    ),
    attributes={
        "pitch": {
            "low": ("deep", "deep-voiced", "low-pitched"),
            "high": ("wheezy", "high-pitched"),
        }
    },
)
def snoring(rng: Rng, sample_rate: int, seconds: float, *, pitch: str | None = None) -> Sound:
    """Breath in: the soft palate flaps 22 to 75 times a second through the throat; breath out: soft noise."""
    n = synth.length_of(seconds, sample_rate)
    p = parametric.draw(rng, "snoring")
    if pitch is not None:
        p["f0"] = choose(rng, pitch, {"low": (22, 32), "high": (50, 75)}, "pitch")
    period = p["length"] + p["gap"]
    out, exhale = np.zeros(n), rng.uniform(0.02, 0.12)
    start = -rng.uniform(0, 0.25) * p["length"]
    while start < seconds:
        snore = rng.uniform(0.7, 1) * parametric.call(rng, sample_rate, p)
        m = synth.length_of(0.7 * p["gap"], sample_rate)
        sigh = exhale * synth.band_noise(rng, m, sample_rate, 400, 1800, skirt_db=9) * synth.bump(m, 0.3)
        for moment, sound in ((start, snore), (start + p["length"] + 0.1 * p["gap"], 0.3 * sigh)):
            begin = round(moment * sample_rate)
            part = sound[max(-begin, 0) : max(n - begin, 0)]
            out[max(begin, 0) : max(begin, 0) + len(part)] += part
        start += period * rng.uniform(0.9, 1.1)
    return synth.finish(out, sample_rate, seconds)
