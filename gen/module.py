"""Training of AudioLM: losses, optimiser and logging around the network (a LightningModule).

Source of the recipe: AudioGen (Kreuk et al. 2023); cross entropy per codebook, AdamW, caption dropout for
classifier-free guidance. Letters: B items, K codebooks, T frames, V codes a codebook.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypedDict

import lightning
import torch
from torch import Tensor
from torch.nn import functional as F

from ..codecs.base import Codec, load_codec
from .embedded_text import TABLE_FILE, EmbeddedTextEncoder
from .generation import CodeGenerator
from .lm import AudioLM
from .pipeline import BUNDLED_MODELS, AudioGen
from .sampling import Sampler
from .text import TextEncoder, TextStates, load_text_encoder


class CodeBatch(TypedDict, total=False):
    """What the data module gives: codes int64 `[B, K, T]`, one prompt an item, frames of each item `[B]`."""

    codes: Tensor
    prompts: list[str]
    lengths: Tensor


class Unregistered:
    """Holds a frozen module outside of its owner's children.

    The owner then neither saves it, nor moves or averages it: averaging callbacks deep-copy the whole owner,
    which would double the memory of a large text encoder, so a copy of this holder shares the module.
    """

    def __init__(self, module: TextEncoder) -> None:
        self.module = module.eval().requires_grad_(False)

    def __deepcopy__(self, memo: dict[int, Any]) -> Unregistered:
        return self


class AudioGenModule(lightning.LightningModule):
    """Trains a language model over codes to follow captions.

    An EmbeddedTextEncoder trains along with the language model; every other text encoder stays frozen.

    Args:
        text_encoder: a folder with a distilled token table (a new embedded encoder is built over it), a
            folder of a trained encoder, a T5 by folder or hub id, or an encoder.
        text_encoder_settings: for a new embedded encoder: dim, num_layers, num_heads, dropout, word_dropout
        train_text_encoder: off freezes an embedded encoder too.
        num_codebooks, codebook_size, dim, num_layers, num_heads, ffn_dim, pattern, delays, dropout: of
            AudioLM.
        caption_dropout: chance that an item is trained without its caption.
        learning_rate: peak of the schedule.
        betas, weight_decay: of AdamW; the decay acts on every parameter, as in AudioGen.
        schedule: "cosine" (down to min_lr_ratio at the last step) or "inverse_sqrt" (AudioGen's).
        warmup_steps: steps of linear rise to the peak.
        min_lr_ratio: end of the cosine as a fraction of the peak.
        schedule_steps: length of the cosine; None: that of the run.
        compile: run the language model through torch.compile.
        export_to: folder for the trained model (as `save_pretrained` writes it) when training ends; None: not
            exported.
        export_codec: the codec that the exported model names.
        export_settings: `max_seconds`, `extend_stride`, `guidance_scale`, `top_k` of the exported model.
    """

    def __init__(
        self,
        *,
        text_encoder: str | TextEncoder,
        text_encoder_settings: dict[str, Any] | None = None,
        train_text_encoder: bool = True,
        num_codebooks: int = 4,
        codebook_size: int = 1024,
        dim: int = 384,
        num_layers: int = 8,
        num_heads: int = 6,
        ffn_dim: int | None = None,
        pattern: str = "delay",
        delays: list[int] | None = None,
        dropout: float = 0.0,
        caption_dropout: float = 0.1,
        learning_rate: float = 5e-4,
        betas: tuple[float, float] = (0.9, 0.95),
        weight_decay: float = 0.1,
        schedule: str = "cosine",
        warmup_steps: int = 1000,
        min_lr_ratio: float = 0.05,
        schedule_steps: int | None = None,
        compile: bool = False,
        export_to: str | None = None,
        export_codec: str = "seanet-16khz",
        export_settings: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        if not 0.0 <= caption_dropout <= 1.0:
            raise ValueError(f"caption_dropout is {caption_dropout}; allowed are 0 to 1")
        if schedule not in ("cosine", "inverse_sqrt"):
            raise ValueError(f"schedule is {schedule!r}; use 'cosine' or 'inverse_sqrt'")
        self.save_hyperparameters(ignore=["text_encoder"] if isinstance(text_encoder, TextEncoder) else [])
        self.caption_dropout = caption_dropout
        self.learning_rate = learning_rate
        self.betas = betas
        self.weight_decay = weight_decay
        self.schedule = schedule
        self.warmup_steps = warmup_steps
        self.min_lr_ratio = min_lr_ratio
        self.schedule_steps = schedule_steps
        self.export_to = export_to
        self.export_codec = export_codec
        self.export_settings = export_settings or {}

        encoder = build_text_encoder(text_encoder, text_encoder_settings)
        self._encoder: Unregistered | None = None
        if isinstance(encoder, EmbeddedTextEncoder) and train_text_encoder:
            # Encoders load in evaluation mode and with whatever gradient flags they were saved under.
            self.trained_encoder = encoder.requires_grad_(True).train()
        else:
            self._encoder = Unregistered(encoder)
        self.lm = AudioLM(
            num_codebooks=num_codebooks,
            codebook_size=codebook_size,
            dim=dim,
            num_layers=num_layers,
            num_heads=num_heads,
            ffn_dim=ffn_dim,
            text_dim=encoder.dim,
            pattern=pattern,
            delays=delays,
            dropout=dropout,
        )
        if compile:
            self.lm.compile()

    @property
    def text_encoder(self) -> TextEncoder:
        """The text encoder, trained or frozen."""
        return self.trained_encoder if self._encoder is None else self._encoder.module

    def encode_text(self, prompts: Sequence[str]) -> TextStates:
        """Encode prompts on this module's device; frozen encoders give states without gradient."""
        if self._encoder is None:
            return self.trained_encoder(prompts)
        with torch.no_grad():
            return self._encoder.module.to(self.device)(prompts)

    def drop_captions(self, prompts: Sequence[str]) -> list[str]:
        """Replace each prompt by none with the chance `caption_dropout`, item by item.

        AudioGen draws once for the whole batch. Drawing for each item trains the same two models with the
        same shares, but every batch then holds both, so the gradient of the rare one is less noisy; at the
        small batches used here a whole batch without captions is a step that forgets them.
        """
        kept = torch.rand(len(prompts)) >= self.caption_dropout
        return [prompt if keep else "" for prompt, keep in zip(prompts, kept.tolist(), strict=True)]

    def cross_entropies(self, batch: CodeBatch, prompts: Sequence[str]) -> Tensor:
        """Mean cross entropy in nats of each codebook over the batch's predicted codes: `[K]`."""
        codes = batch["codes"]
        text = self.encode_text(prompts)
        output = self.lm(codes, text.states, text.mask)
        mask = output.mask
        lengths = batch.get("lengths")
        if lengths is not None:
            frames = torch.arange(codes.shape[-1], device=codes.device)
            mask = mask & (frames < lengths.to(codes.device)[:, None])[:, None]
        losses = F.cross_entropy(output.logits.flatten(0, 2).float(), codes.flatten(), reduction="none")
        losses = losses.view(codes.shape).masked_fill(~mask, 0.0)
        return losses.sum(dim=(0, 2)) / mask.sum(dim=(0, 2)).clamp_min(1)

    def training_step(self, batch: CodeBatch, batch_idx: int) -> Tensor:
        """Loss of a batch with some captions left out."""
        return self._loss(batch, self.drop_captions(batch["prompts"]), "train")

    def validation_step(self, batch: CodeBatch, batch_idx: int) -> Tensor:
        """Loss with all captions."""
        return self._loss(batch, batch["prompts"], "val")

    def test_step(self, batch: CodeBatch, batch_idx: int) -> Tensor:
        """Loss with all captions."""
        return self._loss(batch, batch["prompts"], "test")

    def predict_step(self, batch: CodeBatch, batch_idx: int) -> Tensor:
        """Codes `[B, K, T]` generated for the batch's prompts, as long as its codes; guidance 3."""
        frames = batch["codes"].shape[-1]
        generator = CodeGenerator(self.lm, self.encode_text(batch["prompts"]), max_frames=frames)
        sampler = Sampler(
            seeds=[batch_idx * 1_000_003 + row for row in range(generator.batch)],
            num_codebooks=self.lm.num_codebooks,
            top_k=min(250, self.lm.codebook_size),
        )
        return generator.window(frames, sampler)

    def _loss(self, batch: CodeBatch, prompts: Sequence[str], stage: str) -> Tensor:
        entropies = self.cross_entropies(batch, prompts)
        loss = entropies.mean()
        values = {f"{stage}/ce_{k}": value for k, value in enumerate(entropies.detach())}
        values[f"{stage}/perplexity"] = loss.detach().exp()
        size, spread = len(prompts), stage != "train"
        self.log_dict(values, batch_size=size, sync_dist=spread)
        self.log(f"{stage}/loss", loss.detach(), batch_size=size, sync_dist=spread, prog_bar=True)
        return loss

    def rate_factor(self, step: int, total: float) -> float:
        """The learning rate at an optimiser step as a fraction of its peak, in a run of `total` steps."""
        if step < self.warmup_steps:
            return (step + 1) / self.warmup_steps
        if self.schedule == "inverse_sqrt":
            return math.sqrt(max(self.warmup_steps, 1) / max(step, 1))
        progress = (step - self.warmup_steps) / max(1, total - self.warmup_steps)
        wave = 0.5 * (1.0 + math.cos(math.pi * min(1.0, progress)))
        return self.min_lr_ratio + (1.0 - self.min_lr_ratio) * wave

    def configure_optimizers(self) -> Any:
        """AdamW over everything trainable, with the schedule advanced every step."""
        optimizer = torch.optim.AdamW(
            [parameter for parameter in self.parameters() if parameter.requires_grad],
            lr=self.learning_rate,
            betas=self.betas,
            weight_decay=self.weight_decay,
        )
        total = self.schedule_steps or self.trainer.estimated_stepping_batches
        if self.schedule == "cosine" and not math.isfinite(total):
            raise ValueError(
                "the cosine schedule needs an end, but the run has none; "
                "set trainer.max_steps or schedule_steps"
            )
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: self.rate_factor(step, total))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def on_fit_end(self) -> None:
        """Export the trained model if that was asked for."""
        if (
            self.export_to
            and self.trainer.is_global_zero
            and not getattr(self.trainer, "fast_dev_run", False)
        ):
            self.save_pretrained(self.export_to, codec=self.export_codec, **self.export_settings)

    def save_pretrained(
        self,
        folder: str | Path,
        *,
        codec: str | Codec = "seanet-16khz",
        weights: str = "float",
        **settings: Any,
    ) -> AudioGen:
        """Export an AudioGen folder (see `AudioGen.save_pretrained`).

        Args:
            folder: where to.
            codec: bundled name or hub id to refer to, or a codec to store in the folder.
            weights: "float" or "int8".
            settings: `max_seconds`, `extend_stride`, `guidance_scale`, `top_k` of the model.

        Returns:
            The pipeline that was written, with the weights as they are here.
        """
        name = codec if isinstance(codec, str) else None
        loaded = load_codec(codec) if isinstance(codec, str) else codec
        pipeline = AudioGen(self.lm, self.text_encoder, loaded, codec_name=name, **settings)
        pipeline.save_pretrained(folder, weights=weights)
        return pipeline


def build_text_encoder(source: str | TextEncoder, settings: dict[str, Any] | None = None) -> TextEncoder:
    """Find or build the text encoder that `AudioGenModule` names; see there.

    Raises:
        ValueError: settings for an encoder that can't be new.
    """
    if isinstance(source, TextEncoder):
        if settings:
            raise ValueError(f"text_encoder_settings is {settings}, but text_encoder is an encoder already")
        return source
    if (Path(source) / TABLE_FILE).is_file():
        return EmbeddedTextEncoder.from_table(source, **(settings or {}))
    bundled = BUNDLED_MODELS / source / "text_encoder"
    encoder = load_text_encoder(bundled if bundled.is_dir() and not Path(source).is_dir() else source)
    if not settings:
        return encoder
    if not isinstance(encoder, EmbeddedTextEncoder):
        raise ValueError(
            f"text_encoder_settings is {settings}, but {source!r} is a {type(encoder).__name__}; "
            "only a new embedded encoder has settings"
        )
    return encoder.untrained(**settings)
