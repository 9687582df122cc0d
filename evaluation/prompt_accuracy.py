"""Whether sounds are what their prompts ask for, as a classifier hears them.

Letters: B sounds, C channels, N samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torchmetrics.classification import MulticlassConfusionMatrix

from .embedders import Classifier, NamedClassifier
from .mono import mono


class PromptAccuracy(MulticlassConfusionMatrix):
    """Share of sounds in which a classifier hears the class that was asked for.

    Args:
        classifier: None: the classifier that ships, "foley-classifier".
        kwargs: of torchmetrics.Metric.
    """

    higher_is_better = True
    confmat: Tensor  # torchmetrics' state: asked for x heard

    def __init__(self, classifier: Classifier | None = None, **kwargs: Any) -> None:
        classifier = NamedClassifier.from_pretrained() if classifier is None else classifier
        # Not validated: a classifier may have one class, and classes are checked by name.
        super().__init__(len(classifier.class_names), validate_args=False, **kwargs)
        self.classifier = classifier
        self._index = {name: i for i, name in enumerate(classifier.class_names)}

    @torch.no_grad()
    def update(  # type: ignore[override]
        self, audio: Tensor, sample_rate: int, classes: Sequence[str]
    ) -> None:
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
        heard = self.classifier.logits(sounds).argmax(1).to(self.confmat.device)
        wanted = torch.tensor([self._index[name] for name in classes], device=heard.device)
        super().update(heard, wanted)

    def compute(self) -> Tensor:
        """Share of sounds heard as what they should be; NaN before anything was taken in."""
        return self.confmat.trace() / self.confmat.sum()

    def report(self) -> dict[str, Any]:
        """Accuracy over all and for every class that occurred, with its commonest mistake."""
        names, classes = self.classifier.class_names, {}
        for index in self.confmat.sum(1).nonzero().flatten().tolist():
            row = self.confmat[index].clone()
            right, clips = int(row[index]), int(row.sum())
            row[index] = 0
            classes[names[index]] = {
                "accuracy": right / clips,
                "clips": clips,
                "mistaken for": names[int(row.argmax())] if right < clips else None,
            }
        return {
            "accuracy": float(self.compute()),
            "clips": int(self.confmat.sum()),
            "classifier": self.classifier.name,
            "chance": 1 / len(names),
            "classes": classes,
        }
