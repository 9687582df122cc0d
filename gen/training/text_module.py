"""Training of a text encoder alone, before a language model: recipes/text_encoder.yaml.

A caption tells which codes its sound has, though not when. That alone is asked here: from the mean of the
states of a caption, one linear layer predicts how often each code of each codebook comes up. A step costs
little, and the encoder that comes out of minutes already tells its sounds apart.
A language model that begins with a new encoder instead first learns to go on from what it has heard, which
tells so much more of the next code that the caption is hardly listened to for thousands of steps.
Letters: B items, K codebooks, T frames, V codes a codebook, D text width.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, Self

import torch
from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor, nn

from ...core.exports_model import ExportsModel, float_only
from ...core.learning_rate_schedule import LearningRateSchedule
from ..text.embedded import EmbeddedTextEncoder
from ..text.encoder import TextStates
from .objective import CodeBatch, batch_codes, mean_entropy, share_weights
from .parts import TextSettings, build_text_encoder, name_of, settings_of


class TrainsTextEncoder(ExportsModel):
    """What the two trainings of a text encoder alone share: this one, and that of sentence_module.py.

    Args:
        text: which text encoder; one with a token table.
        optimizer: makes the optimiser.
        scheduler: the learning rate over the steps, as a share of the optimiser's.
        export_to: folder for the trained encoder when training ends; None: not exported.
        more: other settings of the training that a checkpoint keeps.

    Raises:
        ValueError: the text encoder has no token table.
    """

    def __init__(
        self,
        text: TextSettings,
        optimizer: OptimizerCallable,
        scheduler: LearningRateSchedule,
        export_to: str | None,
        more: Mapping[str, Any],
    ) -> None:
        super().__init__()
        text, scheduler = settings_of(TextSettings, text), settings_of(LearningRateSchedule, scheduler)
        self.save_hyperparameters(
            {
                "text": {**vars(text), "encoder": name_of(text.encoder)},
                "scheduler": asdict(scheduler),
                "export_to": export_to,
                **more,
            }
        )
        encoder = build_text_encoder(text.encoder, text.settings)
        if not isinstance(encoder, EmbeddedTextEncoder):
            raise ValueError(
                f"text.encoder is {name_of(text.encoder)!r}, which is used as it is; only an encoder over a "
                'token table is trained: a folder of `soundloom distil-text`, or a model with one, as "foley"'
            )
        self.encoder = encoder.requires_grad_(True).train()
        self.optimizer, self.scheduler, self.export_to = optimizer, scheduler, export_to

    def _loss(self, batch: Any, stage: str) -> Tensor:
        """Loss of a batch, scalar, logged under the name of the stage."""
        raise NotImplementedError(f"{type(self).__name__} has to say what it is trained for")

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Loss of a batch."""
        return self._loss(batch, "train")

    def validation_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Loss of a batch."""
        return self._loss(batch, "val")

    def test_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Loss of a batch."""
        return self._loss(batch, "test")

    def configure_optimizers(self) -> Any:
        """The optimiser of all that is trained, with the schedule advanced every step."""
        optimizer = self.optimizer([value for value in self.parameters() if value.requires_grad])
        scheduler = self.scheduler.over(optimizer, self.trainer.estimated_stepping_batches)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    @classmethod
    def from_checkpoint(cls, checkpoint: Mapping[str, Any]) -> Self:
        """Build the module of a checkpoint, ready to export."""
        settings = checkpoint["hyper_parameters"]
        module = cls(**{key: value for key, value in settings.items() if not key.startswith("_")})
        module.load_state_dict(checkpoint["state_dict"])
        return module.eval()

    def export(self, folder: Path, *, weights: str = "float") -> None:
        """Write the encoder, which `text.encoder` of a language model's recipe takes."""
        float_only(weights)
        self.encoder.save_pretrained(folder)


class TextEncoderModule(TrainsTextEncoder):
    """Trains an EmbeddedTextEncoder to tell from captions which codes their sounds have.

    Logged beside the loss is `gain`: how many nats a code the caption saves, against the frequencies of the
    codes in the training data.

    Args:
        text: which text encoder; one with a token table.
        num_codebooks: K, the first ones of the data.
        codebook_size: V.
        codebook_weights: see `Objective`.
        optimizer: makes the optimiser.
        scheduler: the learning rate over the steps, as a share of the optimiser's.
        export_to: folder for the trained encoder when training ends; None: not exported.

    Raises:
        ValueError: the text encoder has no token table, or the weights are not one for each codebook.
    """

    counts: Tensor

    def __init__(
        self,
        *,
        text: TextSettings = TextSettings(encoder="foley"),
        num_codebooks: int = 4,
        codebook_size: int = 1024,
        codebook_weights: list[float] | None = None,
        optimizer: OptimizerCallable = partial(torch.optim.AdamW, lr=1e-3),
        scheduler: LearningRateSchedule = LearningRateSchedule(),
        export_to: str | None = None,
    ) -> None:
        sizes = {
            "num_codebooks": num_codebooks,
            "codebook_size": codebook_size,
            "codebook_weights": codebook_weights,
        }
        super().__init__(text, optimizer, scheduler, export_to, sizes)
        self.num_codebooks, self.codebook_size = num_codebooks, codebook_size
        self.codebook_shares = share_weights(codebook_weights, num_codebooks)
        self.head = nn.Linear(self.encoder.dim, num_codebooks * codebook_size)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)
        # How often each code was seen in training, and half a time more: the answer without a caption.
        self.register_buffer("counts", torch.full((num_codebooks, codebook_size), 0.5))

    def forward(self, text: TextStates) -> Tensor:
        """Log probabilities of the codes of each prompt's sound, `[B, K, V]`."""
        logits = self.head(text.mean()).unflatten(-1, (self.num_codebooks, self.codebook_size))
        return (logits + self.frequencies()).log_softmax(-1)

    def frequencies(self) -> Tensor:
        """Log probabilities of the codes where nothing is known of the sound, `[K, V]`."""
        return (self.counts / self.counts.sum(-1, keepdim=True)).log()

    def training_step(self, batch: CodeBatch, batch_idx: int) -> Tensor:
        """Loss of a batch, after its codes were counted."""
        codes, lengths = batch_codes(batch, None, self.num_codebooks)
        self.counts += _counted(codes, lengths, self.codebook_size).sum(0)
        return self._loss(batch, "train")

    def _loss(self, batch: CodeBatch, stage: str) -> Tensor:
        codes, lengths = batch_codes(batch, None, self.num_codebooks)
        counted = _counted(codes, lengths, self.codebook_size)  # [B, K, V]
        total = counted.sum((0, 2)).clamp_min(1)  # [K]
        told = -(counted * self(self.encoder(batch["prompts"]))).sum((0, 2)) / total  # nats a code, [K]
        guessed = -(counted * self.frequencies()).sum((0, 2)) / total
        size, spread = len(codes), stage != "train"
        values = {"loss": told.mean().detach(), "gain": (guessed - told.detach()).mean()}
        for name, value in values.items():
            self.log(f"{stage}/{name}", value, batch_size=size, sync_dist=spread, prog_bar=True)
        return mean_entropy(told, self.codebook_shares)

    def usage(self, folder: str) -> list[str]:
        """Train a language model with it."""
        return [f"lightning fit --config recipes/audiogen_12hz.yaml --model.text.encoder {folder}"]


def _counted(codes: Tensor, lengths: Tensor | None, size: int) -> Tensor:
    """How often each code comes up in each item, padding left out: float32 `[B, K, V]`."""
    seen = torch.ones_like(codes, dtype=torch.float32)  # [B, K, T]
    if lengths is not None:
        seen = (
            (torch.arange(codes.shape[-1], device=codes.device) < lengths.view(-1, 1, 1))
            .float()
            .expand_as(seen)
        )
    return seen.new_zeros(*codes.shape[:2], size).scatter_add_(2, codes, seen)
