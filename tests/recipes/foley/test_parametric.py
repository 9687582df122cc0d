"""Sounds made of sets of numbers: what each number does, at any rate."""

from __future__ import annotations

import numpy as np
import pytest

from soundloom.recipes.foley import parametric

RATE = 16000


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def spectrum(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.fft.rfftfreq(len(x), 1 / RATE), np.abs(np.fft.rfft(x)) ** 2


def test_a_drawn_set_is_near_a_stored_one_and_within_all_of_them() -> None:
    stored = parametric._sets()["dog"]
    low = {key: min(one[key] for one in stored) for key in stored[0]}
    high = {key: max(one[key] for one in stored) for key in stored[0]}
    spread = {key: np.std([one[key] for one in stored]) + 1e-12 for key in stored[0]}
    for seed in range(20):
        drawn = parametric.draw(rng(seed), "dog")
        assert all(low[key] <= drawn[key] <= high[key] for key in low)
        distances = [np.mean([abs(drawn[key] - one[key]) / spread[key] for key in low]) for one in stored]
        assert 0 < min(distances) < 0.2
    assert parametric.draw(rng(3), "dog") == parametric.draw(rng(3), "dog")
    with pytest.raises(KeyError, match="no_such_class"):
        parametric.draw(rng(), "no_such_class")


@pytest.mark.parametrize("rate", [8000, 16000, 48000])
def test_every_stored_set_makes_a_finite_sound(rate: int) -> None:
    for name, stored in parametric._sets().items():
        for p in stored:
            if "level0" in p:
                sound = parametric.texture(rng(), rate, p, rate // 2)
                assert len(sound) == rate // 2, name
            elif "f0" in p:
                sound = parametric.call(rng(), rate, p, 0.3)
                assert len(sound) <= 0.3 * rate + 1, name
                assert np.abs(sound).max() == pytest.approx(1.0), name
            else:
                sound = parametric.impact(rng(), rate, p)
                assert np.abs(sound).max() == pytest.approx(1.0), name
            assert np.isfinite(sound).all(), name
            assert sound.any(), name


def test_a_call_has_the_pitch_and_the_formants_that_it_is_given() -> None:
    p = dict(parametric._sets()["cat"][0], f0=400.0, length=0.8, vibrato=0.0, jitter=0.0, breath=0.0)
    p |= {"start": 1.0, "middle": 1.0, "end": 1.0, "subharmonic": 0.0, "shimmer": 0.0}
    f, power = spectrum(parametric.call(rng(), RATE, p))
    partials = [power[np.abs(f - k * 400) < 0.06 * k * 400].sum() for k in (1, 2, 3)]
    between = [power[np.abs(f - k * 400) < 40].sum() for k in (0.5, 1.5, 2.5)]
    assert sum(between) < 0.05 * sum(partials)


def test_pulses_come_at_their_rate() -> None:
    p = dict(parametric._sets()["helicopter"][0], pulse_rate=12.0, pulse_depth=20.0, pulse_jitter=0.0)
    sound = parametric.texture(rng(), RATE, p, 4 * RATE)
    loud = np.sqrt(np.mean(sound.reshape(-1, 160) ** 2, axis=1))
    f, power = np.fft.rfftfreq(len(loud), 0.01), np.abs(np.fft.rfft(loud - loud.mean())) ** 2
    assert f[5:][power[5:].argmax()] == pytest.approx(12.0, abs=0.5)


def test_a_texture_follows_its_levels() -> None:
    p = dict(parametric._sets()["rain"][0], drops=-1.0, tonal=-1.0, pulse_depth=-1.0, band_depth=-1.0)
    p |= {f"level{index}": -60.0 for index in range(len(parametric.ANCHORS))} | {"level4": 0.0}
    f, power = spectrum(parametric.texture(rng(), RATE, p, 2 * RATE))
    assert power[(f > 500) & (f < 1300)].sum() > 0.8 * power.sum()


def test_blows_come_at_their_rate_and_never_none() -> None:
    p = dict(parametric._sets()["keyboard_typing"][0], rate=5.0, timing=0.0, pauses=0.0, second_level=-1.0)
    p |= {"level_spread": 0.0, "burst_decay": 0.01, "mode_decay": 0.01, "grain_level": -1.0}
    sound = np.abs(parametric.impacts(rng(), RATE, p, 2 * RATE))
    loud = sound.reshape(-1, 320).max(1) > 0.3 * sound.max()
    assert np.count_nonzero(loud[1:] & ~loud[:-1]) + int(loud[0]) in (9, 10)
    assert parametric.impacts(rng(), RATE, {**p, "rate": 0.0}, RATE // 10).any()
