"""The learning rate over the steps of a training: linear warm-up, then half a cosine."""

from __future__ import annotations

import math
from dataclasses import dataclass


def warmup_cosine(step: int, total: float, *, warmup_steps: int, floor: float = 0.0) -> float:
    """The learning rate at a step as a fraction of its peak.

    Args:
        step: optimiser steps that were made.
        total: steps of the whole run; from there on the rate stays at the floor.
        warmup_steps: steps in which it rises; the last of them has the peak.
        floor: the fraction that it ends with.
    """
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    progress = min(1.0, (step - warmup_steps) / max(1, total - warmup_steps))
    return floor + (1.0 - floor) * 0.5 * (1.0 + math.cos(math.pi * progress))


@dataclass(frozen=True)
class WarmupCosine:
    """The learning rate as a fraction of the optimiser's, which is its peak.

    Args:
        warmup_steps: steps of linear rise to the peak.
        min_lr_ratio: what a cosine falls to, as a fraction of the peak.
        total_steps: length of warm-up and cosine; None: as the module says.

    Raises:
        ValueError: a value is out of range.
    """

    warmup_steps: int = 0
    min_lr_ratio: float = 0.0
    total_steps: int | None = None

    def __post_init__(self) -> None:
        if self.warmup_steps < 0:
            raise ValueError(f"warmup_steps is {self.warmup_steps}; it must be 0 or more")
        if not 0.0 <= self.min_lr_ratio <= 1.0:
            raise ValueError(f"min_lr_ratio is {self.min_lr_ratio}; allowed are 0 to 1")

    def factor(self, step: int, run_steps: float = math.inf) -> float:
        """The fraction at an optimiser step; `run_steps`: the length where `total_steps` is None."""
        total = run_steps if self.total_steps is None else self.total_steps
        return warmup_cosine(step, total, warmup_steps=self.warmup_steps, floor=self.min_lr_ratio)
