"""Training of a text encoder on what a large sentence encoder makes of phrases: recipes/text_sentences.yaml.

Captions of a corpus do not teach what they do not say: an encoder trained on them alone, with the language
model or before it, takes "car passing by" for a sneeze. Here the mean of a phrase's states learns to point
where the vector of a sentence encoder of many millions of parameters points (Hinton et al. 2015, "Distilling
the Knowledge in a Neural Network", arXiv 1503.02531; of sentence vectors, Reimers and Gurevych 2020, arXiv
2004.09813), and phrases to lie as near to each other as theirs do. A language model then takes the encoder
as it is (`text.train: false`).
Letters: B phrases, D text width.
"""

from __future__ import annotations

from functools import partial
from typing import TypedDict

import torch
from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor
from torch.nn.functional import normalize

from ...core.learning_rate_schedule import LearningRateSchedule
from .parts import TextSettings
from .text_module import TrainsTextEncoder

LIKENESS = 5.0  # weight of the squared error of the phrases' similarities
NEAREST = 5


class SentenceBatch(TypedDict):
    """Phrases, and what is to be made of them: float `[B, D]`, of length 1."""

    prompts: list[str]
    vectors: Tensor


class SentenceModule(TrainsTextEncoder):
    """Trains an EmbeddedTextEncoder: the mean of its states is to point where a sentence vector does.

    Logged are the loss, the `cosine` of the two, and in validation `nearest`: the share of phrases whose
    nearest other one of the batch is among the five nearest of the sentence encoder.

    Args:
        text: which text encoder; one with a token table.
        optimizer: makes the optimiser.
        scheduler: the learning rate over the steps, as a share of the optimiser's.
        export_to: folder for the trained encoder when training ends; None: not exported.

    Raises:
        ValueError: the text encoder has no token table.
    """

    def __init__(
        self,
        *,
        text: TextSettings = TextSettings(encoder="foley"),
        optimizer: OptimizerCallable = partial(torch.optim.AdamW, lr=1e-3),
        scheduler: LearningRateSchedule = LearningRateSchedule(),
        export_to: str | None = None,
    ) -> None:
        super().__init__(text, optimizer, scheduler, export_to, {})

    def _loss(self, batch: SentenceBatch, stage: str) -> Tensor:
        wanted = normalize(batch["vectors"].float(), dim=-1)  # [B, D]
        made = normalize(self.encoder(batch["prompts"]).mean(), dim=-1)
        alike, wanted_alike = made @ made.T, wanted @ wanted.T  # [B, B]
        cosine = (made * wanted).sum(-1).mean()
        loss = 2 * (1 - cosine) + LIKENESS * (alike - wanted_alike).square().mean()
        size, spread = len(wanted), stage != "train"
        values = {"loss": loss.detach(), "cosine": cosine.detach()}
        if spread and size > NEAREST:
            itself = torch.eye(size, dtype=torch.bool, device=made.device)
            found = alike.masked_fill(itself, -2).argmax(-1, keepdim=True)
            best = wanted_alike.masked_fill(itself, -2).topk(NEAREST).indices
            values["nearest"] = (best == found).any(-1).float().mean()
        for name, value in values.items():
            self.log(f"{stage}/{name}", value, batch_size=size, sync_dist=spread, prog_bar=True)
        return loss

    def usage(self, folder: str) -> list[str]:
        """Train a language model with it."""
        return [
            f"lightning fit --config recipes/audiogen_12hz.yaml --model.text.encoder {folder} "
            "--model.text.settings null --model.text.train false"
        ]
