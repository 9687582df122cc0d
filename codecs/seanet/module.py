"""Training of the SEANet codec: reconstruction, quantizer and adversarial losses around SEANetCodec.

Source: EnCodec (Defossez et al. 2022), section 3.4; settings of AudioGen's codec as defaults where a recipe
does not say otherwise.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import torch
import torch.nn.functional as F
from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor, nn
from torchmetrics.functional.audio import scale_invariant_signal_distortion_ratio

from ...core.example import AudioFormat, Example
from ...core.exports_model import EXPORT_KEY, ExportsModel, part_of
from ...core.int8_storage import INT8, save_int8
from ...core.learning_rate_schedule import LearningRateSchedule
from ..codec_to_train import codec_to_train, codec_usage, noted_config
from ..principal_components import training_examples
from .components import start_from_components
from .discriminator import (
    MagnitudeDiscriminator,
    MultiScaleSTFTDiscriminator,
    adversarial_loss,
    discriminator_loss,
    feature_matching_loss,
)
from .losses import Balancer, MultiScaleMelLoss
from .model import SEANetCodec

logger = logging.getLogger(__name__)

WAVEFORM_WEIGHTS = {"adversarial": 4.0, "features": 4.0, "waveform": 0.1, "mel": 2.0}
SPECTRAL_WEIGHTS = {"likelihood": 1.0, "mel": 3.0, "level": 0.0, "adversarial": 3.0, "features": 8.0}
SCHEDULE = LearningRateSchedule(warmup_steps=0, min_lr_ratio=0.1)
AVERAGES = ("embed_avg",)  # of codebooks: int8 files do without, see SEANetAutoencoder.complete
LINEAR_SHARE = 0.1  # of the learning rate, for linear paths


def adam(parameters: Any) -> torch.optim.Optimizer:
    """EnCodec's optimiser."""
    return torch.optim.Adam(parameters, lr=3e-4, betas=(0.5, 0.9))


@dataclass(frozen=True)
class SEANetLosses:
    """What a codec is trained for, beside what a discriminator thinks.

    Args:
        weights: of the losses. For codecs of the waveform, shares of the gradient (see Balancer) by the names
            adversarial, features, waveform, mel; with a spectral transform, factors for likelihood, mel,
            level (see SpectralTransform.losses), adversarial and features. Those that are left out have the
            values of WAVEFORM_WEIGHTS and SPECTRAL_WEIGHTS.
        mel_floor: added to mel magnitudes before the logarithm; below it a difference counts little.
            AudioGen's 1e-5 lets digital silence, of which procedural sound is full, dominate the gradient.
        commitment: weight of the quantizer's loss, which stays outside the balancer.
        quantizer_start: step from which on latents are quantized; before it the network trains as a plain
            autoencoder, so that k-means meets latents that mean something.
        codebook_choices: numbers of codebooks of which each example of a batch is given one at random, so
            that sounds decode well from the first few (a number that is named twice is drawn twice as often);
            none: all codebooks always. For codecs with a spectral transform.
    """

    weights: dict[str, float] = field(default_factory=dict)
    mel_floor: float = 1e-5
    commitment: float = 1.0
    quantizer_start: int = 0
    codebook_choices: tuple[int, ...] = ()

    def weights_for(self, codec: SEANetCodec) -> dict[str, float]:
        """All weights, for this codec.

        Raises:
            ValueError: unknown weights, or numbers of codebooks that the codec does not have.
        """
        defaults = WAVEFORM_WEIGHTS if codec.spectral is None else SPECTRAL_WEIGHTS
        if unknown := set(self.weights) - set(defaults):
            raise ValueError(f"unknown weights {sorted(unknown)}; allowed: {sorted(defaults)}")
        choices = list(self.codebook_choices)
        if choices and (codec.spectral is None or not all(1 <= n <= codec.num_codebooks for n in choices)):
            raise ValueError(
                f"codebook_choices are {choices}; they must be between 1 and {codec.num_codebooks}, and are "
                "for codecs with transform 'spectral' only"
            )
        return {**defaults, **self.weights}


@dataclass(frozen=True)
class DiscriminatorSettings:
    """The discriminator. Codecs with a spectral transform make no waveform: theirs judges magnitudes.

    Args:
        n_filters: its width; 0 trains without one.
        n_ffts: FFT sizes of its scales; for codecs of the waveform.
        start: step from which on it takes part.
    """

    n_filters: int = 32
    n_ffts: tuple[int, ...] = (1024, 2048, 512, 256, 128)
    start: int = 0

    def build(self, codec: SEANetCodec) -> nn.Module | None:
        """The network for this codec, untrained."""
        if not self.n_filters:
            return None
        if codec.spectral is not None:
            return MagnitudeDiscriminator(n_filters=self.n_filters)
        return MultiScaleSTFTDiscriminator(
            channels=codec.channels, n_ffts=self.n_ffts, n_filters=self.n_filters
        )


class SEANetModule(ExportsModel):
    """Trains `codec` with manual optimisation; a batch is audio `[B, C, N]` or a dict with key "audio".

    Args:
        codec: a new model to train; None: that of `init_from`.
        init_from: start from a codec, by bundled name, folder or hub id, instead of from random weights.
        train_encoder: off keeps encoder and codebooks as they are, so that codes go on meaning the same: what
            was encoded before, and a language model over these codes, goes on working with the new decoder.
        optimizer: makes the optimisers of the codec and of the discriminator; in a recipe a `class_path` with
            `init_args`.
        scheduler: of both learning rates; without `total_steps` they stay at the peak after the warm-up.
        losses: what is trained for.
        discriminator: settings of the discriminator.
        gradient_clip: maximal norm of the codec's gradient, None for no clipping.
        component_examples: segments from which a codec with a linear path takes its principal components and
            codebooks before training.
        export_to: folder for the trained codec (as `save_pretrained` writes it) when training ends.

    Raises:
        ValueError: not one of codec and init_from, unknown weights, or numbers of codebooks that the codec
            does not have.
    """

    def __init__(
        self,
        codec: SEANetCodec | None = None,
        *,
        init_from: str | None = None,
        train_encoder: bool = True,
        optimizer: OptimizerCallable = adam,
        scheduler: LearningRateSchedule = SCHEDULE,
        losses: SEANetLosses = SEANetLosses(),
        discriminator: DiscriminatorSettings = DiscriminatorSettings(),
        gradient_clip: float | None = None,
        component_examples: int = 3000,
        export_to: str | None = None,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        if (codec is None) == (init_from is None):
            raise ValueError("set either codec, a new model, or init_from, the codec to start from")
        if codec is None:
            codec = codec_to_train(str(init_from), SEANetCodec)
        elif not train_encoder:
            raise ValueError(
                "train_encoder is false, but the codec is new; name a trained one with init_from"
            )
        self.codec = codec
        self.train_encoder = train_encoder
        if not train_encoder:
            codec.encoder.requires_grad_(False)
            self.train()
        # A function: weight averaging copies the module, and what a recipe makes of a class_path has no copy.
        self.optimizer = lambda parameters: optimizer(parameters)
        self.scheduler, self.losses = scheduler, losses
        self.discriminator_start = discriminator.start
        self.gradient_clip = gradient_clip
        self.component_examples = component_examples
        self.export_to = export_to
        self.mel_loss = MultiScaleMelLoss(sample_rate=codec.sample_rate, floor=losses.mel_floor)
        self.weights = losses.weights_for(codec)
        self.balancer = Balancer(self.weights)
        self.discriminator = discriminator.build(codec)
        self.steps_taken = 0

    def train(self, mode: bool = True) -> Self:
        """Set training mode; an encoder that is kept, and its codebooks, never move."""
        super().train(mode)
        if not self.train_encoder:
            self.codec.encoder.eval()
            self.codec.quantizer.eval()
        return self

    def on_train_start(self) -> None:
        """Let a new codec with a linear path begin with the principal components of training data."""
        linear = self.codec.encoder.linear
        if linear is None or linear.conv.weight.any():
            return
        debugging = bool(getattr(self.trainer, "fast_dev_run", False))
        wanted = 16 if debugging else self.component_examples
        batch_sizes = []

        def take(batch: Tensor | dict[str, Tensor]) -> Tensor:
            audio = self._audio(batch)
            batch_sizes.append(len(audio))
            return audio

        audio = training_examples(self.trainer, wanted, take, unit="segment").to(self.device)
        frames = -(-audio.shape[-1] // self.codec.hop_length)
        start_from_components(self.codec, audio, batch_vectors=batch_sizes[0] * frames)
        self.codec.load_state_dict(self.trainer.strategy.broadcast(self.codec.state_dict()))

    def training_step(self, batch: Tensor | dict[str, Tensor], batch_idx: int) -> None:
        audio = self._audio(batch)
        optimizers = self.optimizers()
        both = list(optimizers) if isinstance(optimizers, list) else [optimizers]
        rate = self.scheduler.factor(self.steps_taken) * both[0].defaults["lr"]
        for optimizer in both:
            for group in optimizer.param_groups:
                group["lr"] = rate * group.get("share", 1.0)
        quantize = self.steps_taken >= self.losses.quantizer_start
        if self.codec.spectral is None:
            losses, commitment, total = self._waveform_losses(audio, quantize, both)
        else:
            losses, commitment, total = self._spectral_losses(audio, quantize, both)
        both[0].zero_grad()
        self.manual_backward(total)
        if self.gradient_clip is not None:
            self.clip_gradients(both[0], self.gradient_clip, "norm")  # type: ignore[arg-type]
        both[0].step()
        self.steps_taken += 1
        self.log_dict({f"train/{name}": loss for name, loss in losses.items()}, prog_bar=True)
        self.log("train/commitment", commitment, prog_bar=True)
        self.log("train/learning_rate", rate)

    def _waveform_losses(
        self, audio: Tensor, quantize: bool, optimizers: list[Any]
    ) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        """Losses by name, the quantizer's, and their differentiable sum; the discriminator takes a step."""
        output = self.codec(audio, quantize=quantize)
        estimate = output.audio.float()
        losses = {
            "waveform": F.l1_loss(estimate, audio),
            "mel": self.mel_loss(estimate, audio),
        }
        losses |= self._adversarial_losses(audio, estimate, optimizers)
        gradient = self.balancer.gradient(losses, estimate)
        # One backward pass: the balanced gradient enters at the output, the quantizer's loss beside it.
        total = (estimate * gradient).sum() + self.losses.commitment * output.commitment
        return losses, output.commitment, total

    def _spectral_losses(
        self, audio: Tensor, quantize: bool, optimizers: list[Any]
    ) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        """As _waveform_losses, for a codec with a spectral transform."""
        kept = None
        if choices := self.losses.codebook_choices:
            drawn = torch.randint(len(choices), (len(audio),))
            kept = torch.tensor(choices)[drawn].to(audio.device)
        output = self.codec.describe(audio, quantize=quantize, num_codebooks=kept)
        losses = dict(output.losses)
        if self.discriminator is not None:
            assert self.codec.spectral is not None
            made = self.codec.spectral.drawn_power(output.described)
            losses |= self._adversarial_losses(output.magnitude.square(), made, optimizers)
        weighted = [self.weights[name] * loss for name, loss in losses.items()]
        return (
            losses,
            output.commitment,
            torch.stack(weighted).sum() + self.losses.commitment * output.commitment,
        )

    def _adversarial_losses(self, real: Tensor, made: Tensor, optimizers: list[Any]) -> dict[str, Tensor]:
        """Losses by what the discriminator thinks of `made` beside `real`; it takes a step before.

        Absent before discriminator_start: two adversaries that know nothing teach each other nothing.
        """
        if self.discriminator is None or self.steps_taken < self.discriminator_start:
            return {}
        judged = discriminator_loss(self.discriminator(real), self.discriminator(made.detach()))
        optimizers[1].zero_grad()
        self.manual_backward(judged)
        optimizers[1].step()
        self.log("train/discriminator", judged)
        self.discriminator.requires_grad_(False)
        seen_made, seen_real = self.discriminator(made), self.discriminator(real)
        losses = {
            "adversarial": adversarial_loss(seen_made),
            "features": feature_matching_loss(seen_real, seen_made),
        }
        self.discriminator.requires_grad_(True)
        return losses

    def validation_step(self, batch: Tensor | dict[str, Tensor], batch_idx: int) -> None:
        self._measure(batch, "val")

    def test_step(self, batch: Tensor | dict[str, Tensor], batch_idx: int) -> None:
        self._measure(batch, "test")

    def _measure(self, batch: Tensor | dict[str, Tensor], stage: str) -> None:
        audio = self._audio(batch)
        output = self.codec(audio, quantize=self.steps_taken > self.losses.quantizer_start)
        estimate = output.audio.float()
        metrics = {
            f"{stage}/mel": self.mel_loss(estimate, audio),
            f"{stage}/si_sdr": scale_invariant_signal_distortion_ratio(estimate, audio).mean(),
        }
        if output.codes is not None:
            used = [float(codes.unique().numel()) for codes in output.codes.unbind(1)]
            metrics[f"{stage}/codes_used"] = torch.tensor(used).mean()
        self.log_dict(metrics, prog_bar=True, batch_size=audio.shape[0])

    def audio_format(self) -> AudioFormat:
        """At least a frame."""
        codec = self.codec
        return AudioFormat("the codec", codec.sample_rate, (codec.channels,), codec.hop_length)

    @torch.no_grad()
    def examples(self, batch: Tensor | dict[str, Tensor], *, seed: int = 0) -> list[Example]:
        """Sounds, and what comes back from their codes."""
        audio = self._audio(batch).float()
        decoded = self.codec.decode(self.codec.encode(audio), audio.shape[-1]).float()
        pairs = zip(audio, decoded, strict=True)
        return [Example({"original": one, "decoded": other}, self.codec.sample_rate) for one, other in pairs]

    def usage(self, folder: str) -> list[str]:
        """Compress a sound, and hear it."""
        return codec_usage(folder)

    def _audio(self, batch: Tensor | dict[str, Tensor]) -> Tensor:
        return batch if isinstance(batch, Tensor) else batch["audio"]

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        # Every step of Adam moves all weights alike; those of a linear map of many values add up.
        trained = [(n, p) for n, p in self.codec.named_parameters() if p.requires_grad]
        linear = [p for n, p in trained if ".linear." in n]
        rest = [p for n, p in trained if ".linear." not in n]
        groups: list[dict[str, Any]] = [{"params": rest}]
        if linear:
            groups.append({"params": linear, "share": LINEAR_SHARE})
        optimizers = [self.optimizer(groups)]
        if self.discriminator is not None:
            optimizers.append(self.optimizer(self.discriminator.parameters()))
        return optimizers

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_save_checkpoint(checkpoint)
        checkpoint["balancer"] = self.balancer.state_dict()
        checkpoint["steps_taken"] = self.steps_taken

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.balancer.load_state_dict(checkpoint["balancer"])
        self.steps_taken = checkpoint["steps_taken"]

    def export_info(self) -> dict[str, Any]:
        """How the codec is built."""
        return {"codec": noted_config(self.codec)}

    @classmethod
    def from_checkpoint(cls, checkpoint: Mapping[str, Any]) -> Self:
        """Build the module of a checkpoint around its codec; the discriminator is left out."""
        codec = SEANetCodec(**checkpoint[EXPORT_KEY]["codec"])
        module = cls(codec, discriminator=DiscriminatorSettings(n_filters=0))
        module.codec.load_state_dict(part_of(checkpoint["state_dict"], "codec"))
        return module.eval()

    def export(self, folder: Path, *, weights: str = "float") -> None:
        """Write a folder for `SEANetCodec.from_pretrained`."""
        if weights == INT8:
            save_int8(self._stored(), folder, leave_out=AVERAGES)
        else:
            self.save_pretrained(folder)

    def save_pretrained(self, folder: str | Path, *, dtype: torch.dtype = torch.float32) -> None:
        """Write a copy for `SEANetCodec.from_pretrained`: weight norms folded, weights as `dtype`."""
        stored = self._stored()
        nn.Module.to(stored, dtype)  # that of diffusers warns about every change of dtype
        stored.save_pretrained(folder)

    def _stored(self) -> SEANetCodec:
        """A copy of the codec as it is stored."""
        return copy.deepcopy(self.codec).fold_weight_norm()
