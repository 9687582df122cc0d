"""Training of a codec as a whole through its texture network: encoder, codebooks, decoder and network.

What a sound loses on its way is then judged where it is heard, at the end, by discriminators and a listener,
and the encoder learns what to keep. Codes mean something else afterwards: a language model over them has to
be trained again.

The phases between decoder and texture network have no gradient. How strong every bin of the decoded sound is
has one: it is taken to follow what the decoder says of that bin.

Letters: B sounds, N samples, F bins, T frames.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor

from ...core.learning_rate_schedule import LearningRateSchedule
from ..adversary import weighted_sum
from .module import LINEAR_SHARE
from .spectral import log_level
from .texture_module import TextureModule

SCHEDULE = LearningRateSchedule(warmup_steps=100)


@dataclass(frozen=True)
class JointSettings:
    """What counts besides the losses of a texture network, and how fast the codec moves.

    Args:
        description: weight of how well the decoder describes the magnitudes (likelihood, three times the mel
            distance and the level, see SpectralTransform.losses).
        commitment: of the quantizer's loss.
        codec_rate: learning rate of encoder and decoder in that of the texture network.
        scheduler: the learning rates over the batches.
    """

    description: float = 0.5
    commitment: float = 0.5
    codec_rate: float = 0.75
    scheduler: LearningRateSchedule = SCHEDULE


JOINT = JointSettings()
DESCRIPTION = {"likelihood": 1.0, "mel": 3.0, "level": 1.0}


class JointModule(TextureModule):
    """Trains all of a codec, see the module; a batch is audio `[B, 1, N]` or a dict with key "audio".

    Args:
        init_from: the codec, as TextureModule's; a network that it has goes on.
        joint: what counts besides.
        settings: those of TextureModule; each sound of a batch keeps another one of its numbers of codebooks.
    """

    def __init__(self, init_from: Any, *, joint: JointSettings = JOINT, **settings: Any) -> None:
        super().__init__(init_from, **settings)
        self.joint = joint
        self.codec.requires_grad_(True)

    def train(self, mode: bool = True) -> Self:
        """Set training mode."""
        super().train(mode)
        self.codec.train(mode)
        return self

    def training_step(self, batch: Tensor | dict[str, Tensor], batch_idx: int) -> None:
        super().training_step(batch, batch_idx)
        self.lr_schedulers().step()  # type: ignore[union-attr, call-arg]

    def configure_optimizers(self) -> Any:
        codec, discriminator = super().configure_optimizers()
        batches = self.trainer.estimated_stepping_batches / 2  # a batch is a step of both optimisers
        scheduled = {"optimizer": codec, "lr_scheduler": self.joint.scheduler.over(codec, batches)}
        return [scheduled, {"optimizer": discriminator}]

    def made_of(self, real: Tensor) -> tuple[Tensor, dict[str, tuple[float, Tensor]]]:
        codec, spectral = self.codec, self.spectral
        choices = torch.tensor(self.codebooks or (codec.num_codebooks,), device=real.device)
        kept = choices[torch.randint(len(choices), (len(real),), device=real.device)]
        audio = real[:, None]
        quantized = codec.quantizer(codec.encode_latent(audio), kept)
        latent = quantized.quantized
        ended = codec.ended(latent)
        described = codec.decoder(ended).float()
        with torch.autocast(audio.device.type, enabled=False):
            magnitude = spectral.magnitude(audio)
            with torch.no_grad():
                plain = spectral.audio(described, ended.float(), texture=False)[..., : audio.shape[-1]]
            described = described[..., spectral.ahead :][..., : magnitude.shape[-1]]
            level = log_level(described)
            # No change of the sound, but its magnitudes get the gradient of the decoder's.
            spectrum = spectral.spectrum(plain) * (level - level.detach()).exp()
            terms = spectral.losses(described, magnitude)
        description = weighted_sum([(DESCRIPTION[name], term) for name, term in terms.items()])
        losses = {
            "description": (self.joint.description, description),
            "commitment": (self.joint.commitment, quantized.commitment),
        }
        return self.textured(spectrum, latent)[:, : real.shape[-1]], losses

    def trained_parameters(self) -> list[dict[str, Any]]:
        """Groups of the optimiser: linear paths add many values up and so move by less."""
        rate = self.optimizer([torch.nn.Parameter(torch.zeros(1))]).defaults["lr"]
        texture = list(self.texture.parameters())
        others = [(n, p) for n, p in self.codec.named_parameters() if ".texture." not in n]
        groups = [{"params": texture, "lr": rate}]
        for share, chosen in (
            (1.0, [p for n, p in others if ".linear." not in n]),
            (LINEAR_SHARE, [p for n, p in others if ".linear." in n]),
        ):
            if chosen:
                groups.append({"params": chosen, "lr": rate * self.joint.codec_rate * share})
        return groups
