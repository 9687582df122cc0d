"""Where foley_parameters.py looks for parameters of each class: ranges, and what makes a sound of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from soundloom.recipes.foley import parametric
from soundloom.recipes.foley.granular import scatter
from soundloom.recipes.foley.synth import fit

RATE = 16000
Range = tuple[float, float]
Ranges = Mapping[str, Range]

CALL: dict[str, Range] = {
    "bend": (0.3, 0.9),
    "start": (0.5, 1.0),
    "middle": (0.8, 1.1),
    "end": (0.5, 0.95),
    "peak": (0.1, 0.6),
    "vibrato": (0.0, 0.02),
    "vibrato_rate": (4, 40),
    "jitter_rate": (15, 200),
    "open": (0.3, 0.9),
    "skew": (0.9, 1.7),
    "width": (0.05, 0.3),
    "attack": (0.02, 0.4),
    "decay": (0.6, 0.95),
    "level": (0.2, 0.9),
    "left_open": (0, 1),
    "opens": (0.05, 0.4),
    "closes": (0.45, 0.9),
    "subharmonic": (0.0, 0.6),
    "gain0": (0.4, 1.0),
    "gain1": (0.3, 1.2),
    "gain2": (0.1, 1.0),
    "gain3": (0.05, 0.6),
}
IMPACT: dict[str, Range] = {
    "timing": (0, 0.4),
    "every_other": (0.75, 1.1),
    "pitch_spread": (0, 0.2),
    "level_spread": (0.02, 0.6),
    "mode0": (80, 3000),
    "mode_spread": (0.2, 1.2),
    "shape": (0, 1),
    "mode_slope": (0.5, 1),
    "mode_decay": (0.01, 0.3),
    "mode_damping": (0, 1.2),
    "tonal": (0, 0.9),
    "burst": (150, 5000),
    "burst_width": (0.3, 2),
    "burst_decay": (0.005, 0.25),
    "burst_attack": (0.0005, 0.04),
    "grain_level": (-0.4, 1),
    "grains": (4, 120),
    "grain_time": (0.03, 0.3),
    "grain_centre": (400, 5000),
    "second_level": (-0.4, 1),
    "second_delay": (0.01, 0.25),
    "second_pitch": (0.7, 1.4),
    "pauses": (0, 0.15),
}
TEXTURE: dict[str, Range] = {
    "slow_depth": (0, 3),
    "slow_rate": (0.2, 2),
    "middle_depth": (0, 2),
    "middle_rate": (2, 14),
    "fast_depth": (0, 3),
    "fast_rate": (15, 80),
    "band_depth": (0, 3),
    "band_rate": (5, 100),
    "drops": (-1, 0),
    "drop_rate": (1, 3000),
    "drop_centre": (300, 5000),
    "drop_width": (0.3, 1.5),
    "drop_decay": (0.002, 0.05),
    "drop_spread": (0.2, 1.2),
    "pulse_depth": (-1, -1),
    "pulse_rate": (10, 10),
    "pulse_jitter": (0.01, 0.01),
    "pulse_rise": (0.05, 0.05),
    "pulse_fall": (4, 4),
    "pulse_alternate": (-1, -1),
    "tonal": (-1, -1),
    "tone": (100, 100),
    "tone_jitter": (0.01, 0.01),
    "tone_jitter_rate": (10, 10),
    "tone_wander": (0.05, 0.05),
    "tone_slope": (1, 1),
    "tone_pulsed": (0.5, 0.5),
    "tone_shape": (0, 1),
}


@dataclass(frozen=True)
class Search:
    """Where the parameters of a class are looked for, and what makes a sound of them."""

    make: Callable[[np.random.Generator, Mapping[str, float], float], NDArray[np.float64]]
    ranges: Ranges
    seconds: float = 2.0
    notes: bool = False


def calls(rng: np.random.Generator, p: Mapping[str, float], seconds: float) -> NDArray[np.float64]:
    """Calls one after the other, with pauses."""
    times, sounds, now = [], [], rng.uniform(0.05, 0.4)
    while now < seconds - 0.1:
        sounds.append(parametric.call(rng, RATE, p) * rng.uniform(0.6, 1))
        times.append(now)
        now += p["length"] + p["gap"] * rng.uniform(0.6, 1.8)
    return scatter(round(seconds * RATE), RATE, times, sounds)


def blows(rng: np.random.Generator, p: Mapping[str, float], seconds: float) -> NDArray[np.float64]:
    """A train of blows."""
    return parametric.impacts(rng, RATE, p, round(seconds * RATE))


def texture(rng: np.random.Generator, p: Mapping[str, float], seconds: float) -> NDArray[np.float64]:
    """A texture."""
    return parametric.texture(rng, RATE, p, round(seconds * RATE))


def crow(rng: np.random.Generator, p: Mapping[str, float], seconds: float) -> NDArray[np.float64]:
    """Four notes, the last the longest."""
    sounds, times, now = [], [], rng.uniform(0.05, 0.5)
    for index, step in enumerate((1.0, p["step1"], p["step2"], p["step3"])):
        note = {**p, "length": p[f"note{index}"], "f0": p["f0"] * step}
        sounds.append(parametric.call(rng, RATE, note) * (1.0 if index == 3 else 0.7))
        times.append(now)
        now += p[f"note{index}"] + 0.3 * p["gap"]
    return fit(scatter(round(seconds * RATE), RATE, times, sounds), round(seconds * RATE))


def formants(*bands: Range, opened: tuple[Range, ...] = ()) -> dict[str, Range]:
    """Ranges of the formants of a closed and an open mouth."""
    closed = {f"closed{index}": band for index, band in enumerate(bands)}
    return closed | {f"open{index}": band for index, band in enumerate(opened or bands)}


def levels(*mean: float, spread: float = 9.0) -> dict[str, Range]:
    """Ranges of a texture's levels around the mean of recordings, in dB."""
    return {f"level{index}": (level - spread, level + spread) for index, level in enumerate(mean)}


SEARCHES = {
    "dog": Search(
        calls,
        CALL
        | formants(
            (300, 700),
            (900, 1500),
            (2000, 2800),
            (3200, 4200),
            opened=((500, 1300), (1100, 2200), (2200, 3400), (3300, 5000)),
        )
        | {
            "f0": (180, 900),
            "length": (0.08, 0.35),
            "gap": (0.1, 0.6),
            "breath": (0.02, 1),
            "shimmer": (0, 0.9),
            "jitter": (0, 0.15),
        },
        3.0,
    ),
    "cat": Search(
        calls,
        CALL
        | formants(
            (300, 700),
            (1000, 2400),
            (2400, 3200),
            (3400, 4400),
            opened=((700, 1500), (1500, 2600), (2600, 3800), (3800, 5200)),
        )
        | {
            "f0": (350, 900),
            "length": (0.35, 1.1),
            "gap": (0.3, 1),
            "breath": (0.005, 0.3),
            "shimmer": (0, 0.3),
            "jitter": (0, 0.05),
        },
        3.0,
    ),
    "cow": Search(
        calls,
        CALL
        | formants(
            (200, 400),
            (500, 1000),
            (1500, 2400),
            (2600, 3400),
            opened=((350, 900), (700, 1400), (1700, 2800), (2800, 4000)),
        )
        | {
            "f0": (80, 330),
            "length": (0.8, 2.2),
            "gap": (0.3, 1),
            "breath": (0.005, 0.5),
            "shimmer": (0, 0.7),
            "jitter": (0, 0.12),
        },
        3.0,
    ),
    "rooster": Search(
        crow,
        CALL
        | formants(
            (700, 1200),
            (1500, 2300),
            (2600, 3400),
            (3400, 4600),
            opened=((900, 1700), (1900, 3000), (3000, 4200), (4000, 5600)),
        )
        | {
            "f0": (350, 1100),
            "length": (0.12, 0.9),
            "gap": (0.02, 0.3),
            "breath": (0.01, 0.6),
            "shimmer": (0, 0.8),
            "jitter": (0, 0.1),
            "note0": (0.08, 0.3),
            "note1": (0.06, 0.25),
            "note2": (0.1, 0.5),
            "note3": (0.4, 1.4),
            "step1": (0.9, 1.5),
            "step2": (1, 1.9),
            "step3": (0.9, 1.8),
        },
        3.0,
    ),
    "snoring": Search(
        calls,
        CALL
        | formants((200, 500), (700, 1300), (1500, 2400), (2600, 3600))
        | {
            "f0": (20, 90),
            "length": (0.8, 1.8),
            "gap": (0.9, 1.8),
            "breath": (0.05, 2),
            "shimmer": (0.2, 0.9),
            "jitter": (0.02, 0.2),
        },
        4.0,
    ),
    "bee": Search(
        calls,
        CALL
        | formants((200, 800), (900, 2000), (2000, 3500), (3500, 6000))
        | {
            "f0": (110, 480),
            "length": (0.6, 3),
            "gap": (0.02, 0.5),
            "breath": (0.005, 0.3),
            "shimmer": (0, 0.5),
            "jitter": (0, 0.08),
            "start": (0.8, 1.1),
            "end": (0.8, 1.1),
        },
        2.5,
    ),
    "keyboard_typing": Search(blows, IMPACT | {"rate": (3, 11)}, 2.5),
    "hammer": Search(blows, IMPACT | {"rate": (1, 3)}, 2.5),
    "rain": Search(
        texture,
        TEXTURE
        | levels(-14, -10, -8, -7, -5, -4, -4, -6, -9)
        | {
            "drop_rate": (200, 4000),
            "drops": (0.2, 1),
            "drop_decay": (0.002, 0.02),
            "drop_spread": (0.5, 1.3),
            "drop_centre": (800, 6000),
        },
    ),
    "helicopter": Search(
        texture,
        TEXTURE
        | levels(-7, -3, -3, -8, -14, -21, -28, -36, -42)
        | {
            "pulse_depth": (4, 25),
            "pulse_rate": (9, 24),
            "pulse_fall": (1, 12),
            "pulse_rise": (0.02, 0.4),
            "drops": (-0.5, 0.2),
        },
    ),
    "train": Search(
        texture,
        TEXTURE
        | levels(-13, -4, -3, -5, -10, -20, -26, -33, -38)
        | {
            "pulse_depth": (2, 18),
            "pulse_rate": (1, 6),
            "pulse_fall": (2, 14),
            "pulse_rise": (0.02, 0.2),
            "pulse_alternate": (0, 0.8),
            "drops": (-0.3, 0.5),
            "drop_centre": (200, 3000),
            "drop_rate": (5, 400),
        },
    ),
    "drill": Search(
        texture,
        TEXTURE
        | levels(-20, -22, -18, -11, -10, -7, -5, -7, -10)
        | {
            "pulse_depth": (-3, 10),
            "pulse_rate": (8, 60),
            "pulse_fall": (1, 6),
            "pulse_rise": (0.02, 0.3),
            "tonal": (0.1, 0.8),
            "tone": (70, 500),
            "tone_slope": (0.2, 1.2),
            "tone_jitter": (0.001, 0.05),
            "tone_jitter_rate": (5, 60),
            "tone_wander": (0.01, 0.2),
            "drops": (-0.5, 0.3),
        },
    ),
    "airplane": Search(
        texture,
        TEXTURE
        | levels(-14, -2, -1, -6, -11, -16, -23, -30, -37)
        | {
            "tonal": (-0.3, 0.5),
            "tone": (60, 900),
            "tone_slope": (0.3, 1.5),
            "tone_wander": (0.01, 0.15),
            "pulse_depth": (-5, 4),
            "pulse_rate": (10, 60),
        },
    ),
    "fire": Search(
        texture,
        TEXTURE
        | levels(-4, -3, -9, -18, -24, -25, -24, -23, -25)
        | {
            "drop_rate": (3, 80),
            "drops": (0.2, 0.9),
            "drop_decay": (0.002, 0.012),
            "drop_spread": (0.8, 1.6),
            "drop_centre": (700, 5500),
        },
    ),
    "engine": Search(
        texture,
        TEXTURE
        | levels(-11, -6, -4, -8, -11, -17, -23, -27, -30)
        | {
            "pulse_depth": (2, 15),
            "pulse_rate": (12, 60),
            "pulse_fall": (1, 6),
            "pulse_rise": (0.02, 0.3),
            "pulse_alternate": (-0.3, 0.5),
            "tonal": (0.1, 0.7),
            "tone": (25, 140),
            "tone_slope": (0.4, 1.5),
            "tone_jitter": (0.001, 0.04),
            "tone_jitter_rate": (5, 60),
            "tone_wander": (0.01, 0.2),
        },
    ),
    "stream": Search(
        texture,
        TEXTURE
        | levels(-12, -4, -3, -5, -8, -11, -14, -19, -25)
        | {
            "drop_rate": (30, 900),
            "drops": (0.1, 0.9),
            "drop_decay": (0.004, 0.04),
            "drop_spread": (0.3, 1.1),
            "drop_centre": (400, 2500),
            "drop_width": (0.3, 1.2),
        },
    ),
}
