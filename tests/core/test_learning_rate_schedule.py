"""The learning rate over the steps of a training."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from soundloom.core.learning_rate_schedule import LearningRateSchedule


def test_warm_up_cosine_and_floor() -> None:
    schedule = LearningRateSchedule(warmup_steps=10, min_lr_ratio=0.1)
    rates = [schedule.factor(step, 110) for step in range(10)]
    assert rates == pytest.approx([0.1 * (step + 1) for step in range(10)])
    assert schedule.factor(10, 110) == 1.0
    assert schedule.factor(35, 110) == pytest.approx(0.1 + 0.9 * (0.5 + 0.5 * math.sqrt(0.5)))
    assert schedule.factor(60, 110) == pytest.approx(0.55)
    assert schedule.factor(110, 110) == schedule.factor(1000, 110) == pytest.approx(0.1)
    assert schedule.factor(10**6) == 1.0, "a run without end stays at the peak"


def test_inverse_root_of_the_steps() -> None:
    inverse = LearningRateSchedule("inverse_sqrt", warmup_steps=100)
    assert inverse.factor(49) == pytest.approx(0.5)
    assert inverse.factor(400) == pytest.approx(0.5)


def test_runs_without_warm_up_and_of_warm_up_alone() -> None:
    assert LearningRateSchedule(warmup_steps=0).factor(0, 10) == 1.0
    assert LearningRateSchedule("inverse_sqrt", warmup_steps=0).factor(0) == 1.0
    whole = LearningRateSchedule(warmup_steps=5, min_lr_ratio=0.0)
    assert (whole.factor(5, 5), whole.factor(6, 5)) == (1.0, 0.0)


def test_its_own_number_of_steps_goes_before_that_of_the_run() -> None:
    schedule = LearningRateSchedule(warmup_steps=0, min_lr_ratio=0.0, total_steps=2)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = schedule.over(optimizer, 100)
    rates = []
    for _ in range(4):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert rates == pytest.approx([1.0, 0.5, 0.0, 0.0])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": "linear"}, "kind is 'linear'; use 'cosine' or 'inverse_sqrt'"),
        ({"warmup_steps": -1}, "warmup_steps is -1; it must be 0 or more"),
        ({"min_lr_ratio": 1.5}, "min_lr_ratio is 1.5; allowed are 0 to 1"),
    ],
    ids=str,
)
def test_bad_settings_are_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LearningRateSchedule(**settings)
