"""The limiter: its ceiling, its gain, and that a stream of it is the whole, to the bit."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from soundloom.core.limiter import LOOK_AHEAD, RELEASE, Limiter, limit, limit_blocks

RATE = 16000


def loud(channels: int = 1, seed: int = 0) -> Tensor:
    """Quiet noise with peaks of 3 to 40 among it, the first and the last sample too: `[C, 12000]`."""
    samples = 0.1 * torch.randn(channels, 12000, generator=torch.Generator().manual_seed(seed))
    samples[0, [0, 3000, 3001, 7000, -1]] = torch.tensor([3.0, -40.0, 20.0, 8.0, -5.0])
    return samples


def by_definition(samples: Tensor) -> np.ndarray:
    """The gain of every sample, one after the other."""
    window = round(LOOK_AHEAD * RATE)
    need = 1 - 1 / samples.abs().amax(0).clamp_min(1).double().numpy()
    need = np.concatenate([np.zeros(2 * window), need, np.zeros(window)])
    reduction, now = np.zeros(len(need)), 0.0
    for i in range(len(need) - window + 1):
        now = max(need[i : i + window].max(), now * math.exp(-1 / (RELEASE * RATE)))
        reduction[i] = now
    smooth = [reduction[i - window + 1 : i + 1].mean() for i in range(2 * window, len(need) - window)]
    return 1 - np.array(smooth)


@pytest.mark.parametrize("channels", [1, 2])
def test_the_gain_is_what_its_definition_says(channels: int) -> None:
    samples = loud(channels)
    limited = limit(samples, RATE)
    assert limited.shape == samples.shape
    assert float(limited.abs().max()) <= 1
    np.testing.assert_allclose(limited.numpy(), samples.numpy() * by_definition(samples), atol=2e-4)


@pytest.mark.parametrize("ceiling", [0.25, 1.0, 3.0])
@pytest.mark.parametrize("rate", [100, 8000, 11025, 48000])
def test_nothing_is_beyond_the_ceiling(rate: int, ceiling: float) -> None:
    for seed in range(3):
        samples = 10 ** torch.randint(-3, 4, (2, 3000), generator=torch.Generator().manual_seed(seed)).float()
        assert float(limit(samples, rate, ceiling).abs().max()) <= ceiling


def test_what_is_within_full_scale_is_not_touched() -> None:
    samples = torch.rand(2, 2, 9000) * 2 - 1
    samples[0, 0, 5] = 1.0
    limiter = Limiter(RATE)
    assert torch.equal(torch.cat([limiter.push(samples), limiter.flush()], -1), samples)
    assert limiter.gain_reduction == 0
    assert limit(samples, RATE) is samples


@pytest.mark.parametrize("sizes", [[1] * 90, [0, 79, 80, 81, 0], [7] * 100, [6000], [320] * 30])
def test_a_stream_is_the_whole_to_the_bit(sizes: list[int]) -> None:
    samples = torch.stack([loud(2, 1), loud(2, 2)])
    limiter = Limiter(RATE)
    parts = list(samples.split([*sizes, samples.shape[-1] - sum(sizes)], dim=-1))
    pushed = [limiter.push(part) for part in parts]
    assert sum(part.shape[-1] for part in pushed) == samples.shape[-1] - limiter.delay
    assert torch.equal(torch.cat([*pushed, limiter.flush()], dim=-1), limit(samples, RATE))
    again = [limiter.push(part) for part in parts]  # a flush begins anew
    assert torch.equal(torch.cat([*again, limiter.flush()], dim=-1), limit(samples, RATE))


def test_rows_are_limited_each_by_itself() -> None:
    rows = torch.stack([loud(1, 1), 0.5 * loud(1, 2).clamp(-1, 1)])
    limited = limit(rows, RATE)
    assert torch.equal(limited[1], rows[1])
    assert torch.equal(limited[0], limit(rows[0], RATE))


def test_peaks_are_forgotten_after_the_memory() -> None:
    limiter = Limiter(RATE)
    samples = torch.full((1, 2 * limiter.memory), 0.5)
    samples[0, 0] = 1000.0
    limited = limit(samples, RATE)
    assert torch.equal(limited[:, limiter.memory :], samples[:, limiter.memory :])
    assert float(limited[0, limiter.memory // 4]) < 0.5


def test_gain_reduction_is_in_decibels() -> None:
    limiter = Limiter(RATE)
    blocks = list(limit_blocks(torch.full((1, 4000), 10.0).split(700, dim=-1), limiter))
    assert sum(block.shape[-1] for block in blocks) == 4000
    assert limiter.gain_reduction == pytest.approx(20.0, abs=1e-3)


def test_nothing_in_nothing_out() -> None:
    limiter = Limiter(RATE)
    assert limiter.push(torch.zeros(2, 0)).shape == (2, 0)
    assert limiter.flush().shape == (2, 0)
    assert Limiter(RATE).flush().shape == (1, 0)
    assert limit(torch.zeros(1, 0), RATE).shape == (1, 0)


@pytest.mark.parametrize(
    "settings", [{"ceiling": 0.0}, {"ceiling": math.nan}, {"release": 0.0}, {"look_ahead": -1.0}]
)
def test_settings_that_make_no_sense(settings: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(settings))} is|release 0.0"):
        Limiter(RATE, **settings)
