"""Music: drums, piano, guitar, organ and flute."""

from __future__ import annotations

import numpy as np

from .events import Sound, between, choose, ring, tone
from .granular import scatter
from .sound_classes import sound_class
from .synth import (
    Array,
    Rng,
    band_noise,
    decay,
    fade,
    filtered,
    finish,
    length_of,
    pluck,
    resonate,
    reverberate,
    smooth_curve,
    time_axis,
)

MAJOR = np.array([0, 2, 4, 5, 7, 9, 11])
MINOR = np.array([0, 2, 3, 5, 7, 8, 10])
CHORDS = ((0, 4, 5, 3), (0, 5, 3, 4), (0, 3, 4, 0), (5, 3, 0, 4), (0, 4, 0, 3))
TEMPO = {"slow": ("slow", "calm"), "fast": ("fast", "lively")}
REGISTER = {"low": ("low-pitched", "deep"), "high": ("high-pitched", "bright")}


def hertz(note: Array | float) -> Array:
    """Frequency of a MIDI note number (69 is 440 Hz)."""
    return 440.0 * 2 ** ((np.asarray(note, float) - 69) / 12)


def degree(scale: Array, number: int) -> int:
    """Semitones of the scale's degree `number` above its root; 7 is the octave, negative ones lie below."""
    return int(scale[number % 7]) + 12 * (number // 7)


def wander(rng: Rng, notes: int, low: int = -3, high: int = 9) -> list[int]:
    """Scale degrees of a melody that moves mostly by steps and stays between `low` and `high`."""
    melody = [int(rng.choice([0, 2, 4, 7]))]
    for move in rng.choice([-4, -2, -1, -1, 1, 1, 2, 3], notes - 1):
        following = melody[-1] + int(move)
        melody.append(following if low <= following <= high else melody[-1] - int(move))
    return melody


def rhythm(rng: Rng, seconds: float, beat: float) -> Array:
    """Start times of notes that last one half, one or two beats."""
    lengths = beat * rng.choice([0.5, 0.5, 1.0, 1.0, 1.0, 2.0], int(2 * seconds / beat) + 4)
    times = np.cumsum(lengths) - lengths[0] + rng.random() * min(0.2, 0.2 * seconds)
    return np.asarray(times[times < seconds - min(0.15, 0.3 * seconds)])


@sound_class(
    name="drum_beat",
    kind="texture",
    tags=(
        "Drum",
        "Drum kit",
        "Snare drum",
        "Bass drum",
        "Percussion",
        "Drum machine",
        "Hi-hat",
        "Cymbal",
        "Drum roll",
        "Rimshot",
    ),
    subjects=("a drum beat", "a drum kit", "a drum groove", "a drum rhythm", "a drum loop"),
    verbs=("plays", "is playing", "grooves", "pounds", "keeps time"),
    nouns=(
        "drum beat",
        "drums playing",
        "a drum kit playing a beat",
        "drumming",
        "drum kit groove",
        "a rock drum rhythm",
    ),
    attributes={"tempo": {"slow": ("slow", "laid-back"), "fast": ("fast", "energetic")}},
)
def drum_beat(rng: Rng, sample_rate: int, seconds: float, *, tempo: str | None = None) -> Sound:
    """A bar of sixteen steps for kick, snare and hi-hat, repeated."""
    n = length_of(seconds, sample_rate)
    step = 15 / choose(rng, tempo, {"slow": (65, 85), "fast": (140, 180)}, "tempo")
    m = length_of(0.4, sample_rate)
    t = time_axis(m, sample_rate)
    kick_pitch = between(rng, 42, 60) * (1 + between(rng, 1.5, 3.5) * np.exp(-t / 0.03))
    kick = np.sin(2 * np.pi * np.cumsum(kick_pitch) / sample_rate) * decay(m, sample_rate, 0.35, 0.001)
    kick[: m // 20] += 0.15 * rng.standard_normal(m // 20) * decay(m // 20, sample_rate, 0.01)
    shell = between(rng, 170, 230)
    snare = 0.5 * ring(m, sample_rate, (shell, 1.6 * shell), 0.15, (1, 0.6))
    snare += (
        0.55
        * filtered(rng.standard_normal(m), sample_rate, 900, 7000, 1)
        * decay(m, sample_rate, 0.22, 0.001)
    )
    hat = filtered(rng.standard_normal(m), sample_rate, low=min(6000, 0.3 * sample_rate))
    closed, opened = 0.3 * hat * decay(m, sample_rate, 0.06), 0.3 * hat * decay(m, sample_rate, 0.35)

    bar = np.zeros((3, 16))
    bar[0, [0, 8]] = 1
    bar[0, rng.choice([3, 6, 7, 10, 11, 14], int(rng.integers(0, 3)), replace=False)] = 0.8
    bar[1, [4, 12]] = 1
    if rng.random() < 0.3:
        bar[1, int(rng.choice([7, 9, 15]))] = 0.3
    hats = int(rng.choice([2, 2, 4, 1] if step > 0.12 else [2, 2, 4]))
    bar[2, ::hats] = rng.uniform(0.6, 1.0, 16 // hats)
    steps = np.arange(int(seconds / step) + 1)
    lead = rng.random() * min(0.2, 0.2 * seconds)
    x = np.zeros(n)
    for row, sound in zip(bar, (kick, snare, closed), strict=True):
        hits = steps[row[steps % 16] > 0]
        gains = row[hits % 16] * rng.uniform(0.9, 1.0, len(hits))
        x += scatter(n, sample_rate, np.asarray(lead + hits * step, np.float64), sound * gains[:, None])
    if rng.random() < 0.4:
        accents = steps[steps % 16 == 14]
        x += scatter(n, sample_rate, lead + accents * step, np.tile(opened, (len(accents), 1)))
    return finish(reverberate(rng, x, sample_rate, 0.25, rng.uniform(0.02, 0.12)), sample_rate, seconds)


@sound_class(
    name="piano",
    kind="texture",
    tags=("Piano", "Electric piano", "Keyboard (musical)"),
    subjects=("a piano", "a grand piano", "an upright piano", "a piano tune", "a piano melody"),
    verbs=("plays", "is playing", "sounds", "can be heard", "rings out"),
    nouns=(
        "piano",
        "piano music",
        "a piano playing",
        "a melody on the piano",
        "someone playing the piano",
        "piano notes",
    ),
    attributes={"tempo": TEMPO, "pitch": REGISTER},
)
def piano(
    rng: Rng, sample_rate: int, seconds: float, *, tempo: str | None = None, pitch: str | None = None
) -> Sound:
    """A melody, sometimes over chords, on struck strings: stretched partials that die faster the higher."""
    n = length_of(seconds, sample_rate)
    beat = 60 / choose(rng, tempo, {"slow": (60, 80), "fast": (140, 190)}, "tempo")
    root = round(choose(rng, pitch, {"low": (43, 50), "high": (69, 78)}, "pitch"))
    scale = MAJOR if rng.random() < 0.6 else MINOR
    times = rhythm(rng, seconds, beat)
    notes = [
        (float(at), root + degree(scale, d), 1.0)
        for at, d in zip(times, wander(rng, len(times)), strict=True)
    ]
    if rng.random() < 0.6:
        for i, at in enumerate(np.arange(times[0], seconds, 4 * beat)):
            chord = int(rng.choice([0, 3, 4, 5])) if i else 0
            notes += [(float(at), root - 12 + degree(scale, chord + third), 0.55) for third in (0, 2, 4)]

    brightness = rng.uniform(0.5, 0.9)

    blow = length_of(0.1, sample_rate)
    thump = filtered(rng.standard_normal(blow), sample_rate, 80, 900, 1) * decay(blow, sample_rate, 0.05)
    thump *= 0.05

    def struck(note: int) -> Array:
        f = float(hertz(note))
        k = np.arange(1, int(np.clip(0.45 * sample_rate / f, 1, 24)) + 1)
        partials = f * k * np.sqrt(1 + 4e-4 * (f / 261.6) ** 1.3 * k**2)
        t60 = 6.0 * (261.6 / f) ** 0.6 / (1 + 0.25 * (k - 1))
        gains = np.abs(np.sin(np.pi * k / 7.3)) * brightness ** (k - 1) + 0.02 / k
        m = max(length_of(min(1.8, t60[0]), sample_rate), len(thump))
        twice = np.append(partials, 1.0009 * partials)  # prompt sound and aftersound
        x = ring(m, sample_rate, twice, np.append(t60, 0.35 * t60), np.tile(0.6 * gains, 2))
        x[: len(thump)] += thump
        return fade(x, sample_rate, 0.002, 0.25)

    strings = {note: struck(note) for _, note, _ in notes}
    sounds = [strings[note] * level * rng.uniform(0.7, 1.0) for _, note, level in notes]
    x = scatter(n, sample_rate, [at for at, _, _ in notes], sounds)
    return finish(reverberate(rng, x, sample_rate, 0.6, rng.uniform(0.05, 0.2)), sample_rate, seconds)


@sound_class(
    name="guitar",
    kind="texture",
    tags=("Guitar", "Acoustic guitar", "Plucked string instrument", "Strum", "Steel guitar, slide guitar"),
    subjects=(
        "a guitar",
        "an acoustic guitar",
        "a steel-string guitar",
        "a folk guitar",
        "a classical guitar",
    ),
    verbs=("plays", "is playing", "strums", "is strumming chords", "rings out"),
    nouns=(
        "guitar",
        "guitar strumming",
        "an acoustic guitar playing",
        "strumming chords on a guitar",
        "someone playing the guitar",
        "plucked guitar strings",
    ),
    attributes={"tempo": TEMPO},
)
def guitar(rng: Rng, sample_rate: int, seconds: float, *, tempo: str | None = None) -> Sound:
    """Chords of Karplus-Strong strings, strummed or picked one by one, through the body's resonances."""
    n = length_of(seconds, sample_rate)
    beat = 60 / choose(rng, tempo, {"slow": (60, 80), "fast": (125, 165)}, "tempo")
    shapes = (
        (40, 47, 52, 55, 59, 64),  # E minor
        (45, 52, 57, 61, 64),  # A
        (48, 52, 55, 60, 64),  # C
        (50, 57, 62, 66),  # D
        (43, 47, 50, 55, 59, 67),  # G
        (45, 52, 57, 60, 64),  # A minor
    )
    order = rng.permutation(len(shapes))
    capo = int(rng.integers(0, 5))
    brightness, t60 = rng.uniform(0.55, 0.9), between(rng, 1.6, 3.0)
    bar = 4 * beat
    lead = rng.random() * min(0.15, 0.2 * seconds)
    picked = rng.random() < 0.4
    strums = rng.choice(8, int(rng.integers(1, 4)), replace=False) if not picked else np.arange(0)
    m = length_of(min(bar, 2.0, seconds), sample_rate)
    chords = [
        [pluck(rng, m, sample_rate, float(hertz(note + capo)), t60, brightness) for note in shapes[which]]
        for which in order[: min(2, int(np.ceil(seconds / bar)))]
    ]
    x = np.zeros(n)
    for index, start in enumerate(np.arange(lead, seconds, bar)):
        strings = chords[index % len(chords)]
        times: list[float] = []
        sounds: list[Array] = []
        if picked:
            for i in range(8):
                at = i * beat / 2
                string = strings[(i * 2 if i < 4 else i + 1) % len(strings)]
                times.append(at)
                sounds.append(string[: max(m - length_of(at, sample_rate), 0)] * rng.uniform(0.7, 1.0))
        else:
            for i in sorted({0, 4, *strums.tolist()}):
                up = i % 2 == 1
                spread = rng.uniform(0.008, 0.018)
                end = length_of(min(bar - i * beat / 2, 2 * beat), sample_rate)
                for j, string in enumerate(strings[::-1] if up else strings):
                    times.append(i * beat / 2 + j * spread)
                    sounds.append(fade(string[:end], sample_rate, 0, 0.05) * (0.55 if up else 0.8))
        x += scatter(n, sample_rate, start + np.array(times), sounds)
    body = resonate(x, sample_rate, (102, 205, 390), (0.12, 0.1, 0.06), (0.02, 0.02, 0.015))
    return finish(filtered(x + body, sample_rate, low=70), sample_rate, seconds)


@sound_class(
    name="organ",
    kind="texture",
    tags=("Organ", "Electronic organ", "Hammond organ"),
    subjects=("an organ", "a church organ", "a pipe organ", "a cathedral organ", "an organ in a church"),
    verbs=("plays", "is playing", "plays chords", "holds a chord", "resounds"),
    nouns=(
        "organ",
        "organ music",
        "a church organ playing",
        "pipe organ chords",
        "someone playing the organ",
        "sustained organ chords",
    ),
    attributes={"pitch": REGISTER},
)
def organ(rng: Rng, sample_rate: int, seconds: float, *, pitch: str | None = None) -> Sound:
    """Sustained chords of pipes: harmonics by drawbar, ranks slightly apart in tune, in a large room."""
    n = length_of(seconds, sample_rate)
    root = round(choose(rng, pitch, {"low": (43, 48), "high": (64, 71)}, "pitch"))
    scale = MAJOR if rng.random() < 0.5 else MINOR
    chords = CHORDS[int(rng.integers(len(CHORDS)))]
    hold = between(rng, 1.0, 2.6)
    bars = np.array([0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0])  # 16', 8', 5 1/3', ...
    levels = np.array([0.5, 1, 0.25, 0.8, 0.4, 0.45, 0.2, 0.2, 0.25]) * rng.uniform(0.1, 1.0, 9)
    levels[1] = 1.0
    tremulant = rng.uniform(0, 0.12) * np.sin(2 * np.pi * rng.uniform(5, 6.5) * time_axis(n, sample_rate))
    x = np.zeros(n)
    for index, start in enumerate(np.arange(0, seconds, hold)):
        first = chords[index % 4]
        notes = [root + degree(scale, (first + third) % 9) for third in (0, 2, 4)]
        notes += [root - 12 + degree(scale, first % 7), root + 12 + degree(scale, first % 5)]
        f = np.outer(hertz(np.array(notes)), bars).ravel()
        detune = 1 + 0.0012 * rng.standard_normal(len(f))
        gains = np.tile(levels, len(notes)) / (1 + (f / 2500) ** 2)
        m = length_of(min(hold, seconds - start) + 0.04, sample_rate)
        chord = ring(m, sample_rate, f * detune, np.inf, gains, rng.uniform(0, 2 * np.pi, len(f)))
        x += scatter(n, sample_rate, (float(start),), [fade(chord, sample_rate, 0.05, 0.08)])
    x = reverberate(rng, x * (1 + tremulant), sample_rate, rng.uniform(1.0, 2.0), rng.uniform(0.2, 0.5))
    return finish(fade(x, sample_rate, 0.02, 0.05), sample_rate, seconds)


@sound_class(
    name="flute",
    kind="texture",
    tags=("Flute", "Wind instrument, woodwind instrument"),
    subjects=("a flute", "a concert flute", "a flute tune", "a flute melody", "a silver flute"),
    verbs=("plays", "is playing", "sounds", "is heard", "can be heard"),
    nouns=(
        "flute",
        "flute music",
        "a flute playing a melody",
        "a melody on the flute",
        "someone playing the flute",
        "breathy flute notes",
    ),
    attributes={"tempo": TEMPO, "pitch": REGISTER},
)
def flute(
    rng: Rng, sample_rate: int, seconds: float, *, tempo: str | None = None, pitch: str | None = None
) -> Sound:
    """A legato melody of few harmonics with vibrato, each note with its own swell, in breath noise."""
    n = length_of(seconds, sample_rate)
    beat = 60 / choose(rng, tempo, {"slow": (50, 70), "fast": (130, 180)}, "tempo")
    root = round(choose(rng, pitch, {"low": (62, 67), "high": (79, 86)}, "pitch"))
    scale = MAJOR if rng.random() < 0.5 else MINOR
    times = rhythm(rng, seconds, beat)
    notes = root + np.array([degree(scale, d) for d in wander(rng, len(times))])
    t = time_axis(n, sample_rate)
    index = np.clip(np.searchsorted(times, t, side="right") - 1, 0, None)
    steps = filtered(notes[index] - float(notes[0]), sample_rate, high=40, order=1)
    since = t - times[index]
    until = np.append(times, seconds)[index + 1] - t
    vibrato = np.minimum(since / 0.4, 1) * rng.uniform(0.1, 0.35)
    steps += vibrato * np.sin(2 * np.pi * rng.uniform(4.5, 6) * t)
    level = np.clip(np.minimum((since + 0.01) / 0.06, until / 0.05), 0, 1) * (t >= times[0])
    frequency = hertz(notes[0] + steps)
    harmonics = np.array([1.0, rng.uniform(0.2, 0.6), rng.uniform(0.1, 0.3), 0.08, 0.05, 0.02])
    x = tone(frequency, sample_rate, harmonics) * level * smooth_curve(rng, n, sample_rate, 2, 0.8, 1.0)
    middle = float(hertz(notes.mean()))
    chiff = 1 + 2.5 * np.exp(-since / 0.04)
    breath = band_noise(rng, n, sample_rate, middle, 5 * middle, 9) * level * chiff
    x += rng.uniform(0.02, 0.05) * breath
    return finish(reverberate(rng, x, sample_rate, 0.8, rng.uniform(0.1, 0.3)), sample_rate, seconds)
