"""Four toy sound classes, so that the corpus machinery is tested apart from the real sounds."""

from __future__ import annotations

import numpy as np
import pytest

from soundloom.recipes.foley.sound_classes import SoundClass


def render_bark(
    rng: np.random.Generator,
    sample_rate: int,
    seconds: float,
    *,
    pitch: str | None = None,
    count: int | None = None,
) -> np.ndarray:
    """`count` tone bursts of 0.1 s, evenly spread."""
    n = round(seconds * sample_rate)
    out = np.zeros(n, dtype=np.float32)
    hertz = {"low": 200.0, "high": 900.0, None: 200.0 + 700.0 * rng.random()}[pitch]
    count = count or int(rng.integers(1, 4))
    burst = np.sin(2 * np.pi * hertz * np.arange(sample_rate // 10) / sample_rate).astype(np.float32)
    for i in range(count):
        start = round(i * n / (count + 1))
        out[start : start + len(burst)] = burst[: n - start]
    return out


def render_tick(rng: np.random.Generator, sample_rate: int, seconds: float) -> np.ndarray:
    n = round(seconds * sample_rate)
    return (np.exp(-np.arange(n) / (0.05 * sample_rate)) * rng.standard_normal(n) * 0.3).astype(np.float32)


def render_noise(
    rng: np.random.Generator, sample_rate: int, seconds: float, *, colour: str | None = None
) -> np.ndarray:
    n = round(seconds * sample_rate)
    noise = rng.standard_normal(n)
    return (0.2 * (np.cumsum(noise) / 100 if colour == "brown" else noise) / 3).clip(-1, 1).astype(np.float32)


def render_hum(rng: np.random.Generator, sample_rate: int, seconds: float) -> np.ndarray:
    n = round(seconds * sample_rate)
    return (0.5 * np.sin(2 * np.pi * 100 * np.arange(n) / sample_rate + rng.random())).astype(np.float32)


@pytest.fixture(scope="session")
def toys() -> dict[str, SoundClass]:
    dog = SoundClass(
        name="dog",
        kind="event",
        subjects=("a dog", "an old hound", "a puppy"),
        verbs=("barks", "is barking", "woofs"),
        nouns=("dog barking", "the bark of a dog", "a barking dog"),
        attributes={"pitch": {"low": ("deep", "old"), "high": ("small", "high-pitched")}},
        countable=True,
        unit=("bark", "barks"),
        render=render_bark,
    )
    knock = SoundClass(
        name="door_knock",
        kind="event",
        subjects=("someone", "somebody outside"),
        verbs=("knocks on a door", "is knocking on a door"),
        nouns=("knocking on a door", "a knock at the door"),
        attributes={},
        countable=False,
        unit=None,
        render=render_tick,
    )
    noise = SoundClass(
        name="noise",
        kind="texture",
        subjects=("noise", "a noise generator"),
        verbs=("plays", "is playing"),
        nouns=("noise", "steady noise", "static"),
        attributes={"colour": {"white": ("white",), "brown": ("brown", "rumbling")}},
        countable=False,
        unit=None,
        render=render_noise,
    )
    hum = SoundClass(
        name="power_hum",
        kind="texture",
        subjects=("transformers", "power lines of a village"),
        verbs=("hums", "is humming", "buzzes"),
        nouns=("electric hum", "humming transformers"),
        attributes={},
        countable=False,
        unit=None,
        render=render_hum,
    )
    return {sound.name: sound for sound in (dog, knock, noise, hum)}
