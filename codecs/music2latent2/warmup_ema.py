"""Exponential moving average of the weights, whose decay grows from 0 at the start of training."""

from __future__ import annotations

from lightning.pytorch.callbacks import WeightAveraging
from torch import Tensor


class WarmupEMA(WeightAveraging):
    """Averages weights after every step; checkpoints, validation and the final model have the average.

    The decay after n updates is `min(decay, (1 + n) / (10 + n))`, so that the initial weights, which the
    plain average of `decay` would keep for its first 1 / (1 - decay) steps, are forgotten at once.

    Args:
        decay: the final decay, 0 to 1.
    """

    def __init__(self, decay: float = 0.9999) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"decay is {decay}; it must be at least 0 and less than 1")

        def average(averaged: Tensor, current: Tensor, updates: Tensor | int) -> Tensor:
            count = float(updates)
            return averaged.lerp(current, 1 - min(decay, (1 + count) / (10 + count)))

        super().__init__(avg_fn=average)
