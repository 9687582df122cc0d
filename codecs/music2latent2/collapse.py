"""Collapsed latents: how it is seen, and a callback that ends a training to which it happens.

A reader who reproduced Music2Latent2 tells of stereo trainings that collapsed: the encoder drives its latents
to the ends of the tanh, where hardly any gradient comes back, and the decoder learns to do without them. Both
show long before the sound does: by the share of values that are near the ends, and by the number of
directions in which latents still differ from sound to sound.

Letters: n chunks of S latents of D channels.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import lightning
import torch
from torch import Tensor

from ...core.errors import SoundloomError

logger = logging.getLogger(__name__)

# A tanh latent beyond this passes hardly any gradient.
SATURATED = 0.97
# Standard deviation below which values are taken to be the same for every sound.
CONSTANT = 1e-3


class CollapseError(SoundloomError, RuntimeError):
    """A training was ended since its latents have collapsed."""


def saturation(latents: Tensor) -> Tensor:
    """Share of the values of latents `[..., D]`, in -1 to 1, that are beyond 0.97 at either end: a scalar."""
    return (latents.abs() > SATURATED).float().mean()


def effective_dimensions(latents: Tensor) -> float:
    """In how many directions latents `[n, S, D]` differ from chunk to chunk, at most n - 1 or S * D.

    The participation ratio of the variances: the square of their sum over the sum of their squares. It is k
    where k directions have the same variance and the others none. 0: all chunks are alike, or not finite.
    """
    values = latents.float().flatten(1)  # [n, S * D]
    if not torch.isfinite(values).all():
        return 0.0
    variances = torch.linalg.svdvals(values - values.mean(0)).square() / max(1, len(values) - 1)
    if float(variances.sum()) < CONSTANT**2 * values.shape[1]:
        return 0.0
    return float(variances.sum().square() / variances.square().sum())


@dataclass(frozen=True)
class LatentHealth:
    """What the latents of the last chunks look like.

    Attributes:
        saturation: share of values beyond 0.97.
        dimensions: see `effective_dimensions`.
        values: S * D, of which `dimensions` are.
    """

    saturation: float
    dimensions: float
    values: int

    def __str__(self) -> str:
        return (
            f"{self.saturation:.0%} of the latent values lie beyond {SATURATED}, and latents differ in "
            f"{self.dimensions:.1f} effective dimensions of {self.values}"
        )


class CollapseGuard(lightning.Callback):
    """Warns when the latents of a Music2Latent2 collapse, and ends the training if they stay so.

    Every training of `Music2Latent2Module` has one; a recipe that lists its own has that instead. It logs
    `train/latent_dimensions`. The last checkpoint stays, and nothing is exported.

    Args:
        saturation: share of values beyond 0.97 above which latents count as collapsed.
        dimensions: effective dimensions below which they do. By default only latents that are alike for all
            sounds: a model that begins with random weights has few dimensions for long. One that begins with
            an envelope has most of its own from the start.
        after: training steps before the first look; latents of a new model are all zero.
        every: training steps between two looks.
        patience: looks in a row that find them collapsed before the training ends; 0: it is never ended.
        chunks: of the last ones so many are looked at.

    Raises:
        ValueError: a share that is none, or numbers below what they count from.
    """

    def __init__(
        self,
        saturation: float = 0.5,
        dimensions: float = 1.0,
        after: int = 1000,
        every: int = 100,
        patience: int = 5,
        chunks: int = 512,
    ) -> None:
        if not 0 < saturation <= 1:
            raise ValueError(f"saturation is {saturation}; it is a share above 0, and at most 1")
        for name, value, least in (
            ("dimensions", dimensions, 0),
            ("after", after, 0),
            ("every", every, 1),
            ("patience", patience, 0),
            ("chunks", chunks, 2),
        ):
            if value < least:
                raise ValueError(f"{name} is {value}; it must be at least {least}")
        self.saturation, self.dimensions = saturation, dimensions
        self.after, self.every, self.patience = after, every, patience
        self.seen: deque[Tensor] = deque(maxlen=chunks)
        self.bad = 0

    def health(self) -> LatentHealth:
        """What the chunks seen last look like."""
        latents = torch.stack(list(self.seen))  # [n, S, D]
        return LatentHealth(float(saturation(latents)), effective_dimensions(latents), latents[0].numel())

    def collapsed(self, health: LatentHealth) -> bool:
        """Whether latents that look like this count as collapsed."""
        return health.saturation > self.saturation or health.dimensions < self.dimensions

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Keep the latents of the step, and look at what was kept when it is time."""
        if isinstance(outputs, Mapping) and "latents" in outputs:
            self.seen.extend(outputs["latents"].detach())
        step = trainer.global_step
        if len(self.seen) < 2 or step % self.every:
            return
        health = self.health()
        pl_module.log("train/latent_dimensions", health.dimensions)
        if step < self.after:
            return
        # Processes see other sounds: they agree, so that all end together.
        bad = trainer.strategy.reduce_boolean_decision(self.collapsed(health), all=False)
        self.bad = self.bad + 1 if bad else 0
        if self.bad == 1:
            logger.warning("step %d: %s: they are collapsing", step, health)
        if self.patience and self.bad >= self.patience:
            raise CollapseError(
                f"step {step}: the latents have collapsed: {health}. Go back to a checkpoint from before, or "
                "begin anew, with a lower learning rate or a longer warm-up, or with settings.envelope: true "
                "(it begins with principal components). CollapseGuard's saturation, dimensions and patience "
                "say when a training is ended"
            )
