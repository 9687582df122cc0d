"""The learning rate over the steps of a training: linear warm-up, then half a cosine."""

from __future__ import annotations

import math


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
