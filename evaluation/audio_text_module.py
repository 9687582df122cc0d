"""LightningModule of networks for AudioTextScorer: `lightning fit --config recipes/audio_text.yaml`.

Letters: B sounds, N samples, D width of the text encoder.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..codecs import load_codec
from ..core.audio import mix, resample
from ..core.example import Example
from ..core.exports_model import part_of
from ..core.int8_storage import INT8, save_int8
from ..gen.text.embedded import EmbeddedTextEncoder
from ..gen.text.encoder import TextStates
from ..recipes.data.captioned_module import CaptionedBatch
from .classifier import SoundClassifier
from .classifier_module import SoundClassifierModule, masked
from .whisper_encoder import WhisperEncoder

SHARPNESS = 12.0  # of the softmax over cosines
CODEC_SHARE = 0.4  # of the training crops
DROPOUT = 0.3
SPECTROGRAM = {"n_fft": 512, "hop": 160}


class AudioTextModule(SoundClassifierModule):
    """Trains a SoundClassifier with `caption_vectors` on batches `CaptionedBatch`.

    A sound's vector is to be near that of its caption, as in CLAP (Elizalde et al. 2022, arXiv 2206.04769):
    the cross entropy of its cosines with all captions of the batch, where captions that are near to its own
    are right, too, as far as they are. The text encoder stays as it is. Classes are learned beside that; of
    data that knows one class only, their loss is 0.

    Logged in validation are `nearest`, the share of sounds that are nearest to their own caption among those
    of the batch, the loss `contrast`, and accuracy and loss of the classes.

    Args:
        class_names: names of the classes; None takes those of the data module.
        text_encoder: gives the vectors of captions, see `EmbeddedTextEncoder.from_pretrained`.
        widths: channels of the network's stages.
        spectrogram: its settings, see SoundClassifier.
        learning_rate, weight_decay: of AdamW, as for SoundClassifierModule.
        class_weight: what the loss of the classes counts.
        mixup: alpha of mixup of spectrograms in half of the batches (Zhang et al. 2018, arXiv 1710.09412); a
            sound's own share stays the greater one, and its caption the wanted one; 0: none.
        mask: widest stretch of mel bands and of frames that is blanked out, SpecAugment (Park et al. 2019,
            arXiv 1904.08779); 0: none.
        codec: through which four crops in ten go first, as generated sounds do; None: none.
        whisper: a Whisper model, by folder or hub id, whose first layer hears in place of spectrogram and
            stages, and stays as it is; None: the stages.
        export_to: folder for the trained model when training ends; None: not exported.
    """

    def __init__(
        self,
        class_names: list[str] | None = None,
        text_encoder: str = "foley",
        widths: Sequence[int] = (32, 64, 128, 192),
        spectrogram: Mapping[str, int] = SPECTROGRAM,
        learning_rate: float = 2e-3,
        weight_decay: float = 0.08,
        class_weight: float = 0.5,
        mixup: float = 0.4,
        mask: tuple[int, int] = (12, 40),
        codec: str | None = None,
        whisper: str | None = None,
        export_to: str | None = None,
    ) -> None:
        super().__init__(
            None, widths, learning_rate, weight_decay, mixup=mixup, mask=mask, export_to=export_to
        )
        self.class_weight = class_weight
        # In tuples, so that they are neither trained nor saved with the network.
        self.whisper = () if whisper is None else (WhisperEncoder.from_pretrained(whisper, layers=1),)
        self.text_encoder = (EmbeddedTextEncoder.from_pretrained(text_encoder),)
        self.codec = () if codec is None else (load_codec(codec),)
        self.network: dict[str, Any] = dict(spectrogram)
        if self.whisper:
            self.network = {"whisper": self.whisper[0].settings}
        self.hparams["network"] = self.network  # so that a checkpoint is read without the Whisper model
        if class_names is not None:
            self._build(class_names)

    def _network(self, class_names: Sequence[str]) -> SoundClassifier:
        network = SoundClassifier(
            class_names=list(class_names),
            widths=self.widths,
            dropout=DROPOUT,
            text_dim=self.text_encoder[0].dim,
            **self.network,
        )
        if network.audio_encoder is not None and self.whisper:
            network.audio_encoder.encoder.load_state_dict(self.whisper[0].state_dict())
            network.audio_encoder.encoder.requires_grad_(False)
        return network

    def on_fit_start(self) -> None:
        """Give the network the mean of the training captions, where the data module has them."""
        super().on_fit_start()
        captions = getattr(getattr(self.trainer, "datamodule", None), "captions", [])
        parts = [captions[start : start + 256] for start in range(0, len(captions), 256)]
        if parts:
            means = torch.cat([self._states(part).mean() for part in parts])
            self.classifier.text_mean.copy_(means.mean(dim=0))

    @torch.no_grad()
    def _states(self, captions: Sequence[str]) -> TextStates:
        encoder = self.text_encoder[0]
        nn.Module.to(encoder, self.classifier.text_mean.device)
        return encoder(captions)

    @torch.no_grad()
    def through_codec(self, audio: Tensor) -> Tensor:
        """Let the codec reconstruct some rows of `[B, N]`, at random."""
        chosen = torch.rand(len(audio), device=audio.device) < CODEC_SHARE
        if not self.codec or not chosen.any():
            return audio
        codec, rate = self.codec[0].to(audio.device), self.classifier.sample_rate
        sound = codec.prepare(audio[chosen][:, None], rate)  # [b, C, n]
        sound = codec.decode(codec.encode(sound), sound.shape[-1])
        heard = resample(mix(sound, 1)[:, 0], codec.sample_rate, rate)[:, : audio.shape[1]]
        audio = audio.clone()
        audio[chosen] = F.pad(heard, (0, audio.shape[1] - heard.shape[1])).to(audio)
        return audio

    def training_step(self, batch: CaptionedBatch, batch_idx: int) -> Tensor:  # type: ignore[override]
        model, (bands, frames) = self.classifier, self.mask
        log_mel = model.log_mel(self.augment(self.through_codec(batch["audio"])))
        classes = F.one_hot(batch["label"], len(model.class_names)).float()
        log_mel, classes = mixed(log_mel, classes, self.mixup)
        log_mel = masked(masked(log_mel, bands, dim=2), frames, dim=3)
        features = model.drop(model.pooled(log_mel))
        wanted = model.prompt_vectors(self._states(batch["captions"]))
        contrast = contrastive_loss(model.caption_vectors(features), wanted)
        loss = contrast + self.class_weight * F.cross_entropy(model.head(features), classes)
        self.log("train/loss", loss, prog_bar=True)
        self.log("train/contrast", contrast)
        return loss

    def validation_step(self, batch: CaptionedBatch, batch_idx: int) -> None:  # type: ignore[override]
        super().validation_step((batch["audio"], batch["label"]), batch_idx)
        self._log_captions(batch, "val")

    def test_step(self, batch: CaptionedBatch, batch_idx: int) -> None:  # type: ignore[override]
        super().test_step((batch["audio"], batch["label"]), batch_idx)
        self._log_captions(batch, "test")

    def _log_captions(self, batch: CaptionedBatch, stage: str) -> None:
        made, wanted = self._vectors(batch)
        found = wanted[(made @ wanted.T).argmax(dim=1)]  # [B, D]
        nearest = ((found * wanted).sum(dim=1) > 1 - 1e-4).float().mean()  # captions may be the same
        for name, value in (("nearest", nearest), ("contrast", contrastive_loss(made, wanted))):
            self.log(f"{stage}/{name}", value, prog_bar=True, batch_size=len(made), sync_dist=True)

    def _vectors(self, batch: CaptionedBatch) -> tuple[Tensor, Tensor]:
        """Vectors of the sounds and of their captions, `[B, D]` each."""
        model = self.classifier
        made = model.caption_vectors(model.features(batch["audio"]))
        return made, model.prompt_vectors(self._states(batch["captions"]))

    @torch.no_grad()
    def examples(self, batch: CaptionedBatch, *, seed: int = 0) -> list[Example]:  # type: ignore[override]
        """Sounds, their captions, and how near the two are."""
        made, wanted = self._vectors(batch)
        near = (made * wanted).sum(dim=1).tolist()
        return [
            Example({"original": sound[None]}, self.classifier.sample_rate, {"text": text, "cosine": cosine})
            for sound, text, cosine in zip(batch["audio"], batch["captions"], near, strict=True)
        ]

    @classmethod
    def from_checkpoint(cls, checkpoint: Mapping[str, Any]) -> Self:
        """Build the module of a checkpoint around its network."""
        found = {**checkpoint["hyper_parameters"], "codec": None, "whisper": None, "class_names": None}
        known = inspect.signature(cls).parameters
        module = cls(**{key: value for key, value in found.items() if key in known})
        module.network = found.get("network", module.network)
        module._build(checkpoint["hyper_parameters"]["class_names"])
        module.classifier.load_state_dict(part_of(checkpoint["state_dict"], "model"))
        return module.eval()

    def export(self, folder: Path, *, weights: str = "float") -> None:
        """Write a folder for `SoundClassifier.from_pretrained`, as float or int8."""
        if weights == INT8:
            save_int8(self.classifier, folder)
        else:
            super().export(folder, weights=weights)


def mixed(log_mel: Tensor, classes: Tensor, alpha: float) -> tuple[Tensor, Tensor]:
    """Mix each row with another one, at most half and half, with even chance; `alpha` 0: never.

    Args:
        log_mel: `[B, 1, n_mels, frames]`.
        classes: shares of the classes, `[B, classes]`.
        alpha: of the Beta distribution that shares come from.
    """
    if alpha <= 0 or torch.rand(()) < 0.5:
        return log_mel, classes
    share = torch.distributions.Beta(alpha, alpha).sample((len(log_mel),)).to(log_mel)
    share = torch.maximum(share, 1 - share)[:, None]  # [B, 1]
    other = torch.randperm(len(log_mel), device=log_mel.device)
    across = share[:, :, None, None]
    return (
        across * log_mel + (1 - across) * log_mel[other],
        share * classes + (1 - share) * classes[other],
    )


def contrastive_loss(made: Tensor, wanted: Tensor) -> Tensor:
    """Cross entropy of sounds' cosines with all captions against those of the captions among themselves.

    Args:
        made: unit vectors of the sounds, `[B, D]`.
        wanted: unit vectors of their captions, `[B, D]`.
    """
    target = (SHARPNESS * wanted @ wanted.T).softmax(dim=1)
    return F.cross_entropy(SHARPNESS * made @ wanted.T, target)
