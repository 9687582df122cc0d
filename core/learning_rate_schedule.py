"""The learning rate over the steps of a training: linear warm-up, then half a cosine or an inverse root."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR


@dataclass(frozen=True)
class LearningRateSchedule:
    """The learning rate as a share of the optimiser's, which is its peak.

    Args:
        kind: "cosine" (down to `min_lr_ratio` at the last step) or "inverse_sqrt" (AudioGen's; without end).
        warmup_steps: steps of linear rise; the last of them has the peak.
        min_lr_ratio: what a cosine falls to and stays at, as a share of the peak.
        total_steps: length of warm-up and cosine; None: that of the run.

    Raises:
        ValueError: a value is out of range.
    """

    kind: Literal["cosine", "inverse_sqrt"] = "cosine"
    warmup_steps: int = 1000
    min_lr_ratio: float = 0.05
    total_steps: int | None = None

    def __post_init__(self) -> None:
        if self.kind not in ("cosine", "inverse_sqrt"):
            raise ValueError(f"scheduler.kind is {self.kind!r}; use 'cosine' or 'inverse_sqrt'")
        if self.warmup_steps < 0:
            raise ValueError(f"scheduler.warmup_steps is {self.warmup_steps}; it must be 0 or more")
        if not 0.0 <= self.min_lr_ratio <= 1.0:
            raise ValueError(f"scheduler.min_lr_ratio is {self.min_lr_ratio}; allowed are 0 to 1")

    def factor(self, step: int, run_steps: float = math.inf) -> float:
        """The share of the peak after `step` optimiser steps.

        Args:
            step: steps that were made.
            run_steps: length of the run; without an end, a cosine stays at the peak.
        """
        if step < self.warmup_steps:
            return (step + 1) / self.warmup_steps
        if self.kind == "inverse_sqrt":
            return math.sqrt(max(self.warmup_steps, 1) / max(step, 1))
        total = self.total_steps or run_steps
        progress = min(1.0, (step - self.warmup_steps) / max(1, total - self.warmup_steps))
        return self.min_lr_ratio + (1.0 - self.min_lr_ratio) * 0.5 * (1.0 + math.cos(math.pi * progress))

    def over(self, optimizer: Optimizer, run_steps: float) -> LambdaLR:
        """The scheduler of an optimiser.

        Args:
            optimizer: with the peak as its learning rate.
            run_steps: steps of the run; infinite where it has no end.

        Raises:
            ValueError: a cosine without end.
        """
        if self.kind == "cosine" and not math.isfinite(self.total_steps or run_steps):
            raise ValueError(
                "the cosine schedule needs an end, but the run has none; "
                "set trainer.max_steps or scheduler.total_steps"
            )
        return LambdaLR(optimizer, lambda step: self.factor(step, run_steps))
