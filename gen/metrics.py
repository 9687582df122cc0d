"""How good generated sounds are: Frechet audio distance, divergence of class posteriors, prompt accuracy.

Letters: B sounds, C channels, N samples, F features. Audio is `[B, C, N]` of any rate; it is mixed to mono
and resampled to what the embedder or classifier takes.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from ..codecs.metrics import Float64Metric
from ..core.audio import AudioError, as_samples, check_finite, mix, resample
from .embedders import Classifier, Embedder, Judge

logger = logging.getLogger(__name__)


def mono(audio: Tensor, sample_rate: int, to_rate: int) -> Tensor:
    """Audio `[B, C, N]` -> mono `[B, M]` at another rate.

    Raises:
        AudioError: other axes, no samples, or NaN or infinite samples.
    """
    audio = as_samples(audio)
    if audio.ndim != 3 or audio.numel() == 0:
        raise AudioError(f"audio has shape {list(audio.shape)}; it must be [B, C, N] with at least 1 sample")
    check_finite(audio)
    return resample(mix(audio, 1), sample_rate, to_rate)[:, 0]


def frechet_distance(mean_a: Tensor, covariance_a: Tensor, mean_b: Tensor, covariance_b: Tensor) -> Tensor:
    """Frechet distance between two Gaussians: `[F]`, `[F, F]` each -> scalar.

    |m_a - m_b|^2 + tr(S_a + S_b - 2 (S_a S_b)^(1/2)); the trace of the root is that of the symmetric
    (S_a^(1/2) S_b S_a^(1/2))^(1/2), which also holds for covariances without full rank. Source: Dowson and
    Landau 1982, "The Frechet distance between multivariate normal distributions".
    """
    values, vectors = torch.linalg.eigh(covariance_a)
    root = vectors * values.clamp_min(0).sqrt() @ vectors.T
    product = torch.linalg.eigvalsh(root @ covariance_b @ root).clamp_min(0)
    spread = covariance_a.trace() + covariance_b.trace() - 2 * product.sqrt().sum()
    return ((mean_a - mean_b).square().sum() + spread).clamp_min(0)


def points(embedder: Embedder, audio: Tensor, sample_rate: int, window_seconds: float | None = 5.0) -> Tensor:
    """What distances between sets of sounds are measured between: sounds `[B, C, N]` -> `[X, F]`.

    Args:
        embedder: gives the features.
        audio: the sounds.
        sample_rate: Hz.
        window_seconds: longer sounds are cut into pieces of this length, each a point of its own (a rest
            below half of it is left out); None: one point for every sound. An embedder that cuts sounds
            itself (`own_windows`) gets whole sounds and gives points for each.

    Raises:
        AudioError: another shape, no samples, NaN or infinite samples.
        ValueError: the embedder gave something else than finite `[B, F]`, or with `own_windows` `[B * P, F]`.
    """
    audio = mono(audio, sample_rate, embedder.sample_rate)
    own_windows, size = getattr(embedder, "own_windows", False), audio.shape[1]
    if window_seconds is not None and not own_windows:
        size = max(1, round(window_seconds * embedder.sample_rate))
    found = []
    for piece in audio.split(size, dim=1):
        if piece.shape[1] < min(size / 2, audio.shape[1]):
            continue
        features = embedder.embed(piece)
        sounds = len(features) // len(audio) * len(audio) if own_windows else len(audio)
        if features.shape != (sounds, embedder.num_features) or not features.isfinite().all():
            raise ValueError(
                f"the embedder {embedder.name} gave features of shape {list(features.shape)}, "
                f"{int((~features.isfinite()).sum())} of them not finite; finite ones of shape "
                f"{[sounds, embedder.num_features]} are needed"
            )
        found.append(features)
    return torch.cat(found)


class FrechetAudioDistance(Float64Metric):
    """Distance between two sets of sounds, as Gaussians over an embedder's features. 0 means alike.

    Figures can be compared only between equal embedders and similar numbers of sounds: with few sounds the
    distance comes out too large. `report` therefore states both. Source: Kilgour et al. 2019, "Frechet Audio
    Distance: A Reference-Free Metric for Evaluating Music Enhancement Algorithms".

    Means and covariances are collected in float64 while sounds come in, so memory does not grow with them.

    Args:
        embedder: gives the features; None: the judge that ships, "foley-judge".
        window_seconds: see `points`.
        kwargs: of torchmetrics.Metric.

    Raises:
        ValueError: a window that is not above 0.
    """

    is_differentiable = False
    higher_is_better = False
    full_state_update = False
    sums: Tensor
    products: Tensor
    counts: Tensor
    clips: Tensor

    def __init__(
        self, embedder: Embedder | None = None, *, window_seconds: float | None = 5.0, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        if window_seconds is not None and not window_seconds > 0:
            raise ValueError(f"window_seconds is {window_seconds}; it must be above 0, or None")
        self.embedder = Judge.from_pretrained() if embedder is None else embedder
        self.window_seconds = None if getattr(self.embedder, "own_windows", False) else window_seconds
        features = self.embedder.num_features
        # row 0: generated, row 1: real
        self.add_state("sums", torch.zeros(2, features, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state(
            "products", torch.zeros(2, features, features, dtype=torch.float64), dist_reduce_fx="sum"
        )
        self.add_state("counts", torch.zeros(2, dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("clips", torch.zeros(2, dtype=torch.int64), dist_reduce_fx="sum")

    @torch.no_grad()
    def update(self, audio: Tensor, sample_rate: int, *, real: bool) -> None:
        """Take in sounds `[B, C, N]` at `sample_rate` Hz.

        Args:
            audio: the sounds.
            sample_rate: Hz.
            real: whether they belong to the reference or are what is judged.

        Raises:
            AudioError: another shape, no samples, NaN or infinite samples.
            ValueError: the embedder gave something else than `points` takes.
        """
        features = points(self.embedder, audio, sample_rate, self.window_seconds).to(self.sums)
        row = int(real)
        self.clips[row] += len(audio)
        self.sums[row] += features.sum(0)
        self.products[row] += features.T @ features
        self.counts[row] += len(features)

    def compute(self) -> Tensor:
        """The distance, float64 scalar.

        Raises:
            ValueError: fewer than 2 points on a side, which have no covariance.
        """
        warning = self.shortage()
        if warning is not None:
            logger.warning("%s", warning)
        return self._distance()

    def shortage(self) -> str | None:
        """What is wrong with the figure when a side has fewer points than features, else None."""
        features, fewest = self.sums.shape[1], int(self.counts.min())
        if fewest > features:
            return None
        return (
            f"Frechet audio distance: only {fewest} pieces of sound on a side for {features} features of "
            f"{self.embedder.name}: it comes out too large; compare it only with figures of equal number"
        )

    def _distance(self) -> Tensor:
        return frechet_distance(*self._gaussian(0), *self._gaussian(1))

    def _gaussian(self, row: int) -> tuple[Tensor, Tensor]:
        """Mean `[F]` and covariance `[F, F]` of a side."""
        count, side = int(self.counts[row]), ("generated", "real")[row]
        features = self.sums.shape[1]
        if count < 2:
            raise ValueError(
                f"a Frechet audio distance needs at least 2 {side} sounds, got {count}; better are more than "
                f"the {features} features of {self.embedder.name}"
            )
        # On the CPU, as not every device has float64 and the difference of the two wants it.
        mean = self.sums[row].cpu().double() / count
        products = self.products[row].cpu().double()
        covariance = (products - count * mean.outer(mean)) / (count - 1)
        return mean, covariance

    def report(self) -> dict[str, Any]:
        """The distance with all that a reader needs to compare it: a dict that fits into JSON.

        Raises:
            ValueError: as of `compute`.
        """
        return {
            "value": float(self._distance()),
            "embedder": self.embedder.name,
            "features": self.sums.shape[1],
            "sample_rate": self.embedder.sample_rate,
            "window_seconds": self.window_seconds,
            "sounds": int(self.clips[0]),
            "pieces": int(self.counts[0]),
            "reference_sounds": int(self.clips[1]),
            "reference_pieces": int(self.counts[1]),
            "warning": self.shortage(),
        }


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
        """ "fad" (NaN for a single piece of sound) and "same_class", the share judged as the original."""
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
