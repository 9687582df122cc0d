"""Machines: engines, helicopters, trains, aeroplanes, vacuum cleaners and drills."""

from __future__ import annotations

import numpy as np

from . import parametric
from .events import Sound, between, choose, option, rolloff, scrambled, tone
from .sound_classes import sound_class
from .synth import (
    Rng,
    breakpoints,
    decay,
    fade,
    filtered,
    finish,
    length_of,
    morph,
    shaped_noise,
    smooth_curve,
)


@sound_class(
    name="engine",
    kind="texture",
    surroundings="field",
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
    """Cylinders that fire in turn: pulses of noise with a rough tone under them, as the throttle goes."""
    n = length_of(seconds, sample_rate)
    p = parametric.draw(rng, "engine")
    throttle = np.ones(n)
    if speed is not None:
        fast = option(rng, speed, ("slow", "fast"), "speed") == "fast"
        p["pulse_rate"] = between(rng, 42, 60) if fast else between(rng, 13, 22)
        p["tone"] = between(rng, 75, 130) if fast else between(rng, 22, 38)
        p["tonal"] = max(p["tonal"], 0.4)
        if fast:
            throttle = smooth_curve(rng, n, sample_rate, between(rng, 0.3, 1.0), 0.4, 1.0)
    x = parametric.texture(rng, sample_rate, p, n)
    if speed == "slow":
        x = filtered(x, sample_rate, high=1500, order=1)
    return finish(fade(x * throttle, sample_rate, 0.05, 0.05), sample_rate, seconds)


@sound_class(
    name="helicopter",
    kind="texture",
    surroundings="field",
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
    """Blades that slap the air 9 to 24 times a second: pulses of noise, mostly low."""
    n = length_of(seconds, sample_rate)
    p = parametric.draw(rng, "helicopter")
    if size is not None:
        p["pulse_rate"] = choose(rng, size, {"large": (9, 12), "small": (14, 19)}, "size")
    x = parametric.texture(rng, sample_rate, p, n) * smooth_curve(rng, n, sample_rate, 0.4, 0.5, 1.0)
    return finish(fade(x, sample_rate, 0.08, 0.08), sample_rate, seconds)


@sound_class(
    name="train",
    kind="texture",
    surroundings="field",
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
    """Rolling rumble in which the axles clack over the joints of the rails, every other one weaker."""
    n = length_of(seconds, sample_rate)
    p = parametric.draw(rng, "train")
    if speed is not None:
        p["pulse_rate"] = choose(rng, speed, {"slow": (1.3, 2.0), "fast": (3.4, 5.5)}, "speed")
        p["pulse_depth"], p["pulse_alternate"] = max(p["pulse_depth"], 9.0), min(p["pulse_alternate"], 0.3)
    x = parametric.texture(rng, sample_rate, p, n)
    x *= 0.6 + 0.4 * np.sin(np.pi * breakpoints(n, (0, 1), (0.15, rng.uniform(0.6, 0.9))))
    return finish(fade(x, sample_rate, 0.08, 0.08), sample_rate, seconds)


@sound_class(
    name="airplane",
    kind="texture",
    surroundings="field",
    tags=(
        "Aircraft",
        "Aircraft engine",
        "Fixed-wing aircraft, airplane",
        "Jet engine",
        "Propeller, airscrew",
    ),
    rendered=False,
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
    p = parametric.draw(rng, "airplane")
    if propulsion is not None:
        jet = option(rng, propulsion, ("jet", "propeller"), "propulsion") == "jet"
        p["tonal"] = min(p["tonal"], 0.2) if jet else max(p["tonal"], 0.45)
        p["tone"] = between(rng, 700, 1100) if jet else between(rng, 75, 130)
    pass_at = rng.uniform(0.35, 0.65)
    along = (np.linspace(0, 1, n) - pass_at) * between(rng, 2.0, 5.0)  # in units of the closest distance
    distance = np.sqrt(1 + along**2)
    doppler = 1 / (1 + between(rng, 0.12, 0.25) * along / distance)
    heard = np.cumsum(doppler) - doppler[0]  # which sample of the engine's sound arrives
    engine_sound = parametric.texture(rng, sample_rate, p, int(heard[-1]) + 2)
    x = np.interp(heard, np.arange(len(engine_sound)), engine_sound) / distance
    soft = filtered(x, sample_rate, high=900, order=1)
    return finish(fade(morph((soft, x), 1 / distance), sample_rate, 0.15, 0.15), sample_rate, seconds)


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
    surroundings="field",
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
    """Bursts of a geared motor: it spins up, bites, and runs down after the trigger."""
    n = length_of(seconds, sample_rate)
    p = parametric.draw(rng, "drill")
    if pitch is not None:
        p["tone"] = choose(rng, pitch, {"low": (75, 120), "high": (240, 420)}, "pitch")
    bursts = max(1, round(seconds / between(rng, 1.6, 4.0)))
    span = seconds / bursts
    local = (np.linspace(0, bursts, n, endpoint=False) % 1.0) * span
    on = span * rng.uniform(0.75, 0.9)
    up, down = between(rng, 0.05, 0.15), between(rng, 0.08, 0.2)
    trigger = np.where(local < on, 1 - np.exp(-local / up), np.exp(-(local - on) / down))
    x = parametric.texture(rng, sample_rate, p, n) * (0.03 + 0.97 * trigger)
    return finish(fade(x, sample_rate, 0.01, 0.03), sample_rate, seconds)
