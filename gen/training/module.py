"""Training of AudioLM: losses, optimiser and logging around the network (a LightningModule).

Source of the recipe: AudioGen (Kreuk et al. 2023); cross entropy per codebook (objective.py), AdamW, caption
dropout for classifier-free guidance. Letters: B items, K codebooks, T frames, L text positions, D text width.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from ...codecs.base import Codec
from ...codecs.registry import load_codec
from ...core.example import AudioFormat, Example
from ...core.exports_model import EXPORT_KEY, ExportsModel
from ...core.hub import DEFAULT_CODEC
from ...core.schedule import warmup_cosine
from ..generation import CodeGenerator
from ..model.lm import AudioLM
from ..model.lora import LoRASettings, add_lora, fingerprint, merge_lora, save_only_trained
from ..pipeline import DEFAULT_TOP_K, AudioGen
from ..sampling import Sampler
from ..settings import GenerationSettings
from ..text.embedded import EmbeddedTextEncoder
from ..text.encoder import TextEncoder, TextStates
from .fsdp import shard
from .objective import CodeBatch, mean_entropy, share_weights, summed_entropies
from .parts import Start, Unregistered, build_text_encoder, fitting_codec


class AudioGenModule(ExportsModel):
    """Trains a language model over codes to follow captions.

    An EmbeddedTextEncoder trains along with the language model; every other text encoder stays frozen.

    Args:
        init_from: start from a model, by bundled name, folder or hub id (also Meta's published ones), instead
            of from random weights. The sizes of the network and, unless given here, text encoder, codec and
            export settings are then that model's.
        lora: train LoRA layers beside a model that stays frozen (see gen/model/lora.py); wants `init_from`.
            None: train all of the language model.
        text_encoder: a folder with a distilled token table (a new embedded encoder is built over it), a
            folder of a trained encoder, a T5 by folder or hub id, or an encoder; None: that of `init_from`.
        text_encoder_settings: for a new embedded encoder: dim, num_layers, num_heads, dropout, word_dropout
        train_text_encoder: off freezes an embedded encoder too.
        num_codebooks, codebook_size, dim, num_layers, num_heads, ffn_dim, pattern, delays, dropout: of
            AudioLM; with `init_from`, all but dropout are ignored.
        gradient_checkpointing: compute activations twice to save memory.
        caption_dropout: chance that an item is trained without its caption.
        codebook_weights: relative weights of the K codebooks in the loss that is trained on, such as
            [1, 0.25, 0.1, 0.06]; None: all count alike, as in AudioGen. What is logged as loss stays the
            plain mean, so that runs with other weights compare.
        codec: what turns batches of sound into codes while training, a name or a codec; stays frozen and is
            not saved. None: the data brings codes.
        learning_rate: peak of the schedule.
        betas, weight_decay: of AdamW; the decay acts on every parameter, as in AudioGen.
        schedule: "cosine" (down to min_lr_ratio at the last step) or "inverse_sqrt" (AudioGen's).
        warmup_steps: steps of linear rise to the peak.
        min_lr_ratio: end of the cosine as a fraction of the peak.
        schedule_steps: length of the cosine; None: that of the run.
        compile: run the language model through torch.compile.
        export_to: folder for the trained model (as `save_pretrained` writes it) when training ends; None: not
            exported.
        export_codec: the codec that the exported model names, or holds when it is a folder; None: that of
            `init_from`, else seanet-16khz.
        export_settings: `max_seconds`, `extend_stride`, `guidance_scale`, `top_k` of the exported model.
    """

    def __init__(
        self,
        *,
        init_from: str | None = None,
        lora: LoRASettings | None = None,
        text_encoder: str | TextEncoder | None = None,
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
        gradient_checkpointing: bool = False,
        caption_dropout: float = 0.1,
        codebook_weights: list[float] | None = None,
        codec: str | Codec | None = None,
        learning_rate: float = 5e-4,
        betas: tuple[float, float] = (0.9, 0.95),
        weight_decay: float = 0.1,
        schedule: str = "cosine",
        warmup_steps: int = 1000,
        min_lr_ratio: float = 0.05,
        schedule_steps: int | None = None,
        compile: bool = False,
        export_to: str | None = None,
        export_codec: str | None = None,
        export_settings: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        if not 0.0 <= caption_dropout <= 1.0:
            raise ValueError(f"caption_dropout is {caption_dropout}; allowed are 0 to 1")
        if schedule not in ("cosine", "inverse_sqrt"):
            raise ValueError(f"schedule is {schedule!r}; use 'cosine' or 'inverse_sqrt'")
        if lora is not None and init_from is None:
            raise ValueError("lora is set, but init_from is not: LoRA wants a trained model to start from")
        live = {"text_encoder": isinstance(text_encoder, TextEncoder), "codec": isinstance(codec, Codec)}
        self.save_hyperparameters(ignore=[name for name, is_object in live.items() if is_object])
        if lora is not None:  # a checkpoint holds plain values only, and gives them back
            lora = LoRASettings(**lora) if isinstance(lora, Mapping) else lora
            self.hparams["lora"] = {**asdict(lora), "targets": list(lora.targets)}
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

        self.start = None if init_from is None else Start(init_from)
        if text_encoder is None and self.start is not None:
            text_encoder = self.start.text_encoder
        encoder = build_text_encoder(text_encoder, text_encoder_settings)
        self._encoder: Unregistered | None = None
        if isinstance(encoder, EmbeddedTextEncoder) and train_text_encoder:
            # Encoders load in evaluation mode and with whatever gradient flags they were saved under.
            self.trained_encoder = encoder.requires_grad_(True).train()
        else:
            self._encoder = Unregistered(encoder)
        if self.start is not None:
            self.lm = self.start.language_model(text_dim=encoder.dim, dropout=dropout)
        else:
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
        self.codebook_shares = None
        if codebook_weights is not None:
            self.codebook_shares = share_weights(codebook_weights, self.lm.num_codebooks)
        if codec is None and self.start is not None:
            codec = self.start.codec
        self._codec = None if codec is None else Unregistered(fitting_codec(codec, self.lm))
        self._speaker: Unregistered | None = None  # loaded when it is first to be heard
        self._base = ""
        if lora is not None:
            self._base = fingerprint(self.lm)
            add_lora(self.lm, lora)
            save_only_trained(self)
        if gradient_checkpointing:
            self.lm.enable_gradient_checkpointing()
        if compile:
            self.lm.compile()

    @property
    def text_encoder(self) -> TextEncoder:
        """The text encoder, trained or frozen."""
        return self.trained_encoder if self._encoder is None else self._encoder.module

    @property
    def codec(self) -> Codec | None:
        """What turns batches of sound into codes, or None."""
        return None if self._codec is None else self._codec.module

    @property
    def codec_name(self) -> str | None:
        """What the exported model will call its codec; None: its codec is part of `init_from`."""
        if self.export_codec is not None or self.start is None:
            return self.export_codec or DEFAULT_CODEC
        return self.start.settings.get("codec_name")

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

    def codes_of(self, batch: CodeBatch) -> tuple[Tensor, Tensor | None]:
        """The batch's codes int64 `[B, K, T]`, and how many frames of each are no padding: `[B]` or None.

        Raises:
            ValueError: the batch holds sound, and there is no codec.
        """
        if "codes" in batch:
            return batch["codes"], batch.get("lengths")
        if self._codec is None:
            raise ValueError(
                "the data brings sound, but codec is not set; set model.codec to the codec that turns it "
                "into codes, or encode the data in advance: soundloom prepare FOLDER -o OUT --codec NAME"
            )
        codec = self._codec.module.to(self.device)
        # In full precision, as `soundloom prepare` encodes: rounding would choose other codes.
        with torch.no_grad(), torch.autocast(self.device.type, enabled=False):
            codes = codec.encode(batch["audio"].float())[:, : self.lm.num_codebooks]
        samples = batch.get("audio_lengths")
        if samples is None:
            return codes, None
        # Counted in Python: float32 is too coarse for long sounds, and not every device has float64.
        ratio = codec.frame_rate / codec.sample_rate
        frames = [math.ceil(length * ratio - 1e-6) for length in samples.tolist()]
        return codes, torch.tensor(frames, device=codes.device).clamp_max(codes.shape[-1])

    def text_of(self, batch: CodeBatch, prompts: Sequence[str]) -> TextStates:
        """States of the prompts: those that the batch brings, or encoded now.

        Raises:
            ValueError: the batch brings states, but the text encoder is trained, so they are not its own.
        """
        states = batch.get("text_states")
        if states is None:
            return self.encode_text(prompts)
        if self._encoder is None:
            raise ValueError(
                "the data holds text states computed in advance, but this run trains its text encoder; set "
                "model.train_text_encoder to false, or prepare the data without --text-encoder"
            )
        said = torch.tensor([bool(prompt.strip()) for prompt in prompts], device=states.device)
        mask = batch["text_mask"] & said[:, None]
        return TextStates(states.float().masked_fill(~mask.unsqueeze(-1), 0.0), mask)

    def cross_entropies(self, batch: CodeBatch, prompts: Sequence[str]) -> Tensor:
        """Mean cross entropy in nats of each codebook over the batch's predicted codes: `[K]`."""
        codes, lengths = self.codes_of(batch)
        sums, counts = summed_entropies(self.lm, codes, lengths, self.text_of(batch, prompts))
        return sums / self._mean_of_processes(counts).clamp_min(1e-9)

    def _mean_of_processes(self, values: Tensor) -> Tensor:
        """The mean over all processes while they train together, so that each item counts alike.

        Gradients are averaged over processes. One whose items are short would otherwise weigh each of its
        codes more, and the result would depend on how items are dealt out.
        """
        trainer = self._trainer
        if trainer is None or not trainer.training or trainer.world_size == 1:
            return values
        return trainer.strategy.reduce(values, reduce_op="mean")

    def training_step(self, batch: CodeBatch, batch_idx: int) -> Tensor:
        """Loss of a batch with some captions left out."""
        return self._loss(batch, self.drop_captions(batch["prompts"]), "train")

    def validation_step(self, batch: CodeBatch, batch_idx: int) -> Tensor:
        """Loss with all captions."""
        return self._loss(batch, batch["prompts"], "val")

    def test_step(self, batch: CodeBatch, batch_idx: int) -> Tensor:
        """Loss with all captions."""
        return self._loss(batch, batch["prompts"], "test")

    @torch.no_grad()
    def generate_codes(self, text: TextStates, frames: int, *, seed: int = 0) -> Tensor:
        """Codes `[B, K, frames]` generated for encoded prompts, guidance 3; the same for the same seed."""
        generator = CodeGenerator(self.lm, text, max_frames=frames)
        sampler = Sampler(
            GenerationSettings(top_k=min(DEFAULT_TOP_K, self.lm.codebook_size)),
            seeds=[seed * 1_000_003 + row for row in range(generator.batch)],
            num_codebooks=self.lm.num_codebooks,
            codebook_size=self.lm.codebook_size,
        )
        return generator.generate(frames, sampler)

    @torch.no_grad()
    def examples(self, batch: CodeBatch, *, seed: int = 0) -> list[Example]:
        """Sounds generated for the batch's captions, beside those of the batch, from their codes."""
        codes, _ = self.codes_of(batch)
        prompts = list(batch["prompts"])
        made = self.generate_codes(self.text_of(batch, prompts), codes.shape[-1], seed=seed)
        return self._examples(prompts, {"original": codes, "generated": made})

    @torch.no_grad()
    def generated(self, prompts: Sequence[str], seconds: float, *, seed: int = 0) -> list[Example]:
        """Sounds generated for prompts."""
        frames = max(1, round(seconds * self.speaker().frame_rate))
        return self._examples(
            prompts, {"generated": self.generate_codes(self.encode_text(prompts), frames, seed=seed)}
        )

    def _examples(self, prompts: Sequence[str], codes: Mapping[str, Tensor]) -> list[Example]:
        codec = self.speaker().to(self.device)
        sounds = {name: codec.decode(part).float() for name, part in codes.items()}
        return [
            Example({name: sound[row] for name, sound in sounds.items()}, codec.sample_rate, {"text": prompt})
            for row, prompt in enumerate(prompts)
        ]

    def speaker(self) -> Any:
        """The codec that codes are heard through: that of the data, else that of the exported model.

        Raises:
            ValueError: its codes are not those of the language model.
        """
        if self._codec is not None:
            return self._codec.module
        if self._speaker is None:
            self._speaker = Unregistered(fitting_codec(self.codec_name or DEFAULT_CODEC, self.lm))
        return self._speaker.module

    def audio_format(self) -> AudioFormat | None:
        """That of the codec, where there is one."""
        codec = self.codec
        return (
            None if codec is None else AudioFormat("the model's codec", codec.sample_rate, (codec.channels,))
        )

    def usage(self, folder: str) -> list[str]:
        """Hear it."""
        return [
            f'soundloom generate "a prompt in the words of the captions" --model {folder} -o out.wav',
            f"soundloom demo --model {folder}",
        ]

    def _loss(self, batch: CodeBatch, prompts: Sequence[str], stage: str) -> Tensor:
        entropies = self.cross_entropies(batch, prompts)
        loss = mean_entropy(entropies, self.codebook_shares)
        seen = self._mean_of_processes(entropies.detach())
        values = {f"{stage}/ce_{k}": value for k, value in enumerate(seen)}
        values[f"{stage}/perplexity"] = seen.mean().exp()
        if self.codebook_shares is not None:
            values[f"{stage}/weighted_loss"] = mean_entropy(seen, self.codebook_shares)
        size, spread = len(prompts), stage != "train"
        self.log_dict(values, batch_size=size, sync_dist=spread)
        self.log(f"{stage}/loss", seen.mean(), batch_size=size, sync_dist=spread, prog_bar=True)
        return loss

    def rate_factor(self, step: int, total: float) -> float:
        """The learning rate at an optimiser step as a fraction of its peak, in a run of `total` steps."""
        if self.schedule == "inverse_sqrt" and step >= self.warmup_steps:
            return math.sqrt(max(self.warmup_steps, 1) / max(step, 1))
        return warmup_cosine(step, total, warmup_steps=self.warmup_steps, floor=self.min_lr_ratio)

    def configure_optimizers(self) -> Any:
        """AdamW over everything that is trained, with the schedule advanced every step."""
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

    def configure_model(self) -> None:
        """Spread the weights over the processes if the strategy is to shard them (see fsdp.py)."""
        if self.device_mesh is not None:
            mesh = self.device_mesh["data_parallel"]
            shard(self.lm, mesh)
            if self._encoder is None:
                shard(self.trained_encoder, mesh)

    def export_info(self) -> dict[str, Any]:
        """Which weights LoRA was trained on."""
        return {"base": self._base}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse a checkpoint whose LoRA was trained on other weights than those that are loaded here."""
        base = (checkpoint.get(EXPORT_KEY) or {}).get("base", self._base)
        if base != self._base:
            raise ValueError(
                f"the checkpoint continues from other weights ({base or 'none'}) than init_from "
                f"({self.hparams.get('init_from')!r}) holds now ({self._base or 'none'}); name the model "
                "that the run started from, in the version of that time"
            )

    @classmethod
    def from_checkpoint(cls, checkpoint: Mapping[str, Any]) -> Self:
        """Build the module of a checkpoint, ready to export.

        Raises:
            ValueError: it was given a text encoder as an object, or LoRA was trained on other weights.
        """
        found = dict(checkpoint.get("hyper_parameters") or {})
        if found.get("text_encoder") is None and found.get("init_from") is None:
            raise ValueError(
                "the checkpoint does not say which text encoder it was trained with; load it from Python: "
                "AudioGenModule.load_from_checkpoint(path, text_encoder=...).save_pretrained(folder)"
            )
        known = inspect.signature(cls.__init__).parameters
        settings = {key: value for key, value in found.items() if key in known}
        module = cls(**(settings | {"codec": None, "compile": False}))
        module.on_load_checkpoint(dict(checkpoint))
        module.load_state_dict(checkpoint["state_dict"])
        return module.eval()

    def export(self, folder: Path, *, weights: str = "float") -> None:
        """Write an AudioGen folder with the settings that this module was given."""
        self.save_pretrained(folder, codec=self.export_codec, weights=weights, **self.export_settings)

    def save_pretrained(
        self,
        folder: str | Path,
        *,
        codec: str | Codec | None = None,
        weights: str = "float",
        **settings: Any,
    ) -> AudioGen:
        """Export an AudioGen folder (see `AudioGen.save_pretrained`).

        Args:
            folder: where to.
            codec: bundled name or hub id to refer to, or a codec, or a folder of one, to store in the folder;
                None: that of the model that training started from, else seanet-16khz.
            weights: "float" or "int8".
            settings: `max_seconds`, `extend_stride`, `guidance_scale`, `top_k` of the model.

        Returns:
            The pipeline that was written, with the weights as they are here; LoRA is merged.
        """
        known: dict[str, Any] = {"codec_name": DEFAULT_CODEC} if self.start is None else self.start.settings
        if isinstance(codec, str) and Path(codec).is_dir():
            codec = load_codec(codec)  # stored: a folder of this machine would be a name for nobody else
        if codec is not None:
            known = known | {"codec_name": codec if isinstance(codec, str) else None}
        elif self.start is not None:
            codec = self.start.codec
        if not isinstance(codec, Codec):
            codec = load_codec(codec or DEFAULT_CODEC)
        lm = merge_lora(self.lm)
        pipeline = AudioGen(lm, self.text_encoder, codec, **(known | settings))
        pipeline.save_pretrained(folder, weights=weights)
        return pipeline
