"""LightningModule of the sound classifier: `lightning fit --config recipes/classifier.yaml`."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn
from torchmetrics.classification import MulticlassAccuracy, MulticlassConfusionMatrix

from ..core.example import AudioFormat, Example
from ..core.exports_model import ExportsModel, float_only, part_of
from ..core.learning_rate_schedule import LearningRateSchedule
from .classifier import SoundClassifier


def masked(log_mel: Tensor, widest: int, *, dim: int) -> Tensor:
    """Set up to `widest` places in a row along `dim` of `[B, 1, n_mels, frames]` to the mean of all."""
    if widest <= 0:
        return log_mel
    size, batch = log_mel.shape[dim], len(log_mel)
    shape = [1] * log_mel.ndim
    shape[dim] = size
    place = torch.arange(size, device=log_mel.device).view(shape)
    width = torch.rand(batch, 1, 1, 1, device=log_mel.device) * min(widest, size)
    start = torch.rand(batch, 1, 1, 1, device=log_mel.device) * (size - width)
    return torch.where((place >= start) & (place < start + width), log_mel.mean(), log_mel)


class SoundClassifierModule(ExportsModel):
    """Trains a SoundClassifier on batches (audio `[B, N]`, class `[B]`): AdamW, warm-up, cosine decay.

    Args:
        class_names: names of the classes; None takes those of the data module.
        widths: channels of the network's stages.
        learning_rate: highest learning rate.
        weight_decay: of AdamW.
        warmup: share of the steps in which the learning rate rises.
        label_smoothing: share of the target spread over all classes.
        gain_db: random gain of +- this, dB.
        shift_seconds: random shift in time of up to +- this, s.
        noise_db: level of added white noise relative to the sound, dB, drawn from this range for half of the
            clips.
        mixup: alpha of mixup (Zhang et al. 2018, arXiv 1710.09412): each clip is mixed with another one and
            asked for both in proportion; 0: none.
        mask: widest stretch of mel bands and of frames that is blanked out, SpecAugment (Park et al. 2019,
            arXiv 1904.08779); 0: none.
        export_to: folder for the trained model (config.json and safetensors) when training ends; None: not
            exported.
    """

    def __init__(
        self,
        class_names: list[str] | None = None,
        widths: Sequence[int] = (20, 40, 80, 128),
        learning_rate: float = 2e-3,
        weight_decay: float = 1e-2,
        warmup: float = 0.1,
        label_smoothing: float = 0.05,
        gain_db: float = 10.0,
        shift_seconds: float = 0.5,
        noise_db: tuple[float, float] = (-50.0, -20.0),
        mixup: float = 0.0,
        mask: tuple[int, int] = (0, 0),
        export_to: str | None = None,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.widths, self.export_to = list(widths), export_to
        self.learning_rate, self.weight_decay, self.warmup = learning_rate, weight_decay, warmup
        self.gain_db, self.shift_seconds, self.noise_db = gain_db, shift_seconds, noise_db
        self.mixup, self.mask = mixup, mask
        self.loss = nn.CrossEntropyLoss(label_smoothing=label_smoothing)
        self.model: SoundClassifier | None = None
        if class_names is not None:
            self._build(class_names)

    def _build(self, class_names: Sequence[str]) -> None:
        self.hparams["class_names"] = list(class_names)  # so that a checkpoint knows them
        self.model = self._network(class_names)
        most = max(2, len(class_names))  # torchmetrics takes no fewer
        self.accuracy = MulticlassAccuracy(most, average="micro")
        self.confusion = MulticlassConfusionMatrix(most)

    def _network(self, class_names: Sequence[str]) -> SoundClassifier:
        return SoundClassifier(class_names=list(class_names), widths=self.widths)

    def configure_model(self) -> None:
        if self.model is None:
            names = getattr(getattr(self.trainer, "datamodule", None), "class_names", None)
            if not names:
                raise ValueError(
                    "class_names is not set, and the data module has none either; set model.class_names"
                )
            self._build(names)

    @property
    def classifier(self) -> SoundClassifier:
        """The network."""
        if self.model is None:
            raise RuntimeError("the network is not built yet: set class_names, or fit with a ClipDataModule")
        return self.model

    def augment(self, audio: Tensor) -> Tensor:
        """Shift each clip of `[B, N]` in time (silence moves in), change its gain, add some white noise."""
        batch, samples = audio.shape
        most = min(round(self.shift_seconds * self.classifier.sample_rate), samples - 1)
        shift = torch.randint(-most, most + 1, (batch, 1), device=audio.device)
        source = torch.arange(samples, device=audio.device)[None] - shift
        inside = (source >= 0) & (source < samples)
        audio = audio.gather(1, source.clamp(0, samples - 1)) * inside
        gain = (torch.rand(batch, 1, device=audio.device) * 2 - 1) * self.gain_db
        low, high = self.noise_db
        noise = low + (high - low) * torch.rand(batch, 1, device=audio.device)
        noise_gain = audio.square().mean(1, keepdim=True).sqrt() * 10 ** (noise / 20)
        noise_gain = noise_gain * (torch.rand(batch, 1, device=audio.device) < 0.5)
        return (audio + noise_gain * torch.randn_like(audio)) * 10 ** (gain / 20)

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        audio, label = batch
        audio = self.augment(audio)
        share, other = 1.0, torch.arange(len(audio), device=audio.device)
        if self.mixup > 0:
            share = float(torch.distributions.Beta(self.mixup, self.mixup).sample())
            other = torch.randperm(len(audio), device=audio.device)
            audio = share * audio + (1 - share) * audio[other]
        model = self.classifier
        bands, frames = self.mask
        log_mel = masked(masked(model.log_mel(audio), bands, dim=2), frames, dim=3)
        logits = model.head(model.drop(model.pooled(log_mel)))
        loss = share * self.loss(logits, label)
        if share < 1:
            loss = loss + (1 - share) * self.loss(logits, label[other])
        self.log("train/loss", loss, prog_bar=True)
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        audio, label = batch
        logits = self.classifier(audio)
        self.accuracy.update(logits.argmax(1), label)
        self.confusion.update(logits.argmax(1), label)
        self.log("val/loss", self.loss(logits, label), batch_size=len(label), sync_dist=True)
        self.log("val/accuracy", self.accuracy, prog_bar=True, batch_size=len(label))

    def test_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        audio, label = batch
        logits = self.classifier(audio)
        self.accuracy.update(logits.argmax(1), label)
        self.log("test/loss", self.loss(logits, label), batch_size=len(label), sync_dist=True)
        self.log("test/accuracy", self.accuracy, batch_size=len(label))

    @torch.no_grad()
    def examples(self, batch: tuple[Tensor, Tensor], *, seed: int = 0) -> list[Example]:
        """Clips and what is heard in them."""
        audio, label = batch
        shares, found = self.classifier(audio).softmax(1).max(1)
        names, rate = self.classifier.class_names, self.classifier.sample_rate
        return [
            Example(
                {"original": audio[row][None]},
                rate,
                {
                    "text": names[int(label[row])],
                    "judged": names[int(found[row])],
                    "share": round(float(shares[row]), 4),
                },
            )
            for row in range(len(audio))
        ]

    def audio_format(self) -> AudioFormat:
        """Mono at the rate of the network, which is built later."""
        default = inspect.signature(SoundClassifier.__init__).parameters["sample_rate"].default
        return AudioFormat("the classifier", default if self.model is None else self.model.sample_rate, (1,))

    def usage(self, folder: str) -> list[str]:
        """Measure with it."""
        return [f"soundloom evaluate FOLDER --classifier {folder}"]

    def on_validation_epoch_end(self) -> None:
        counts = self.confusion.compute().cpu()
        self.confusion.reset()
        board: Any = getattr(self.logger, "experiment", None)
        if self.trainer.is_global_zero and not self.trainer.sanity_checking and hasattr(board, "add_figure"):
            figure = confusion_figure(counts, self.classifier.class_names)
            board.add_figure("val/confusion", figure, global_step=self.global_step)

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.AdamW(
            self.parameters(), lr=self.learning_rate, weight_decay=self.weight_decay
        )
        steps = max(1, int(self.trainer.estimated_stepping_batches))
        schedule = LearningRateSchedule(warmup_steps=max(1, round(self.warmup * steps)), min_lr_ratio=0.0)
        scheduler = schedule.over(optimizer, steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    @classmethod
    def from_checkpoint(cls, checkpoint: Mapping[str, Any]) -> Self:
        """Build the module of a checkpoint around its network."""
        found = checkpoint["hyper_parameters"]
        module = cls(found["class_names"], widths=found["widths"])
        module.classifier.load_state_dict(part_of(checkpoint["state_dict"], "model"))
        return module.eval()

    def export(self, folder: Path, *, weights: str = "float") -> None:
        """Write a folder for `SoundClassifier.from_pretrained`."""
        float_only(weights)
        self.classifier.save_pretrained(folder)


def confusion_figure(counts: Tensor, class_names: Sequence[str]) -> Figure:
    """Draw a confusion matrix: counts `[classes, classes]`, rows are the true classes, shares by row."""
    shares = counts / counts.sum(1, keepdim=True).clamp_min(1)
    size = max(4.0, 0.22 * len(class_names) + 2.0)
    figure = Figure(figsize=(size, size), layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(shares.numpy(), vmin=0.0, vmax=1.0, cmap="magma")
    ticks = range(len(class_names))
    axes.set_xticks(ticks, class_names, rotation=90, fontsize=7)
    axes.set_yticks(ticks, class_names, fontsize=7)
    axes.set_xlabel("heard as")
    axes.set_ylabel("true class")
    figure.colorbar(image, ax=axes, shrink=0.7, label="share of the true class")
    return figure
