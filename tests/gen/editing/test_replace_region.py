"""Joins: prediction goes on, levels and channels match, and nothing outside of a region changes."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from soundloom.evaluation.joins import CLICK, click
from soundloom.gen.editing.replace_region import fade_curves, level_ratio, predict, replace_region

RATE = 16000


def sine(frequency: float, length: int = RATE, phase: float = 0.0) -> Tensor:
    return (2 * math.pi * frequency / RATE * torch.arange(length) + phase).sin()


def noise(length: int = RATE, seed: int = 0) -> Tensor:
    return torch.randn(length, generator=torch.Generator().manual_seed(seed))


def test_prediction_goes_on_with_a_tone_and_dies_away() -> None:
    tone = sine(440) + 0.5 * sine(1000)
    found = predict(tone[None, :2048], 320)
    assert found.shape == (1, 320)
    torch.testing.assert_close(found[0, :40], tone[2048:2088], atol=0.1, rtol=0.0)
    assert predict(noise()[:2048], 4000)[-100:].abs().max() < 0.1
    assert not predict(torch.zeros(2, 3, 100), 50).any()
    assert predict(torch.ones(1, 1), 5).shape == (1, 5)
    assert torch.isfinite(predict(1e-20 * noise(), 50)).all()


def test_fades_keep_the_power_and_begin_flat() -> None:
    rising, falling = fade_curves(320)
    torch.testing.assert_close(rising.square() + falling.square(), torch.ones(320))
    torch.testing.assert_close(rising, falling.flip(0))
    assert rising[0] < 1e-3


def test_levels_of_channels() -> None:
    made = 0.1 * noise().expand(1, 2, -1)
    wanted = torch.stack([made[0, 0] * 2, made[0, 0] * 0.5])[None]
    torch.testing.assert_close(level_ratio(wanted, made), torch.tensor([[2.0, 0.5]]))
    hard_left = torch.stack([made[0, 0], torch.zeros(RATE)])[None]
    torch.testing.assert_close(level_ratio(hard_left, made)[0], torch.tensor([1.0, 0.0]))
    assert float(level_ratio(1000 * made, made).max()) == pytest.approx(4.0)  # 12 dB, and no more
    assert level_ratio(made[..., :0], made[..., :0]) is None
    assert level_ratio(0 * made, made) is None
    assert level_ratio(made, 0 * made) is None


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("frequency", [100, 440, 1500])
def test_tones_that_do_not_fit_are_joined_without_a_click(channels: int, frequency: float) -> None:
    samples = (0.8 * sine(frequency)).repeat(2, channels, 1)
    before = samples.clone()
    made = torch.stack([0.3 * sine(1.1 * frequency, phase=2.0), 0.1 * noise()])[:, None].expand(
        -1, channels, -1
    )
    raw = samples.clone()
    raw[..., 4000:9000] = made[..., 4000:9000]
    replace_region(samples, made, 4000, 9000, RATE, free=(0, RATE))
    outside = torch.ones(RATE, dtype=torch.bool)
    outside[4000:9000] = False
    assert torch.equal(samples[..., outside], before[..., outside])
    for place in (4000, 9000):
        assert click(samples[0], place, RATE) < CLICK
        assert click(raw[0], place, RATE) > CLICK  # what the fades are for
    # Levels match: within the region it is as loud as around it.
    inside, around = (part.square().mean().sqrt() for part in (samples[0, :, 5000:8000], before[0]))
    assert float(inside / around) == pytest.approx(1.0, abs=0.1)


def test_what_a_region_held_plays_no_part() -> None:
    made = 0.2 * noise(seed=1)[None, None]
    one, other = (0.2 * noise()[None, None] for _ in range(2))
    other[..., 4000:9000] = 0.9
    for samples in (one, other):
        replace_region(samples, made, 4000, 9000, RATE, free=(0, RATE))
    assert torch.equal(one, other)


def test_regions_at_the_ends_short_ones_and_loud_ones() -> None:
    made = 0.5 * noise()[None, None].clamp(-1, 1)
    for start, stop in ((0, RATE), (0, 10), (RATE - 3, RATE), (500, 501), (500, 503)):
        samples = 0.5 * sine(300)[None, None].clone()
        replace_region(samples, made, start, stop, RATE, free=(0, RATE))
        assert torch.isfinite(samples).all()
        assert float(samples.abs().max()) <= 1.0
    loud = 3.0 * sine(300)[None, None]  # a float file may be beyond full scale
    before = loud.clone()
    replace_region(loud, made, 4000, 9000, RATE, free=(0, RATE))
    assert torch.equal(loud[..., :4000], before[..., :4000])
    assert float(loud.abs().max()) <= 3.0 + 1e-4
