"""The last stage of training: a refinement against an adversary. Not in the papers.

The energy distance of refinement.py asks for texture with the right statistics of single bins; discriminators
of patches also ask that bins go together as in real sounds. Two optimisers take turns, so Lightning leaves
the steps to the module.

Letters: B pairs of chunks, C channels, N samples.
"""

from __future__ import annotations

from typing import Any

from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor, nn

from ..adversary import ADVERSARY, Adversary, AdversarySettings, adam, take_step, weighted_sum
from .module import Music2Latent2Module


class Music2Latent2AdversarialModule(Music2Latent2Module):
    """Refines a trained model by its decodings; batches are those of Music2Latent2Module.

    Args:
        adversary: how much discriminators and listener count.
        listener: see Adversary.
        refinement_weight: of the energy distance.
        discriminator_optimizer: makes the optimiser of the discriminators.
        gradient_clip: maximal norm of both gradients.
        settings: of Music2Latent2Module, such as `init_from`.
    """

    def __init__(
        self,
        adversary: AdversarySettings = ADVERSARY,
        *,
        listener: nn.Module | None = None,
        refinement_weight: float = 4.0,
        discriminator_optimizer: OptimizerCallable = adam,
        gradient_clip: float = 20.0,
        **settings: Any,
    ) -> None:
        super().__init__(**settings)
        self.automatic_optimization = False
        self.adversary = Adversary(adversary, self.codec.sample_rate, listener)
        self.refinement_weight, self.gradient_clip = refinement_weight, gradient_clip
        self.discriminator_optimizer = lambda parameters: discriminator_optimizer(parameters)
        self.steps_taken = 0

    def training_step(self, batch: Tensor | dict[str, Tensor], batch_idx: int) -> dict[str, Tensor]:
        """A step of both networks; the latents `[2B, S, D]` for callbacks to look at."""
        optimizers: Any = self.optimizers()
        audio = self.mixed(self.crop(batch))
        _, latents, told, envelope = self._encoded(audio, self.fsq_dropout)
        decodings = self.refinement.decodings(self.codec, audio, told)
        # Pairs of chunks are long enough to be judged; channels are judged one by one.
        _, made, real = decodings[0]
        real = real.expand_as(made).flatten(0, 2)
        made = made.flatten(0, 2)
        judged = self.adversary.judgement(real, made)
        take_step(self, optimizers[1], judged, self.gradient_clip)
        # The codec learns from the energy distance and from what the adversary says.
        losses = {"refinement": (self.refinement_weight, self.refinement.of(decodings))}
        losses |= self.adversary.losses(real, made, self.steps_taken)
        if envelope is not None:
            losses["envelope"] = self.envelope_weight, envelope
        take_step(self, optimizers[0], weighted_sum(list(losses.values())), self.gradient_clip)
        self.lr_schedulers().step()  # type: ignore[union-attr, call-arg]
        self.steps_taken += 1
        self.log_dict({f"train/{name}": loss for name, (_, loss) in losses.items()}, prog_bar=True)
        self.log("train/discriminator", judged)
        self._log_latents("train", latents)
        return {"latents": latents.detach()}

    def configure_optimizers(self) -> Any:
        discriminators = self.discriminator_optimizer(self.adversary.discriminator.parameters())
        return [super().configure_optimizers(), {"optimizer": discriminators}]

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_save_checkpoint(checkpoint)
        checkpoint["steps_taken"] = self.steps_taken

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_load_checkpoint(checkpoint)
        self.steps_taken = checkpoint["steps_taken"]
