"""Training of Music2Latent2 and CoDiCodec: one consistency loss, end to end.

Sources: Music2Latent (arXiv 2408.06500) and its public training code, Music2Latent2 (arXiv 2501.17578),
CoDiCodec (arXiv 2509.09836). Nothing of the successors' training code is public: what follows by analogy is
said at the arguments, and in the recipes.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self

import lightning
import torch
from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor
from torchmetrics.functional.audio import scale_invariant_signal_distortion_ratio

from ...core.example import AudioFormat, Example
from ...core.exports_model import EXPORT_KEY, ExportsModel, part_of
from ...core.int8_storage import INT8, save_int8
from ...core.learning_rate_schedule import LearningRateSchedule
from ...core.spectra import log_spectral_distance
from ..codec_to_train import codec_to_train, codec_usage
from ..principal_components import training_examples
from ..seanet.losses import MultiScaleMelLoss
from .collapse import CollapseGuard, saturation
from .consistency import ConsistencyLoss, ConsistencyObjective, NoiseLevels
from .envelope import envelope_loss, fit_principal_components, log_modulus
from .model import Music2Latent2
from .music2latent2_config import Music2Latent2Config
from .networks import Context
from .refinement import RefinementLoss

logger = logging.getLogger(__name__)

SCHEDULE = LearningRateSchedule(warmup_steps=10_000, min_lr_ratio=0.01)
LEVELS = NoiseLevels()
# Upper ends of the ranges of noise levels whose losses are logged apart.
SIGMA_RANGES = {"lowest": 0.05, "low": 0.5, "high": 5.0, "highest": math.inf}


def radam(parameters: Any) -> torch.optim.Optimizer:
    """The optimiser of Music2Latent's training code."""
    return torch.optim.RAdam(parameters, lr=1e-4, betas=(0.9, 0.999))


@dataclass(frozen=True)
class Mixing:
    """How training sounds are changed before they are used.

    Args:
        share: probability that another item of the batch is added to an item.
        gain_db: range of the random gain that every item gets before, dB.

    Raises:
        ValueError: a share that is none, or a range whose ends are the wrong way round.
    """

    share: float = 0.5
    gain_db: tuple[float, float] = (0.0, 0.0)

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise ValueError(f"mix is {self.share}; it is a probability from 0 to 1")
        if self.gain_db[0] > self.gain_db[1]:
            raise ValueError(f"mix.gain_db is {self.gain_db}; give the lower end first")


class Music2Latent2Module(ExportsModel):
    """Trains on pairs of neighbouring chunks; a batch is audio `[B, C, N]` or a dict with key "audio".

    N is at least `2 * chunk_samples + edge` samples (see Music2Latent2Config); what is more is not used.

    Args:
        settings: of a new model; None: those of `init_from`.
        init_from: start from a model, by bundled name, folder or hub id, instead of from random weights.
        optimizer: makes the optimiser of all weights; in a recipe a `class_path` with `init_args`.
        scheduler: of its learning rate, over the whole training.
        noise: which noise levels are compared and how far apart they are; a run that goes on keeps the stages
            of easy consistency tuning where they were, whatever its new length.
        mix: probability that another item of the batch is added to an item (CoDiCodec), or how that is done.
        fsq_dropout: share of chunks that go on unrounded, where the model has FSQ (CoDiCodec).
        envelope_weight: of the likelihood of the spectrogram under the envelope, where the model has one.
        envelope_examples: pairs of chunks from which its principal components are taken before training.
        gradient_checkpointing: compute activations twice to save memory.
        reconstructions: validation batches that are decoded and compared with the original.
        export_to: folder for the trained model in `from_pretrained`'s format; None writes none.

    Raises:
        ValueError: not one of settings and init_from, or a share that is none.
    """

    def __init__(
        self,
        settings: Music2Latent2Config | None = None,
        *,
        init_from: str | None = None,
        optimizer: OptimizerCallable = radam,
        scheduler: LearningRateSchedule = SCHEDULE,
        noise: NoiseLevels = LEVELS,
        mix: float | Mixing = 0.5,
        fsq_dropout: float = 0.75,
        envelope_weight: float = 30.0,
        envelope_examples: int = 4000,
        gradient_checkpointing: bool = False,
        reconstructions: int = 1,
        export_to: str | None = None,
    ) -> None:
        super().__init__()
        if not 0 <= fsq_dropout <= 1:
            raise ValueError(f"fsq_dropout is {fsq_dropout}; it is a probability from 0 to 1")
        if (settings is None) == (init_from is None):
            raise ValueError("set either settings, of a new model, or init_from, the model to start from")
        self.codec = (
            codec_to_train(str(init_from), Music2Latent2)
            if settings is None
            else Music2Latent2(**asdict(settings))
        )
        if gradient_checkpointing:
            self.codec.enable_gradient_checkpointing()
        # A function: weight averaging copies the module, and what a recipe makes of a class_path has no copy.
        self.optimizer = lambda parameters: optimizer(parameters)
        self.scheduler, self.noise = scheduler, noise
        sizes = self.codec.settings
        self.refinement = RefinementLoss(noise.refinement, sizes.chunk_samples - sizes.edge)
        self.mixing = mix if isinstance(mix, Mixing) else Mixing(mix)
        self.fsq_dropout, self.envelope_weight = fsq_dropout, envelope_weight
        self.envelope_examples = envelope_examples
        self.reconstructions = reconstructions
        self.export_to = export_to
        self.mel_distance = MultiScaleMelLoss(sample_rate=self.codec.sample_rate)
        self.objective: ConsistencyObjective | None = None
        self._told_mono = False

    def setup(self, stage: str) -> None:
        self.objective = self.build_objective(self._total_steps() if stage == "fit" else 1)

    def build_objective(self, total_steps: int) -> ConsistencyObjective:
        """The objective of a training of `total_steps` steps."""
        return ConsistencyObjective(self.codec.schedule, self.noise, total_steps=total_steps)

    def _total_steps(self) -> int:
        steps = self.trainer.estimated_stepping_batches
        if not math.isfinite(steps):
            raise ValueError(
                "the step schedule needs the length of training: set trainer.max_steps or max_epochs"
            )
        return max(1, int(steps))

    def configure_callbacks(self) -> list[lightning.Callback]:
        """Look after the latents, unless the trainer has a callback that does."""
        given = any(isinstance(one, CollapseGuard) for one in self.trainer.callbacks)  # type: ignore[attr-defined]
        return [] if given else [CollapseGuard()]

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the stages of easy consistency tuning where they were, whatever the length is now."""
        steps = checkpoint.get(EXPORT_KEY, {}).get("total_steps")
        if self.objective is not None and self.noise.schedule == "ect" and steps is not None:
            self.objective = self.build_objective(steps)

    def on_train_start(self) -> None:
        """Set the envelope of a new model to the principal components of training data."""
        reader, writer = self.codec.encoder.envelope, self.codec.upsampler.envelope
        if reader is None or writer is None or writer.weight.any():
            return
        debugging = bool(getattr(self.trainer, "fast_dev_run", False))
        wanted = 2 * (len(reader.weight) if debugging else self.envelope_examples)
        examples = training_examples(self.trainer, wanted, self._log_moduli, unit="chunk")
        fit_principal_components(reader, writer, examples)
        for part in (reader, writer):
            part.load_state_dict(self.trainer.strategy.broadcast(part.state_dict()))

    def _log_moduli(self, batch: Tensor | dict[str, Tensor]) -> Tensor:
        """Logarithms of the moduli of a batch's chunks, `[N, C, F, M]`."""
        audio = self.mixed(self.crop(batch)).to(self.device)
        representation = self.codec.representation
        return log_modulus(representation.to_chunks(representation.analyse(audio)))

    # One step

    def training_step(self, batch: Tensor | dict[str, Tensor], batch_idx: int) -> dict[str, Tensor]:
        """Loss, and the latents `[2B, S, D]` for callbacks to look at."""
        audio = self.mixed(self.crop(batch))
        assert self.objective is not None
        if self.refinement.refinement.begins(self.global_step, self._total_steps()):
            return self._refining_step(audio)
        latents, result = self.consistency_loss(audio, self.objective, self.global_step, self.fsq_dropout)
        self.log("train/loss", result.loss, prog_bar=True)
        if result.stage is None:
            self.log("train/step_size", self.objective.step_size(self.global_step))
        else:
            self.log("train/stage", float(result.stage))
            self.log(f"train_by_stage/{result.stage}", result.items.mean())
        self._log_latents("train", latents)
        if result.envelope is not None:
            self.log("train/envelope", result.envelope)
        lower = 0.0
        for name, upper in SIGMA_RANGES.items():
            inside = (result.sigma >= lower) & (result.sigma < upper)
            if inside.any():
                self.log(f"train_by_noise/{name}", result.items[inside].mean(), batch_size=int(inside.sum()))
            lower = upper
        return {"loss": result.loss, "latents": latents.detach()}

    def _refining_step(self, audio: Tensor) -> dict[str, Tensor]:
        """A training step by the decodings."""
        _, latents, told, envelope = self._encoded(audio, self.fsq_dropout)
        distance = self.refinement(self.codec, audio, told)
        loss = self.refinement.refinement.weight * distance
        self.log("train/refinement", distance)
        if envelope is not None:
            self.log("train/envelope", envelope)
            loss = loss + self.envelope_weight * envelope
        self.log("train/loss", loss, prog_bar=True)
        self._log_latents("train", latents)
        return {"loss": loss, "latents": latents.detach()}

    def crop(self, batch: Tensor | dict[str, Tensor]) -> Tensor:
        """The samples of a pair of chunks, `[B, C, 2 * chunk_samples + edge]`, in the model's channels.

        Raises:
            ValueError: too few samples, or more channels than the model has.
        """
        audio = batch if isinstance(batch, Tensor) else batch["audio"]
        settings = self.codec.settings
        wanted = 2 * settings.chunk_samples + settings.edge
        if audio.shape[-1] < wanted:
            raise ValueError(
                f"a batch has {audio.shape[-1]} samples; two chunks want {wanted}: set "
                f"data.segment_seconds to at least {wanted / settings.sample_rate:.4f}"
            )
        if audio.shape[1] == 1 and settings.channels == 2:
            if not self._told_mono:
                logger.warning("the data is mono and the model stereo: both channels get the same samples")
                self._told_mono = True
            audio = audio.expand(-1, 2, -1)
        if audio.shape[1] != settings.channels:
            raise ValueError(
                f"a batch has {audio.shape[1]} channels, the model {settings.channels}; mix the data down"
            )
        return audio[..., :wanted]

    def mixed(self, audio: Tensor) -> Tensor:
        """Add to each item of `[B, C, N]`, with probability `mix`, a random item of the batch; see Mixing."""
        low, high = self.mixing.gain_db
        if low or high:
            decibels = low + (high - low) * torch.rand(len(audio), 1, 1, device=audio.device)
            audio = audio * 10 ** (decibels / 20)
        chosen = torch.rand(len(audio), 1, 1, device=audio.device) < self.mixing.share
        return audio + chosen * audio[torch.randperm(len(audio), device=audio.device)]

    def consistency_loss(
        self, audio: Tensor, objective: ConsistencyObjective, step: int, fsq_dropout: float
    ) -> tuple[Tensor, ConsistencyLoss]:
        """Latents `[2B, S, D]` and loss of pairs of chunks `[B, C, N]`.

        Encoder and upsampler run once; their gradient comes from the prediction at the higher noise level
        only.
        """
        chunks, latents, told, envelope = self._encoded(audio, fsq_dropout)
        known = told.detach()
        result = objective(
            lambda noisy, sigma: self.codec.denoise_pair(noisy, sigma, told),
            lambda noisy, sigma: self.codec.denoise_pair(noisy, sigma, known),
            chunks,
            step,
        )
        if envelope is not None:
            result.envelope = envelope
            result.loss = result.loss + self.envelope_weight * envelope
        return latents, result

    def _encoded(self, audio: Tensor, fsq_dropout: float) -> tuple[Tensor, Tensor, Context, Tensor | None]:
        """Chunks `[2B, P, F, M]`, latents, what a decoder is told, and the loss of the envelope, if any."""
        codec = self.codec
        chunks = codec.representation.to_chunks(codec.representation.analyse(audio))
        latents = codec.bottleneck(codec.encoder(chunks).float(), fsq_dropout)
        context = codec.context(latents)
        told = replace(context, envelope=context.detach().envelope)
        envelope = None if context.envelope is None else envelope_loss(context.envelope, chunks)
        return chunks, latents, told, envelope

    def _log_latents(self, stage: str, latents: Tensor) -> None:
        values = latents.detach()
        self.log(f"{stage}/latent_saturation", saturation(values), batch_size=len(values))
        self.log(f"{stage}/latent_std", values.std(), batch_size=len(values))

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        gradients = [p.grad for p in self.parameters() if p.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients)
        self.log("train/gradient_norm", norm)
        if not torch.isfinite(norm):
            logger.warning("step %d: the gradient is not finite; the step is left out", self.global_step)
            optimizer.zero_grad(set_to_none=True)

    # Validation

    def validation_step(self, batch: Tensor | dict[str, Tensor], batch_idx: int) -> None:
        audio = self.crop(batch)
        assert self.objective is not None
        devices = [audio.device] if audio.device.type == "cuda" else []
        with torch.random.fork_rng(devices):  # the same noise at every validation
            torch.manual_seed(batch_idx)
            latents, result = self.consistency_loss(audio, self.objective, self.objective.total_steps, 1.0)
        self.log("val/loss", result.loss, prog_bar=True, batch_size=len(audio), sync_dist=True)
        self._log_latents("val", latents)
        if batch_idx < self.reconstructions:
            self._reconstruct(audio)

    def test_step(self, batch: Tensor | dict[str, Tensor], batch_idx: int) -> None:
        """How near reconstructions are to the original."""
        self._reconstruct(self.crop(batch), "test")

    def _decodable(self, audio: Tensor) -> Tensor:
        """The beginning of a pair of chunks that two chunks hold as a whole."""
        settings = self.codec.settings
        return audio[..., : 2 * settings.chunk_samples - settings.edge]

    def _reconstruct(self, audio: Tensor, stage: str = "val") -> None:
        original = self._decodable(audio)
        kinds = {"": False, "_codes": True} if self.codec.discrete else {"": False}
        for suffix, discrete in kinds.items():
            latents = self.codec.encode(original, discrete=discrete)
            decoded = self.codec.decode(latents, original.shape[-1])
            window = torch.hann_window(2048, device=original.device)
            si_sdr = scale_invariant_signal_distortion_ratio(decoded, original).mean()
            values = {
                f"{stage}/mel{suffix}": self.mel_distance(decoded, original),
                f"{stage}/log_spectral_distance{suffix}": log_spectral_distance(
                    decoded, original, window
                ).mean(),
                f"{stage}/si_sdr{suffix}": si_sdr,
            }
            self.log_dict(values, batch_size=len(audio), sync_dist=True)

    def audio_format(self) -> AudioFormat:
        """Two chunks."""
        settings = self.codec.settings
        least = 2 * settings.chunk_samples + settings.edge
        return AudioFormat("the model", settings.sample_rate, (settings.channels,), least)

    @torch.no_grad()
    def examples(self, batch: Tensor | dict[str, Tensor], *, seed: int = 0) -> list[Example]:
        """Sounds and their reconstructions, from latents and, where the model has them, from codes."""
        original = self._decodable(self.crop(batch).float())
        made = {"original": original}
        for name, discrete in {
            "decoded": False,
            **({"from_codes": True} if self.codec.discrete else {}),
        }.items():
            latents = self.codec.encode(original, discrete=discrete)
            made[name] = self.codec.decode(latents, original.shape[-1])
        rate = self.codec.settings.sample_rate
        return [Example({name: sound[n] for name, sound in made.items()}, rate) for n in range(len(original))]

    def usage(self, folder: str) -> list[str]:
        """Compress a sound, and hear it."""
        return codec_usage(folder)

    # Optimisation and result

    def configure_optimizers(self) -> Any:
        optimizer = self.optimizer(self.codec.parameters())
        schedule = self.scheduler.over(optimizer, self._total_steps())
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def export_info(self) -> dict[str, Any]:
        """How the codec is built, and the steps over which noise levels come together."""
        steps = {} if self.objective is None else {"total_steps": self.objective.total_steps}
        return {"settings": json.loads(json.dumps(asdict(self.codec.settings))), **steps}

    @classmethod
    def from_checkpoint(cls, checkpoint: Mapping[str, Any]) -> Self:
        """Build the module of a checkpoint."""
        module = cls(settings=Music2Latent2Config(**checkpoint[EXPORT_KEY]["settings"]))
        module.codec.load_state_dict(part_of(checkpoint["state_dict"], "codec"))
        return module.eval()

    def export(self, folder: Path, *, weights: str = "float") -> None:
        """Write a folder for `Music2Latent2.from_pretrained`."""
        if weights == INT8:
            save_int8(self.codec, folder)
        else:
            self.save_pretrained(folder)

    def save_pretrained(self, folder: str | Path, *, dtype: torch.dtype = torch.float32) -> None:
        """Write the model for `Music2Latent2.from_pretrained`, weights as `dtype`."""
        stored = Music2Latent2(**asdict(self.codec.settings))
        stored.load_state_dict(
            {name: value.to(dtype) for name, value in self.codec.state_dict().items()}, assign=True
        )
        stored.save_pretrained(folder)
