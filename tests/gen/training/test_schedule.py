"""Learning rates over the steps of a training of the language model."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from soundloom.gen.training.schedule import LearningRateSchedule


def test_schedules() -> None:
    cosine = LearningRateSchedule("cosine", warmup_steps=10, min_lr_ratio=0.1)
    assert cosine.factor(0, 110) == pytest.approx(0.1)
    assert cosine.factor(9, 110) == cosine.factor(10, 110) == 1.0
    assert cosine.factor(60, 110) == pytest.approx(0.55)
    assert cosine.factor(110, 110) == cosine.factor(500, 110) == pytest.approx(0.1)
    inverse = LearningRateSchedule("inverse_sqrt", warmup_steps=100)
    assert inverse.factor(49, math.inf) == pytest.approx(0.5)
    assert inverse.factor(400, math.inf) == pytest.approx(0.5)
    assert LearningRateSchedule(warmup_steps=0).factor(0, 10) == 1.0
    assert LearningRateSchedule("inverse_sqrt", warmup_steps=0).factor(0, 10) == 1.0


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
