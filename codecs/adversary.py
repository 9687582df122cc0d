"""Training against an adversary: discriminators of patches and a listener's features, beside other losses.

What a decoder cannot know of a sound, a distance answers with the mean of all that it could be. An adversary
asks in its place whether the sound could be real. Codecs that make phases up use it: SEANet's texture network
and the last stage of Music2Latent2.

Letters: B sounds, N samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
import torch.nn.functional as F
from lightning import LightningModule
from torch import Tensor, nn

from .seanet.discriminator import adversarial_loss, discriminator_loss, feature_matching_loss
from .seanet.patch_discriminator import WIDTHS, MultiScalePatchDiscriminator


def adam(parameters: Any) -> torch.optim.Optimizer:
    """The optimiser of the discriminators where a recipe names none."""
    return torch.optim.AdamW(parameters, lr=4e-4, betas=(0.8, 0.99))


@dataclass(frozen=True)
class AdversarySettings:
    """How much an adversary counts.

    Args:
        adversarial: weight of the discriminators' judgement.
        features: of the distance between their activations for a sound and its original.
        listener: of the distance between what the listener makes of both.
        start: step from which on the discriminators count; they learn before.
        ramp: steps over which they come to count fully.
        widths: of the discriminators, see PatchDiscriminator.

    Raises:
        ValueError: a ramp below 1.
    """

    adversarial: float = 2.0
    features: float = 12.0
    listener: float = 6.0
    start: int = 300
    ramp: int = 500
    widths: tuple[int, int, int, int] = WIDTHS

    def __post_init__(self) -> None:
        if self.ramp < 1:
            raise ValueError(f"adversary.ramp is {self.ramp}; it is a number of steps, at least 1")

    def share(self, step: int) -> float:
        """How much the discriminators count at a step, 0 to 1."""
        return min(1.0, max(0, step - self.start) / self.ramp)


ADVERSARY = AdversarySettings()


class Adversary(nn.Module):
    """Discriminators, and somebody who listens.

    Args:
        settings: how much they count.
        sample_rate: Hz.
        listener: a network from audio `[B, N]` to a list of tensors, such as
            `soundloom.evaluation.classifier.ClassifierFeatures`, which is not trained; None: nobody.
    """

    def __init__(
        self, settings: AdversarySettings, sample_rate: int, listener: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.settings = settings
        self.discriminator = MultiScalePatchDiscriminator(sample_rate=sample_rate, widths=settings.widths)
        self.listener = None if listener is None else listener.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> Self:
        """Set training mode; the listener stays as it is."""
        super().train(mode)
        if self.listener is not None:
            self.listener.eval()
        return self

    def judgement(self, real: Tensor, made: Tensor) -> Tensor:
        """Loss of the discriminators, scalar: how well they tell `[B, N]` from `[B', N]`."""
        return discriminator_loss(self.discriminator(real), self.discriminator(made.detach()))

    def losses(self, real: Tensor, made: Tensor, step: int) -> dict[str, tuple[float, Tensor]]:
        """Weight and scalar by name, of sounds `[B, N]` beside their originals; discriminators stay."""
        found = {}
        if self.listener is not None:
            found["listener"] = self.settings.listener, self.heard_distance(real, made)
        if share := self.settings.share(step):
            self.discriminator.requires_grad_(False)
            seen_made = self.discriminator(made)
            with torch.no_grad():
                seen_real = self.discriminator(real)
            self.discriminator.requires_grad_(True)
            found["adversarial"] = share * self.settings.adversarial, adversarial_loss(seen_made)
            found["features"] = share * self.settings.features, feature_matching_loss(seen_real, seen_made)
        return found

    def heard_distance(self, real: Tensor, made: Tensor) -> Tensor:
        """L1 between the listener's features of two `[B, N]`, in units of the former's mean size; scalar.

        Raises:
            ValueError: nobody listens.
        """
        if self.listener is None:
            raise ValueError("there is no listener; give one")
        with torch.no_grad():
            wanted = self.listener(real)
        distances = [
            F.l1_loss(a.float(), b.float()) / b.float().abs().mean().clamp_min(1e-4)
            for a, b in zip(self.listener(made), wanted, strict=True)
        ]
        return torch.stack(distances).mean()


def weighted_sum(losses: Sequence[tuple[float, Tensor]]) -> Tensor:
    """Sum of weights times scalars."""
    return torch.stack([weight * loss for weight, loss in losses]).sum()


def take_step(module: LightningModule, optimizer: Any, loss: Tensor, clip: float) -> None:
    """One step of one of a module's optimisers, gradients clipped to a norm."""
    optimizer.zero_grad()
    module.manual_backward(loss)
    module.clip_gradients(optimizer, clip, "norm")
    optimizer.step()
