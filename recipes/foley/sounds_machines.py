"""Machines: engines, helicopters, trains, aeroplanes, vacuum cleaners and drills."""

from __future__ import annotations

import numpy as np

from .events import Sound, between, choose, option, regular_times, ring, rolloff, scrambled, tone, waveshape
from .registry import sound_class
from .synth import (
    Array,
    Rng,
    band_noise,
    breakpoints,
    decay,
    fade,
    filtered,
    finish,
    length_of,
    morph,
    scatter,
    shaped_noise,
    smooth_curve,
    soften,
    time_axis,
)


@sound_class(
    name="engine",
    kind="texture",
    tags=(
        "Engine",
        "Idling",
        "Medium engine (mid frequency)",
        "Heavy engine (low frequency)",
        "Light engine (high frequency)",
        "Engine starting",
        "Accelerating, revving, vroom",
        "Motorcycle",
        "Car",
        "Truck",
        "Engine knocking",
    ),
    subjects=("an engine", "a car engine", "a motor", "a vehicle engine", "a motorcycle engine"),
    verbs=("runs", "is running", "rumbles", "roars", "is rumbling"),
    nouns=(
        "engine",
        "a running engine",
        "a car engine running",
        "a rumbling motor",
        "a combustion engine",
        "the roar of an engine",
    ),
    attributes={"speed": {"slow": ("idling", "slow"), "fast": ("revving", "fast")}},
)
def engine(rng: Rng, sample_rate: int, seconds: float, *, speed: str | None = None) -> Sound:
    """Cylinders that fire in turn: a pulse train with a rough cycle, through an exhaust pipe, plus noise."""
    n = length_of(seconds, sample_rate)
    fast = option(rng, speed, ("slow", "fast"), "speed") == "fast"
    cylinders = int(rng.choice([1, 2, 4, 6]))
    if fast:  # the throttle opens and closes
        firing = between(rng, 70, 130) * smooth_curve(rng, n, sample_rate, between(rng, 0.3, 1.0), 0.65, 1.6)
    else:
        firing = between(rng, 14, 34) * smooth_curve(rng, n, sample_rate, 2.0, 0.97, 1.03)
    cycle = np.cumsum(firing / cylinders) / sample_rate
    # one turn of the table is a whole cycle of all cylinders, which do not fire quite alike
    most = min(int(0.45 * sample_rate / (firing.max() / cylinders)), 200)
    k = np.arange(1, most + 1)
    shares = rng.normal(1, 0.18, cylinders) * np.exp(0.02j * rng.standard_normal(cylinders))
    mix = np.exp(2j * np.pi * np.outer(k, np.arange(cylinders)) / cylinders) @ shares
    hertz = k * firing.mean() / cylinders
    body = 1 / (1 + (hertz / between(rng, 150, 400)) ** rng.uniform(1.2, 1.8))
    pipe = 1 + 1.2 * np.cos(2 * np.pi * hertz / between(rng, 90, 260)) ** 2
    pulses = waveshape(cycle, np.abs(mix) * body * pipe)
    puff = 0.15 + ((cycle * cylinders) % 1.0 < 0.35)
    noise = shaped_noise(rng, n, sample_rate, (60, 300, 2500, 8000), (-20, 0, -10, -26)) * puff
    x = pulses / pulses.std() + rng.uniform(0.15, 0.45) * noise
    x = soften(x * (firing / firing.max()) ** 0.5, rng.uniform(1.0, 3.0))
    return finish(fade(x, sample_rate, 0.05, 0.05), sample_rate, seconds)


@sound_class(
    name="helicopter",
    kind="texture",
    tags=("Helicopter", "Propeller, airscrew"),
    subjects=("a helicopter", "a chopper", "a rescue helicopter", "a military helicopter"),
    verbs=("flies by", "hovers", "is flying", "chops overhead", "is hovering"),
    nouns=(
        "helicopter",
        "helicopter rotor blades",
        "a helicopter flying",
        "a hovering helicopter",
        "chopper blades thumping",
        "the rotor of a helicopter",
    ),
    attributes={"size": {"large": ("large", "heavy"), "small": ("small", "light")}},
)
def helicopter(rng: Rng, sample_rate: int, seconds: float, *, size: str | None = None) -> Sound:
    """Blade slap 9-20 times a second: low thumps and swishes of noise, above turbine whine."""
    n = length_of(seconds, sample_rate)
    rate = choose(rng, size, {"large": (9, 12), "small": (14, 19)}, "size")
    times = regular_times(rng, seconds, 1 / rate, None, jitter=0.01)
    m = length_of(1.0 / rate, sample_rate)
    t = time_axis(m, sample_rate)
    thump = between(rng, 55, 110) * 10 / rate * np.exp(-t * 14) * 1.3
    slap = np.sin(2 * np.pi * np.cumsum(thump) / sample_rate) * np.exp(-t * rate * between(rng, 3, 6))
    slap += 0.6 * filtered(rng.standard_normal(m), sample_rate, 150, 900, 1) * np.exp(-t * rate * 9)
    gains = rng.uniform(0.85, 1.0, len(times)) * np.where(np.arange(len(times)) % 2, rng.uniform(0.7, 1), 1)
    thumps = scatter(n, sample_rate, times, fade(slap, sample_rate, 0.004, 0.01) * gains[:, None])
    chop = 0.25 + 0.75 * (0.5 + 0.5 * np.cos(2 * np.pi * (time_axis(n, sample_rate) - times[0]) * rate)) ** 3
    wash = shaped_noise(rng, n, sample_rate, (100, 400, 2000, 8000), (-12, 0, -8, -24)) * chop
    whine = tone(np.full(n, between(rng, 700, 2200)), sample_rate, (1, 0.3)) * rng.uniform(0, 0.08)
    x = thumps / (np.abs(thumps).max() + 1e-9) + rng.uniform(0.08, 0.2) * wash + whine
    x *= smooth_curve(rng, n, sample_rate, 0.4, 0.45, 1.0)
    return finish(fade(x, sample_rate, 0.08, 0.08), sample_rate, seconds)


@sound_class(
    name="train",
    kind="texture",
    tags=(
        "Train",
        "Rail transport",
        "Railroad car, train wagon",
        "Clickety-clack",
        "Subway, metro, underground",
        "Train wheels squealing",
    ),
    subjects=("a train", "a freight train", "a passenger train", "a railway train"),
    verbs=("passes by", "rolls along the tracks", "rattles past", "is passing by", "clatters over the rails"),
    nouns=(
        "train",
        "a passing train",
        "a train on the tracks",
        "railway wheels clattering on the rails",
        "the clickety-clack of a train",
        "a train rolling by",
    ),
    attributes={"speed": {"slow": ("slow", "slow-moving"), "fast": ("fast", "speeding")}},
)
def train(rng: Rng, sample_rate: int, seconds: float, *, speed: str | None = None) -> Sound:
    """Rolling rumble with the double clack of the axles over rail joints, now and then the horn."""
    n = length_of(seconds, sample_rate)
    interval = choose(rng, speed, {"slow": (1.0, 1.7), "fast": (0.42, 0.65)}, "speed")
    joints = regular_times(rng, seconds, interval, None, jitter=0.015)
    m = length_of(0.25, sample_rate)
    modes = between(rng, 250, 420) * np.array([0.45, 1.0, 2.7, 5.1, 8.3])

    def clack() -> Array:
        knock = ring(m, sample_rate, modes, (0.25, 0.16, 0.1, 0.06, 0.05), (1.2, 1, 0.8, 0.6, 0.4))
        return knock + filtered(rng.standard_normal(m), sample_rate, 500, 4000, 1) * decay(
            m, sample_rate, 0.09
        )

    axles = interval * rng.uniform(0.16, 0.26)
    pair = np.sort(np.concatenate([joints, joints + axles]))
    grains = np.stack([clack(), clack()])[np.arange(len(pair)) % 2] * rng.uniform(0.7, 1, (len(pair), 1))
    clacks = scatter(n, sample_rate, pair, grains)
    rumble = shaped_noise(
        rng, n, sample_rate, (30, 80, 400, 2500, 7000), (-10, 4, -6, -20 + 6 * rng.random(), -38)
    )
    x = clacks / (np.abs(clacks).max() + 1e-9) + rng.uniform(0.06, 0.12) * rumble
    if rng.random() < 0.35:
        start = int(rng.uniform(0, 0.5) * n)
        k = min(length_of(rng.uniform(0.8, 1.6), sample_rate), n - start)
        chord = between(rng, 240, 330) * np.array([1.0, 1.2, 1.5, 1.78])
        horn = sum(tone(np.full(k, f), sample_rate, rolloff(14, 0.8), rng.random()) for f in chord)
        x[start : start + k] += 0.09 * fade(np.asarray(horn), sample_rate, 0.08, 0.2)
    x *= 0.55 + 0.45 * np.sin(np.pi * breakpoints(n, (0, 1), (0.15, rng.uniform(0.6, 0.9))))
    return finish(fade(x, sample_rate, 0.08, 0.08), sample_rate, seconds)


@sound_class(
    name="airplane",
    kind="texture",
    tags=(
        "Aircraft",
        "Aircraft engine",
        "Fixed-wing aircraft, airplane",
        "Jet engine",
        "Propeller, airscrew",
    ),
    subjects=("an airplane", "a plane", "an aircraft", "an aeroplane"),
    verbs=("flies overhead", "flies by", "passes over", "is flying by", "roars overhead"),
    nouns=(
        "airplane",
        "an airplane flying overhead",
        "a passing aircraft",
        "a plane flying by",
        "an aircraft in the sky",
        "the flyover of an aeroplane",
    ),
    attributes={
        "propulsion": {"jet": ("jet", "jet-powered"), "propeller": ("propeller", "propeller-driven")}
    },
)
def airplane(rng: Rng, sample_rate: int, seconds: float, *, propulsion: str | None = None) -> Sound:
    """A fly-by at constant speed: Doppler fall of pitch, level and brightness that follow the distance."""
    n = length_of(seconds, sample_rate)
    jet = option(rng, propulsion, ("jet", "propeller"), "propulsion") == "jet"
    pass_at = rng.uniform(0.35, 0.65)
    along = (np.linspace(0, 1, n) - pass_at) * between(rng, 3.0, 7.0)  # in units of the closest distance
    distance = np.sqrt(1 + along**2)
    doppler = 1 / (1 + between(rng, 0.18, 0.35) * along / distance)
    near = 1 / distance
    if jet:
        roar = shaped_noise(rng, n, sample_rate, (40, 120, 500, 2000, 8000), (-8, 0, -4, -24, -50))
        hiss = shaped_noise(rng, n, sample_rate, (80, 400, 1500, 5000, 8000), (-14, 0, -3, -9, -18))
        whine = tone(between(rng, 1300, 2300) * doppler, sample_rate, (1, 0.2, 0.35))
        x = near * (morph((roar, hiss), near**1.5) + rng.uniform(0.1, 0.3) * whine * near)
    else:
        base = between(rng, 75, 120) * doppler * smooth_curve(rng, n, sample_rate, 1.5, 0.995, 1.005)
        blades = tone(base, sample_rate, rolloff(36, 0.75) * rng.uniform(0.3, 1.0, 36), rng.random())
        blades += tone(base * rng.uniform(1.005, 1.02), sample_rate, rolloff(36, 0.9))  # twin engines beat
        wind = shaped_noise(rng, n, sample_rate, (60, 300, 2000, 8000), (-6, 0, -16, -34))
        soft = filtered(blades, sample_rate, high=500, order=1)
        x = near * (morph((soft / soft.std(), blades / blades.std()), near) + 0.25 * wind)
    return finish(fade(x, sample_rate, 0.15, 0.15), sample_rate, seconds)


@sound_class(
    name="vacuum_cleaner",
    kind="texture",
    tags=("Vacuum cleaner",),
    subjects=("a vacuum cleaner", "a vacuum", "a hoover", "a household vacuum cleaner"),
    verbs=("runs", "is running", "hums", "whirs", "sucks up dust"),
    nouns=(
        "vacuum cleaner",
        "vacuuming",
        "a running vacuum cleaner",
        "someone vacuuming the floor",
        "vacuum cleaner noise",
        "the drone of a vacuum cleaner",
    ),
    attributes={"pitch": {"low": ("low-pitched", "deep-sounding"), "high": ("high-pitched", "whining")}},
)
def vacuum_cleaner(rng: Rng, sample_rate: int, seconds: float, *, pitch: str | None = None) -> Sound:
    """Steady motor and fan harmonics in a broad rush of air, which the floor muffles at times."""
    n = length_of(seconds, sample_rate)
    motor = choose(rng, pitch, {"low": (150, 230), "high": (380, 560)}, "pitch")
    load = smooth_curve(rng, n, sample_rate, 0.8, 0.97, 1.03)
    if rng.random() < 0.3:  # switched on
        load *= 1 - 0.7 * decay(n, sample_rate, between(rng, 1.2, 2.5))
    levels = rolloff(14, 1.1) * rng.uniform(0.1, 1.0, 14)
    levels[int(rng.integers(5, 10))] += 0.5  # the fan's blades
    whine = tone(motor * load, sample_rate, scrambled(rng, levels))
    air = shaped_noise(
        rng, n, sample_rate, (80, 400, between(rng, 900, 1800), 4000, 8000), (-18, -4, 3, -5, -14)
    )
    muffle = smooth_curve(rng, n, sample_rate, 1.2, 0.6, 1.0)
    x = (whine / whine.std() * rng.uniform(0.5, 0.9) + air * muffle) * load**2
    return finish(fade(x, sample_rate, 0.05, 0.08), sample_rate, seconds)


@sound_class(
    name="drill",
    kind="texture",
    tags=("Drill", "Power tool", "Dental drill, dentist's drill", "Tools"),
    subjects=("a drill", "a power drill", "an electric drill", "a cordless drill"),
    verbs=("drills", "is drilling", "whirs", "bores into a wall", "grinds"),
    nouns=(
        "drill",
        "drilling",
        "a power drill",
        "an electric drill boring a hole",
        "someone drilling into a wall",
        "the whine of an electric drill",
    ),
    attributes={"pitch": {"low": ("low-pitched", "growling"), "high": ("high-pitched", "screaming")}},
)
def drill(rng: Rng, sample_rate: int, seconds: float, *, pitch: str | None = None) -> Sound:
    """Bursts of a geared motor: it spins up, sags when the bit bites, and runs down after the trigger."""
    n = length_of(seconds, sample_rate)
    top = choose(rng, pitch, {"low": (180, 300), "high": (550, 900)}, "pitch")
    bursts = max(1, round(seconds / between(rng, 1.4, 3.5)))
    position = np.linspace(0, bursts, n, endpoint=False)
    span = seconds / bursts
    local = (position % 1.0) * span
    on = span * rng.uniform(0.7, 0.85)
    up, down = between(rng, 0.05, 0.15), between(rng, 0.08, 0.2)
    trigger = np.where(local < on, 1 - np.exp(-local / up), np.exp(-(local - on) / down))
    bite = (local > 0.25 * span) & (local < on)
    sag = filtered(bite.astype(float), sample_rate, high=4, order=1) * rng.uniform(0.1, 0.25)
    frequency = top * np.clip(trigger, 0.08, 1) * (1 - sag) * smooth_curve(rng, n, sample_rate, 9, 0.98, 1.02)
    levels = rolloff(24, 0.5) * rng.uniform(0.2, 1.0, 24)
    phase = np.cumsum(frequency) / sample_rate
    x = waveshape(phase, levels[: max(int(0.45 * sample_rate / top), 1)])
    x *= 1 + rng.uniform(0.3, 0.7) * np.sin(
        2 * np.pi * phase / float(rng.integers(5, 12))
    )  # the chuck's turns
    grit = band_noise(rng, n, sample_rate, 1500, 6000) * (0.1 + sag * 3) * (0.6 + 0.4 * (phase * 0.5 % 1.0))
    x = (soften(x, 2.0) + 0.4 * grit) * trigger**0.7
    return finish(fade(x, sample_rate, 0.01, 0.03), sample_rate, seconds)
