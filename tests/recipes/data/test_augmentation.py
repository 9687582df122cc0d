"""Augmentation of recordings: what each choice does, that a seed repeats it, and what captions are told."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from soundloom.recipes.data.augmentation import Augmentation, faded, frame_levels, is_steady, pass_by

RATE = 16000
SAMPLES = 3 * RATE
OFF: dict[str, Any] = {
    "speed": 0.0,
    "equaliser_db": 0.0,
    "repeat": 0.0,
    "room": 0.0,
    "distant": 0.0,
    "passing": 0.0,
    "background": 0.0,
}


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def noise(seconds: float, seed: int = 1) -> np.ndarray:
    return (0.1 * rng(seed).standard_normal(round(seconds * RATE))).astype(np.float32)


def tone(frequency: float, seconds: float) -> np.ndarray:
    return (0.3 * np.sin(2 * np.pi * frequency * np.arange(round(seconds * RATE)) / RATE)).astype(np.float32)


def strongest(sound: np.ndarray) -> float:
    """Frequency of the strongest component, Hz."""
    spectrum = np.abs(np.fft.rfft(sound * np.hanning(len(sound))))
    return float(np.argmax(spectrum) * RATE / len(sound))


def correlation(one: np.ndarray, other: np.ndarray) -> float:
    return float(one @ other / np.sqrt((one @ one) * (other @ other)))


@pytest.mark.parametrize("seconds", [0.02, 0.4, 3.0, 7.0])
def test_a_clip_has_its_length_and_repeats_with_its_seed(seconds: float) -> None:
    augmentation = Augmentation()
    sound, background = noise(seconds), noise(2.0, 5)
    for seed in range(6):
        clips = [
            augmentation(rng(seed), sound, RATE, SAMPLES, background=background, passes=True)
            for _ in range(2)
        ]
        assert clips[0].audio.shape == (SAMPLES,)
        assert clips[0].audio.dtype == np.float32
        assert np.isfinite(clips[0].audio).all()
        assert 0.001 < np.abs(clips[0].audio).max() < 1.0
        assert np.array_equal(clips[0].audio, clips[1].audio)
        assert clips[0].attributes == clips[1].attributes
    assert not np.array_equal(clips[0].audio, augmentation(rng(99), sound, RATE, SAMPLES).audio)


def test_without_any_of_it_only_the_level_changes() -> None:
    sound = noise(4.0)
    made = Augmentation(**OFF)(rng(), sound, RATE, SAMPLES)
    assert correlation(made.audio, sound[:SAMPLES]) > 0.9999
    assert made.count is None
    assert made.attributes == {}


def test_speed_changes_pitch_by_a_few_percent() -> None:
    augmentation = Augmentation(**(OFF | {"speed": 0.05}))
    found = [strongest(augmentation(rng(seed), tone(1000, 4), RATE, SAMPLES).audio) for seed in range(12)]
    assert max(found) <= 1051
    assert min(found) >= 949
    assert max(found) - min(found) > 30


def test_the_equaliser_changes_colours_and_keeps_the_energy() -> None:
    augmentation = Augmentation(**(OFF | {"equaliser_db": 4.0}))
    sound = noise(2.0)
    coloured = augmentation.coloured(rng(3), sound)
    assert np.square(coloured).sum() == pytest.approx(float(np.square(sound).sum()), rel=0.02)
    before, after = np.abs(np.fft.rfft(sound)), np.abs(np.fft.rfft(coloured))
    bands = np.array_split(20 * np.log10(after / before)[100:], 16)
    levels = [float(np.median(band)) for band in bands]
    assert max(levels) - min(levels) > 2


def test_a_short_sound_is_heard_as_often_as_is_said() -> None:
    augmentation = Augmentation(**(OFF | {"repeat": 1.0}))
    counts = set()
    for seed in range(12):
        made = augmentation(rng(seed), noise(0.3), RATE, SAMPLES)
        heard = frame_levels(made.audio, RATE) > -60
        begins = np.flatnonzero(np.diff(np.concatenate([[0], heard.astype(int)])) == 1)
        assert made.count is not None
        assert 1 <= len(begins) <= made.count  # two may touch
        counts.add(made.count)
    assert counts <= {2, 3, 4}
    assert len(counts) > 1
    once = Augmentation(**OFF)(rng(), noise(0.3), RATE, SAMPLES)
    assert once.count == 1


def test_what_is_far_away_is_duller_and_says_so() -> None:
    sound = noise(4.0)
    near = Augmentation(**OFF)(rng(), sound, RATE, SAMPLES).audio
    far = Augmentation(**(OFF | {"distant": 1.0}))(rng(), sound, RATE, SAMPLES)
    assert far.attributes == {"distance": "distant"}

    def highs(audio: np.ndarray) -> float:
        power = np.square(np.abs(np.fft.rfft(audio)))
        return float(power[len(power) // 2 :].sum() / power.sum())

    assert highs(far.audio) < 0.2 * highs(near)


def test_what_passes_comes_and_goes_and_falls_in_pitch() -> None:
    passed = pass_by(rng(2), tone(1000, 5), RATE)
    levels = frame_levels(passed, RATE)
    loudest = int(np.argmax(levels))
    assert 0.25 < loudest / len(levels) < 0.75
    assert levels[loudest] - max(levels[0], levels[-1]) > 6
    before, after = strongest(passed[: RATE // 2]), strongest(passed[-RATE // 2 :])
    assert before > 1005
    assert after < 995
    augmentation = Augmentation(**(OFF | {"passing": 1.0}))
    assert augmentation(rng(), noise(4), RATE, SAMPLES, passes=True).attributes == {"motion": "passing"}
    assert augmentation(rng(), noise(4), RATE, SAMPLES, passes=False).attributes == {}
    knock = np.concatenate([noise(0.1), np.zeros(4 * RATE, dtype=np.float32)])
    assert augmentation(rng(), knock, RATE, SAMPLES, passes=True).attributes == {}


@pytest.mark.parametrize("steady", [True, False])
def test_a_background_lies_under_the_whole_clip_as_far_below_as_asked(steady: bool) -> None:
    augmentation = Augmentation(**(OFF | {"background": 1.0, "background_db": (20.0, 20.0)}))
    other = tone(3000, 1.0) if steady else np.concatenate([tone(3000, 0.1), np.zeros(RATE, dtype=np.float32)])
    sound = noise(0.4)
    alone = Augmentation(**OFF)(rng(), sound, RATE, SAMPLES).audio
    made = augmentation(rng(), sound, RATE, SAMPLES, background=other).audio
    under = made - alone
    ratio = 10 * np.log10(np.square(alone).sum() / np.square(under).sum())
    assert ratio == pytest.approx(20.0, abs=0.2)
    assert frame_levels(under, RATE).min() > frame_levels(under, RATE).max() - 15
    assert (abs(strongest(under) - 3000) < 5) == steady  # noise lies there where the other sound stops


def test_a_cut_clip_is_silent_behind_the_cut() -> None:
    made = Augmentation(**OFF)(rng(), noise(5.0), RATE, SAMPLES, cut=0.5)
    assert np.abs(made.audio[: SAMPLES // 2]).max() > 0.01
    assert not made.audio[SAMPLES // 2 :].any()


def test_steady_and_faded() -> None:
    assert is_steady(noise(1.0), RATE)
    assert not is_steady(np.zeros(RATE, dtype=np.float32), RATE)
    assert not is_steady(np.concatenate([noise(0.1), np.zeros(RATE, dtype=np.float32)]), RATE)
    edges = faded(np.ones(RATE, dtype=np.float32), RATE)
    assert edges[0] == edges[-1] == 0.0
    assert edges[RATE // 2] == 1.0


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"room": 1.5}, "room is 1.5; allowed are 0 to 1"),
        ({"speed": -0.1}, "speed is -0.1; allowed are 0 to 0.5"),
        ({"equaliser_db": -1.0}, "equaliser_db is -1.0; it must be 0 or more"),
        ({"background_db": (9.0, 3.0)}, "background_db is .* must not be above"),
    ],
)
def test_settings_out_of_range_are_named(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Augmentation(**changed)
