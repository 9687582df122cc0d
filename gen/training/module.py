"""Training of AudioLM: a LightningModule of loss, optimiser and logging around the network.

Source of the recipe: AudioGen (Kreuk et al. 2023); cross entropy per codebook (objective.py), AdamW, caption
dropout for classifier-free guidance. Letters: B items, K codebooks, T frames, L text positions, D text width.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any, Self

import torch
from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor

from ...codecs.base import Codec
from ...core.example import AudioFormat, Example
from ...core.exports_model import EXPORT_KEY, ExportsModel
from ...core.hub import DEFAULT_CODEC
from ...core.learning_rate_schedule import LearningRateSchedule
from ..model.config import AudioLMConfig
from ..model.lm import AudioLM
from ..model.lora import LoRASettings, add_lora, check_fingerprint, fingerprint, merge_lora, save_only_trained
from ..pipeline import AudioGen
from ..text.embedded import EmbeddedTextEncoder
from ..text.encoder import TextEncoder, TextStates
from .examples import decoded_examples, generate_codes
from .export_checkpoint import read_checkpoint
from .flat_settings import OPTIMIZER
from .fsdp import shard
from .infilling import entropies_with_gaps, infilling_of, middle_entropies
from .objective import (
    CodeBatch,
    Objective,
    batch_codes,
    drop_captions,
    encoded_captions,
    mean_entropy,
    mean_of_processes,
    share_weights,
    summed_entropies,
)
from .parts import (
    ExportSettings,
    Start,
    TextSettings,
    Unregistered,
    build_text_encoder,
    checkpoint_settings,
    exported_codec,
    fitting_codec,
    name_of,
    settings_of,
)


class AudioGenModule(ExportsModel):
    """Trains a language model over codes to follow captions.

    An EmbeddedTextEncoder trains along with the language model; every other text encoder stays frozen. What
    mixes sounds belongs to the data (AudioGenDataModule), the moving average of the weights to the callbacks
    (ExponentialMovingAverage). A checkpoint holds all of these settings but the optimiser; `from_checkpoint`
    and `load_from_checkpoint` also read those of the time when they were flat (flat_settings.py).

    Args:
        lm: sizes of a new language model; its `text_dim` is that of the text encoder. With `init_from`, only
            `dropout` and `token_dropout` are used.
        text: which text encoder, and whether it is trained.
        codec: what turns batches of sound into codes while training, a name or a codec; stays frozen and is
            not saved. None: the data brings codes.
        init_from: start from a model, by bundled name, folder or hub id (also Meta's published ones), instead
            of from random weights. The sizes of the network and, unless given here, text encoder, codec and
            export settings are then that model's.
        lora: train LoRA layers beside a model that stays frozen (see gen/model/lora.py); wants `init_from`.
            None: train all of the language model.
        objective: what is trained for: captions that are left out, weights of the codebooks.
        optimizer: makes the optimiser of the trained parameters; in a recipe a `class_path` with `init_args`.
            AudioGen: AdamW, whose decay acts on every parameter.
        scheduler: the learning rate over the steps, as a share of the optimiser's.
        gradient_checkpointing: compute activations twice to save memory.
        compile: run the language model through torch.compile.
        export_to: folder for the trained model (as `save_pretrained` writes it) when training ends; None: not
            exported.
        export: codec and settings of the exported model.

    Raises:
        ValueError: settings that are out of range or do not fit together.
    """

    def __init__(
        self,
        *,
        lm: AudioLMConfig = AudioLMConfig(),
        text: TextSettings = TextSettings(),
        codec: str | Codec | None = None,
        init_from: str | None = None,
        lora: LoRASettings | None = None,
        objective: Objective = Objective(),
        optimizer: OptimizerCallable = partial(torch.optim.AdamW, **OPTIMIZER["init_args"]),
        scheduler: LearningRateSchedule = LearningRateSchedule(),
        gradient_checkpointing: bool = False,
        compile: bool = False,
        export_to: str | None = None,
        export: ExportSettings = ExportSettings(),
    ) -> None:
        super().__init__()
        # A checkpoint holds plain values only, and gives them back.
        lm, text = settings_of(AudioLMConfig, lm), settings_of(TextSettings, text)
        objective, export = settings_of(Objective, objective), settings_of(ExportSettings, export)
        scheduler = settings_of(LearningRateSchedule, scheduler)
        lora = None if lora is None else settings_of(LoRASettings, lora)
        if lora is not None and init_from is None:
            raise ValueError("lora is set, but init_from is not: LoRA wants a trained model to start from")
        self.save_hyperparameters(
            {
                "lm": asdict(lm),
                "text": {**vars(text), "encoder": name_of(text.encoder)},
                "codec": name_of(codec),
                "init_from": init_from,
                "lora": None if lora is None else {**asdict(lora), "targets": list(lora.targets)},
                "objective": asdict(objective),
                "scheduler": asdict(scheduler),
                "gradient_checkpointing": gradient_checkpointing,
                "compile": compile,
                "export_to": export_to,
                "export": asdict(export),
            }
        )
        self.objective, self.scheduler, self.optimizer = objective, scheduler, optimizer
        self.export_to, self.export_settings = export_to, export

        # The text encoder, registered as a part only where it is trained.
        self.start = None if init_from is None else Start(init_from)
        source = text.encoder
        if source is None and self.start is not None:
            source = self.start.text_encoder
        encoder = build_text_encoder(source, text.settings)
        self._encoder: Unregistered | None = None
        if isinstance(encoder, EmbeddedTextEncoder) and text.train:
            # Encoders load in evaluation mode and with whatever gradient flags they were saved under.
            self.trained_encoder = encoder.requires_grad_(True).train()
        else:
            self._encoder = Unregistered(encoder)

        # The language model, and what turns sound into its codes.
        if self.start is not None:
            self.lm = self.start.language_model(lm, text_dim=encoder.dim)
        else:
            self.lm = AudioLM(replace(lm, text_dim=encoder.dim))
        self.infilling = infilling_of(self.lm, objective.infill_share)
        self.codebook_shares = share_weights(objective.codebook_weights, self.lm.num_codebooks)
        if codec is None and self.start is not None:
            codec = self.start.codec
        self._codec = None if codec is None else Unregistered(fitting_codec(codec, self.lm))
        self._speaker: Unregistered | None = None  # loaded when it is first to be heard

        # How it is trained.
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
        if self.export_settings.codec is not None or self.start is None:
            return self.export_settings.codec or DEFAULT_CODEC
        return self.start.settings.get("codec_name")

    def encode_text(self, prompts: Sequence[str]) -> TextStates:
        """Encode prompts on this module's device; frozen encoders give states without gradient."""
        if self._encoder is None:
            return self.trained_encoder(prompts)
        with torch.no_grad():
            return self._encoder.module.to(self.device)(prompts)

    def drop_captions(self, prompts: Sequence[str]) -> list[str]:
        """Replace each prompt by none with the chance `objective.caption_dropout`, item by item."""
        return drop_captions(prompts, self.objective.caption_dropout)

    def codes_of(self, batch: CodeBatch) -> tuple[Tensor, Tensor | None]:
        """The batch's codes int64 `[B, K, T]`, and how many frames of each are no padding: `[B]` or None.

        Of data with more codebooks than the model has, the first K count.

        Raises:
            ValueError: the batch holds sound, and there is no codec.
        """
        codec = None if self._codec is None or "codes" in batch else self._codec.module.to(self.device)
        return batch_codes(batch, codec, self.lm.num_codebooks)

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
                "model.text.train to false, or prepare the data without --text-encoder"
            )
        return encoded_captions(states, batch["text_mask"], prompts)

    def cross_entropies(self, batch: CodeBatch, prompts: Sequence[str], *, gaps: bool = False) -> Tensor:
        """Mean cross entropy in nats of each codebook over the batch's predicted codes: `[K]`.

        Args:
            batch: of codes or sound.
            prompts: B captions, "" for none.
            gaps: give a gap to the share of the items that `objective.infill_share` says.
        """
        codes, lengths = self.codes_of(batch)
        text = self.text_of(batch, prompts)
        if gaps and self.infilling is not None:
            sums, counts = entropies_with_gaps(self.lm, codes, lengths, text, self.infilling)
        else:
            sums, counts = summed_entropies(self.lm, codes, lengths, text)
        return sums / mean_of_processes(self._trainer, counts).clamp_min(1e-9)

    def training_step(self, batch: CodeBatch, batch_idx: int) -> Tensor:
        """Loss of a batch with some captions left out."""
        return self._loss(batch, self.drop_captions(batch["prompts"]), "train")

    def validation_step(self, batch: CodeBatch, batch_idx: int) -> Tensor:
        """Loss with all captions, of items without a gap; that of items with one is logged beside it."""
        self._log_infill_loss(batch)
        return self._loss(batch, batch["prompts"], "val")

    def test_step(self, batch: CodeBatch, batch_idx: int) -> Tensor:
        """Loss with all captions."""
        return self._loss(batch, batch["prompts"], "test")

    @torch.no_grad()
    def examples(self, batch: CodeBatch, *, seed: int = 0) -> list[Example]:
        """Sounds generated for the batch's captions, beside those of the batch, from their codes."""
        codes, _ = self.codes_of(batch)
        prompts, codec = list(batch["prompts"]), self.speaker().to(self.device)
        made = generate_codes(self.lm, self.text_of(batch, prompts), codes.shape[-1], seed=seed)
        return decoded_examples(codec, prompts, {"original": codes, "generated": made})

    @torch.no_grad()
    def generated(self, prompts: Sequence[str], seconds: float, *, seed: int = 0) -> list[Example]:
        """Sounds generated for prompts."""
        codec = self.speaker().to(self.device)
        frames = max(1, round(seconds * codec.frame_rate))
        codes = generate_codes(self.lm, self.encode_text(prompts), frames, seed=seed)
        return decoded_examples(codec, prompts, {"generated": codes})

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
        if (codec := self.codec) is None:
            return None
        return AudioFormat("the model's codec", codec.sample_rate, (codec.channels,))

    def usage(self, folder: str) -> list[str]:
        return [
            f'soundloom generate "a prompt in the words of the captions" --model {folder} -o out.wav',
            f"soundloom demo --model {folder}",
        ]

    def _log_infill_loss(self, batch: CodeBatch) -> None:
        """Log the loss of a batch whose items all have their middle third to fill."""
        if self.infilling is None:
            return
        codes, lengths = self.codes_of(batch)
        text = self.text_of(batch, batch["prompts"])
        sums, counts = middle_entropies(self.lm, codes, lengths, text, self.infilling)
        self.log("val/infill_loss", (sums / counts).mean(), batch_size=len(codes), sync_dist=True)

    def _loss(self, batch: CodeBatch, prompts: Sequence[str], stage: str) -> Tensor:
        entropies = self.cross_entropies(batch, prompts, gaps=stage == "train")
        loss = mean_entropy(entropies, self.codebook_shares)
        seen = mean_of_processes(self._trainer, entropies.detach())
        values = {f"{stage}/ce_{k}": value for k, value in enumerate(seen)}
        values[f"{stage}/perplexity"] = seen.mean().exp()
        if self.codebook_shares is not None:
            values[f"{stage}/weighted_loss"] = mean_entropy(seen, self.codebook_shares)
        size, spread = len(prompts), stage != "train"
        self.log_dict(values, batch_size=size, sync_dist=spread)
        self.log(f"{stage}/loss", seen.mean(), batch_size=size, sync_dist=spread, prog_bar=True)
        return loss

    def configure_optimizers(self) -> Any:
        """The optimiser of everything that is trained, with the schedule advanced every step."""
        optimizer = self.optimizer([value for value in self.parameters() if value.requires_grad])
        steps = self.trainer.estimated_stepping_batches
        scheduler = self.scheduler.over(optimizer, steps)
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
        check_fingerprint(base, self._base, self.hparams.get("init_from"))

    @classmethod
    def load_from_checkpoint(  # type: ignore[override]
        cls, checkpoint_path: str | Path, **changed: Any
    ) -> Self:
        """Build the module of a checkpoint file, to go on in Python; nothing in it can run code.

        Args:
            checkpoint_path: a .ckpt file.
            changed: arguments in place of those in the checkpoint, such as the optimiser, which it lacks.
        """
        return cls._restored(read_checkpoint(Path(checkpoint_path)), changed)

    @classmethod
    def from_checkpoint(cls, checkpoint: Mapping[str, Any]) -> Self:
        """Build the module of a checkpoint, ready to export.

        Raises:
            ValueError: it was given a text encoder as an object, or LoRA was trained on other weights.
        """
        return cls._restored(checkpoint, {"codec": None, "compile": False}).eval()

    @classmethod
    def _restored(cls, checkpoint: Mapping[str, Any], changed: Mapping[str, Any]) -> Self:
        settings = checkpoint_settings(checkpoint, changed)
        known = inspect.signature(cls).parameters
        module = cls(**{key: value for key, value in settings.items() if key in known})
        module.on_load_checkpoint(dict(checkpoint))
        module.load_state_dict(checkpoint["state_dict"])
        return module

    def export(self, folder: Path, *, weights: str = "float") -> None:
        """Write an AudioGen folder with the settings that this module was given."""
        own = self.export_settings
        self.save_pretrained(folder, codec=own.codec, weights=weights, **own.pipeline_settings())

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
            settings: of the model, such as `max_seconds` and `top_k`.

        Returns:
            The pipeline that was written, with the weights as they are here; LoRA is merged.
        """
        found, known = exported_codec(codec, self.start)
        pipeline = AudioGen(merge_lora(self.lm), self.text_encoder, found, **(known | settings))
        pipeline.save_pretrained(folder, weights=weights)
        return pipeline
