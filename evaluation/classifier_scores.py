"""FAD and same class by the classifier, which `soundloom bench-codecs` adds to distances."""

from __future__ import annotations

from torch import Tensor

from .embedders import NamedClassifier
from .frechet import FrechetAudioDistance
from .kl_divergence import KLDivergence


class ClassifierScores:
    """How a codec's reconstructions fare with the classifier.

    Args:
        classifier: embedder and classifier; None: the one that ships, "foley-classifier".
    """

    def __init__(self, classifier: NamedClassifier | None = None) -> None:
        classifier = NamedClassifier.from_pretrained() if classifier is None else classifier
        self.distance, self.divergence = FrechetAudioDistance(classifier), KLDivergence(classifier)

    def update(self, estimate: Tensor, target: Tensor, sample_rate: int) -> None:
        """Take in a reconstruction and its original, `[C, N]` each."""
        self.distance.update(estimate[None], sample_rate, real=False)
        self.distance.update(target[None], sample_rate, real=True)
        self.divergence.update(estimate[None], sample_rate, target[None])

    def report(self) -> dict[str, float]:
        """Give "fad" (NaN for a single piece of sound) and "same_class", the share heard as the original."""
        enough = int(self.distance.counts.min()) >= 2
        return {
            "fad": self.distance.report()["value"] if enough else float("nan"),
            "same_class": self.divergence.report()["same_class"],
        }

    def notes(self) -> list[str]:
        """What the figures rest on."""
        classifier, distance = self.divergence.classifier, self.distance
        based = (
            f"FAD and same class by {classifier.name} ({distance.sums.shape[1]} features, "
            f"{classifier.sample_rate} Hz) on {int(distance.clips[0])} sounds in {int(distance.counts[0])} "
            f"pieces of at most {distance.window_seconds:g} s"
        )
        return [based, *filter(None, [distance.shortage()])]
