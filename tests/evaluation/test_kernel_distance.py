"""The kernel audio distance: unbiased with few points, growing with the difference."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from soundloom.evaluation.embedders import LogMelStatistics
from soundloom.evaluation.kernel_distance import KernelAudioDistance, kernel_distance

RATE = 16000


def points(count: int, *, seed: int, shift: float = 0.0) -> Tensor:
    return torch.randn(count, 3, generator=torch.Generator().manual_seed(seed)) + shift


def test_the_value_is_that_of_the_formula() -> None:
    generated, real = torch.tensor([[0.0], [2.0], [3.0]]), torch.tensor([[0.0], [1.0], [3.0]])
    bandwidth = 2.0  # the median of 1, 2 and 3

    def k(a: float, b: float) -> float:
        return math.exp(-((a - b) ** 2) / (2 * bandwidth**2))

    x, y = generated.flatten().tolist(), real.flatten().tolist()
    within = sum(k(a, b) for s in (x, y) for i, a in enumerate(s) for j, b in enumerate(s) if i != j) / 6
    between = sum(k(a, b) for a in x for b in y) / 9
    assert kernel_distance(generated, real).item() == pytest.approx(100 * (within - 2 * between))


def test_few_points_make_it_uncertain_but_not_too_large() -> None:
    few = [kernel_distance(points(6, seed=2 * i), points(6, seed=2 * i + 1)).item() for i in range(200)]
    mean = sum(few) / len(few)
    error = torch.tensor(few).std().item() / math.sqrt(len(few))
    assert abs(mean) < 4 * error
    assert min(few) < 0 < max(few)


def test_it_grows_with_the_difference() -> None:
    real = points(50, seed=0)
    values = [kernel_distance(points(50, seed=1, shift=shift), real).item() for shift in (0.0, 0.5, 1.0, 2.0)]
    assert values == sorted(values)
    assert values[0] < 3
    assert values[-1] > 50


def test_sounds_are_taken_in_as_for_the_frechet_distance() -> None:
    distance = KernelAudioDistance(LogMelStatistics())
    noise = torch.randn(4, 1, RATE, generator=torch.Generator().manual_seed(0))
    distance.update(noise[:2], RATE, real=False)
    distance.update(noise[2:] * 0.1, RATE, real=True)
    distance.update(torch.randn(1, 2, 12 * RATE), RATE, real=True)
    report = distance.report()
    assert report["pieces"] == 2
    assert report["reference_pieces"] == 2 + 2
    assert report["embedder"] == "log-mel"
    assert report["value"] == distance.compute().item()
    distance.reset()
    with pytest.raises(ValueError, match="2 or more points on a side, got 0 and 0"):
        distance.compute()
