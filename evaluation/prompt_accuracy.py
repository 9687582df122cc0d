"""Whether sounds are what their prompts ask for, as a classifier hears them.

Letters: B sounds, C channels, N samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from .embedders import Classifier, Judge
from .frechet import FrechetAudioDistance, mono
from .spectral_distance import Float64Metric


class KLDivergence(Float64Metric):
    """How differently a classifier hears each sound and its reference: mean KL(reference || sound) in nats.

    Sounds come in pairs: a generated sound and the recording whose caption it was made from, or a
    reconstruction and its original. 0 means that the classifier hears no difference. Source: used for
    text-to-audio by Kreuk et al. 2023 (AudioGen), section 4.

    Args:
        classifier: None: the judge that ships, "foley-judge".
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
        self.classifier = Judge.from_pretrained() if classifier is None else classifier
        self.add_state("total", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("agreed", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("pairs", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    @torch.no_grad()
    def update(
        self, audio: Tensor, sample_rate: int, reference: Tensor, reference_rate: int | None = None
    ) -> None:
        """Take in pairs: sound i of `audio [B, C, N]` with sound i of `reference [B, C, M]`.

        Args:
            audio: what is judged.
            sample_rate: Hz of `audio`.
            reference: what it should sound like; length and channels may differ.
            reference_rate: Hz of `reference`; None: that of `audio`.

        Raises:
            AudioError: another shape, no samples, NaN or infinite samples.
            ValueError: different numbers of sounds.
        """
        rate = self.classifier.sample_rate
        sounds = mono(audio, sample_rate, rate)
        originals = mono(reference, sample_rate if reference_rate is None else reference_rate, rate)
        if len(sounds) != len(originals):
            raise ValueError(
                f"{len(sounds)} sounds and {len(originals)} references; a divergence is one of pairs: give "
                "each sound its reference"
            )
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


class PromptAccuracy(Metric):
    """Share of sounds in which a classifier hears the class that was asked for.

    Args:
        classifier: None: the judge that ships, "foley-judge".
        kwargs: of torchmetrics.Metric.
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False
    confusion: Tensor

    def __init__(self, classifier: Classifier | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.classifier = Judge.from_pretrained() if classifier is None else classifier
        names = self.classifier.class_names
        self._index = {name: i for i, name in enumerate(names)}
        self.add_state(
            "confusion", torch.zeros(len(names), len(names), dtype=torch.int64), dist_reduce_fx="sum"
        )

    @torch.no_grad()
    def update(self, audio: Tensor, sample_rate: int, classes: Sequence[str]) -> None:
        """Take in sounds `[B, C, N]` at `sample_rate` Hz and the class that each should be.

        Raises:
            AudioError: another shape, no samples, NaN or infinite samples.
            ValueError: a class that the classifier does not know, or another number of classes than sounds.
        """
        unknown = sorted(set(classes) - set(self._index))
        if unknown:
            raise ValueError(
                f"{self.classifier.name} knows no class {', '.join(map(repr, unknown))}; "
                f"its classes are {', '.join(self._index)}"
            )
        sounds = mono(audio, sample_rate, self.classifier.sample_rate)
        if len(sounds) != len(classes):
            raise ValueError(f"{len(sounds)} sounds and {len(classes)} classes; give each sound its class")
        judged = self.classifier.logits(sounds).argmax(1)
        for name, heard in zip(classes, judged.tolist(), strict=True):
            self.confusion[self._index[name], heard] += 1

    def compute(self) -> Tensor:
        """Share of sounds heard as what they should be; NaN before anything was taken in."""
        return self.confusion.trace() / self.confusion.sum()

    def report(self) -> dict[str, Any]:
        """Accuracy over all and for every class that occurred, with its commonest mistake."""
        names, classes = self.classifier.class_names, {}
        for index in self.confusion.sum(1).nonzero().flatten().tolist():
            row = self.confusion[index].clone()
            right, clips = int(row[index]), int(row.sum())
            row[index] = 0
            classes[names[index]] = {
                "accuracy": right / clips,
                "clips": clips,
                "mistaken for": names[int(row.argmax())] if right < clips else None,
            }
        return {
            "accuracy": float(self.compute()),
            "clips": int(self.confusion.sum()),
            "classifier": self.classifier.name,
            "chance": 1 / len(names),
            "classes": classes,
        }


class JudgeScores:
    """How a codec's reconstructions fare with the judge: what `soundloom bench-codecs` adds to distances.

    Args:
        judge: embedder and classifier; None: the one that ships, "foley-judge".
    """

    def __init__(self, judge: Judge | None = None) -> None:
        judge = Judge.from_pretrained() if judge is None else judge
        self.distance, self.divergence = FrechetAudioDistance(judge), KLDivergence(judge)

    def update(self, estimate: Tensor, target: Tensor, sample_rate: int) -> None:
        """Take in a reconstruction and its original, `[C, N]` each."""
        self.distance.update(estimate[None], sample_rate, real=False)
        self.distance.update(target[None], sample_rate, real=True)
        self.divergence.update(estimate[None], sample_rate, target[None])

    def report(self) -> dict[str, float]:
        """Give "fad" (NaN for a single piece of sound) and "same_class", the share judged as the original."""
        enough = int(self.distance.counts.min()) >= 2
        return {
            "fad": self.distance.report()["value"] if enough else float("nan"),
            "same_class": self.divergence.report()["same_class"],
        }

    def notes(self) -> list[str]:
        """What the figures rest on."""
        judge, distance = self.divergence.classifier, self.distance
        based = (
            f"FAD and same class by {judge.name} ({distance.sums.shape[1]} features, {judge.sample_rate} Hz) "
            f"on {int(distance.clips[0])} sounds in {int(distance.counts[0])} pieces of at most "
            f"{distance.window_seconds:g} s"
        )
        return [based, *filter(None, [distance.shortage()])]
