"""The learning rate: rises, peaks at the end of the warm-up, falls along half a cosine, stays."""

from __future__ import annotations

import math

import pytest

from soundloom.core.schedule import warmup_cosine


def test_warm_up_cosine_and_floor() -> None:
    def rate(step: int) -> float:
        return warmup_cosine(step, 110, warmup_steps=10, floor=0.1)

    assert [rate(step) for step in range(10)] == pytest.approx([0.1 * (step + 1) for step in range(10)])
    assert rate(10) == 1.0
    assert rate(35) == pytest.approx(0.1 + 0.9 * (0.5 + 0.5 * math.sqrt(0.5)))
    assert rate(60) == pytest.approx(0.55)
    assert rate(110) == rate(1000) == pytest.approx(0.1)


def test_runs_without_warm_up_without_end_and_of_warm_up_alone() -> None:
    assert warmup_cosine(0, 10, warmup_steps=0) == 1.0
    assert warmup_cosine(10**6, math.inf, warmup_steps=10, floor=0.1) == 1.0
    assert warmup_cosine(5, 5, warmup_steps=5) == 1.0
    assert warmup_cosine(6, 5, warmup_steps=5) == 0.0
