"""Tag accuracy and tag agreement: what a tagger such as YAMNet hears in sounds.

Letters: B sounds, C channels, N samples, V tags.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor
from torchmetrics import Metric

from .mono import mono, mono_pairs
from .spectral_distance import Float64Metric

FEW = 5  # a wanted tag is first, or among the first few


class Tagger(Protocol):
    """Gives sounds scores for tags, of which several may be right; `YAMNet` does."""

    name: str
    sample_rate: int

    @property
    def tag_names(self) -> list[str]:
        """Names of the tags, in the order of the scores."""
        ...

    def tags(self, audio: Tensor) -> Tensor:
        """Mono audio `[B, N]` at `sample_rate` -> scores `[B, V]`."""
        ...


@torch.no_grad()
def first_tags(tagger: Tagger, audio: Tensor, sample_rate: int, count: int = FEW) -> list[list[str]]:
    """The tags with the highest scores, the highest first, of each sound in `[B, C, N]`.

    Raises:
        AudioError: another shape, no samples, NaN or infinite samples.
    """
    scores = tagger.tags(mono(audio, sample_rate, tagger.sample_rate))
    names = tagger.tag_names
    order = scores.argsort(dim=1, descending=True, stable=True)  # the same everywhere, also of equal scores
    return [[names[i] for i in row] for row in order[:, :count].tolist()]


def check_tags(tagger: Tagger, tags: Sequence[str]) -> None:
    """Refuse tags that a tagger cannot give.

    Raises:
        ValueError: a tag that it does not know, or none.
    """
    names = tagger.tag_names
    if not tags:
        raise ValueError("no tag is given that is right; give at least one")
    for tag in tags:
        if tag not in names:
            near = difflib.get_close_matches(tag, names, n=3)
            hint = (
                f"did you mean {' or '.join(map(repr, near))}?" if near else "tags are spelt as in AudioSet"
            )
            raise ValueError(f"{tagger.name} knows no tag {tag!r}; {hint}")


class TagAgreement(Float64Metric):
    """How alike a tagger hears sounds and their originals: same first tag, and correlation of all scores.

    Args:
        tagger: hears them.
        kwargs: of torchmetrics.Metric.
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False
    agreed: Tensor
    correlation: Tensor
    pairs: Tensor

    def __init__(self, tagger: Tagger, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.tagger = tagger
        self.add_state("agreed", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("correlation", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("pairs", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    @torch.no_grad()
    def update(
        self, audio: Tensor, sample_rate: int, reference: Tensor, reference_rate: int | None = None
    ) -> None:
        """Take in pairs: sound i of `audio [B, C, N]` with sound i of `reference [B, C, M]`.

        Arguments and errors are those of `mono_pairs`.
        """
        sounds, originals = mono_pairs(audio, sample_rate, reference, reference_rate, self.tagger.sample_rate)
        heard, expected = self.tagger.tags(sounds).double(), self.tagger.tags(originals).double()
        self.agreed += int((heard.argmax(1) == expected.argmax(1)).sum())
        for pair in zip(heard, expected, strict=True):
            self.correlation += torch.corrcoef(torch.stack(pair))[0, 1].to(self.correlation)
        self.pairs += len(sounds)

    def compute(self) -> Tensor:
        """Share of pairs with the same first tag; NaN before anything was taken in."""
        return self.agreed.double() / self.pairs

    def report(self) -> dict[str, Any]:
        """Share with the same first tag, mean correlation of the scores, and what both rest on."""
        return {
            "same_first": float(self.compute()),
            "correlation": float(self.correlation / self.pairs),
            "tagger": self.tagger.name,
            "sample_rate": self.tagger.sample_rate,
            "tags": len(self.tagger.tag_names),
            "pairs": int(self.pairs),
        }


class TagAccuracy(Metric):
    """Share of sounds of which a tagger's first tag, or one of its first five, is among those that are right.

    Args:
        tagger: heard them.
        kwargs: of torchmetrics.Metric.
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False
    first: Tensor
    few: Tensor
    sounds: Tensor

    def __init__(self, tagger: Tagger, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.tagger = tagger
        for name in ("first", "few", "sounds"):
            self.add_state(name, torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, heard: Sequence[Sequence[str]], wanted: Sequence[Sequence[str]]) -> None:
        """Take in what is heard in sounds (see `first_tags`) and the tags that are right for each.

        Raises:
            ValueError: a tag that the tagger does not know, no right tag, or different numbers of sounds.
        """
        if len(heard) != len(wanted):
            raise ValueError(f"{len(heard)} sounds and tags for {len(wanted)}; give each sound its tags")
        for row, tags in zip(heard, wanted, strict=True):
            check_tags(self.tagger, tags)
            self.first += int(not set(row[:1]).isdisjoint(tags))
            self.few += int(not set(row[:FEW]).isdisjoint(tags))
            self.sounds += 1

    def compute(self) -> Tensor:
        """Share of sounds whose first tag is right; NaN before anything was taken in."""
        return self.first.double() / self.sounds

    def report(self) -> dict[str, Any]:
        """Share whose first tag is right, and that with a right one among five, and what both rest on."""
        return {
            "first": float(self.compute()),
            "among_five": float(self.few.double() / self.sounds),
            "tagger": self.tagger.name,
            "sample_rate": self.tagger.sample_rate,
            "sounds": int(self.sounds),
        }
