"""KL divergence between what a classifier hears in sounds and in their references.

Letters: B sounds, C channels, N and M samples.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .embedders import Classifier, NamedClassifier
from .mono import mono_pairs
from .spectral_distance import Float64Metric


class KLDivergence(Float64Metric):
    """How differently a classifier hears each sound and its reference: mean KL(reference || sound) in nats.

    Sounds come in pairs: a generated sound and the recording whose caption it was made from, or a
    reconstruction and its original. 0 means that the classifier hears no difference. Source: used for
    text-to-audio by Kreuk et al. 2023 (AudioGen), section 4.

    Args:
        classifier: None: the classifier that ships, "foley-classifier".
        kwargs: of torchmetrics.Metric.
    """

    is_differentiable = False
    higher_is_better = False
    full_state_update = False
    total: Tensor
    agreed: Tensor
    pairs: Tensor

    def __init__(self, classifier: Classifier | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.classifier = NamedClassifier.from_pretrained() if classifier is None else classifier
        self.add_state("total", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("agreed", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("pairs", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    @torch.no_grad()
    def update(
        self, audio: Tensor, sample_rate: int, reference: Tensor, reference_rate: int | None = None
    ) -> None:
        """Take in pairs: sound i of `audio [B, C, N]` with sound i of `reference [B, C, M]`.

        Arguments and errors are those of `mono_pairs`.
        """
        rate = self.classifier.sample_rate
        sounds, originals = mono_pairs(audio, sample_rate, reference, reference_rate, rate)
        q = self.classifier.logits(sounds).to(self.total).log_softmax(1)
        p = self.classifier.logits(originals).to(self.total).log_softmax(1)
        self.total += torch.nn.functional.kl_div(q, p, reduction="sum", log_target=True).to(self.total)
        self.agreed += int((q.argmax(1) == p.argmax(1)).sum())
        self.pairs += len(sounds)

    def compute(self) -> Tensor:
        """Mean divergence in nats; NaN before anything was taken in."""
        return self.total / self.pairs

    def report(self) -> dict[str, Any]:
        """The divergence, the share of pairs with the same likeliest class, and what both rest on."""
        return {
            "value": float(self.compute()),
            "same_class": int(self.agreed) / max(1, int(self.pairs)),
            "classifier": self.classifier.name,
            "sample_rate": self.classifier.sample_rate,
            "pairs": int(self.pairs),
        }
