"""The learning rate over the steps of a training of AudioLM: warm-up, then a cosine or an inverse root."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from ...core.schedule import warmup_cosine


@dataclass(frozen=True)
class LearningRateSchedule:
    """The learning rate as a share of the optimiser's, which is its peak.

    Args:
        kind: "cosine" (down to `min_lr_ratio` at the last step) or "inverse_sqrt" (AudioGen's; without end).
        warmup_steps: steps of linear rise to the peak.
        min_lr_ratio: end of the cosine.
        total_steps: length of the cosine; None: that of the run.

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

    def factor(self, step: int, total: float) -> float:
        """The share at an optimiser step, in a run of `total` steps."""
        if self.kind == "inverse_sqrt" and step >= self.warmup_steps:
            return math.sqrt(max(self.warmup_steps, 1) / max(step, 1))
        return warmup_cosine(step, total, warmup_steps=self.warmup_steps, floor=self.min_lr_ratio)

    def over(self, optimizer: Optimizer, run_steps: float) -> LambdaLR:
        """The scheduler of an optimiser.

        Args:
            optimizer: with the peak as its learning rate.
            run_steps: steps of the run; infinite where it has no end.

        Raises:
            ValueError: a cosine without end.
        """
        total = self.total_steps or run_steps
        if self.kind == "cosine" and not math.isfinite(total):
            raise ValueError(
                "the cosine schedule needs an end, but the run has none; "
                "set trainer.max_steps or scheduler.total_steps"
            )
        return LambdaLR(optimizer, lambda step: self.factor(step, total))
