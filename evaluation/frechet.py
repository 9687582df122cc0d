"""Frechet audio distance (FAD) between two sets of sounds, by the features of any embedder.

Letters: B sounds, C channels, N samples, F features. Audio is `[B, C, N]` of any rate; it is mixed to mono
and resampled to what the embedder takes.
"""

from __future__ import annotations

import logging
from typing import Any

import torch
from torch import Tensor

from .embedders import Embedder, NamedClassifier
from .mono import mono
from .spectral_distance import Float64Metric

logger = logging.getLogger(__name__)


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
        embedder: gives the features; None: the classifier that ships, "foley-classifier".
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
        self.embedder = NamedClassifier.from_pretrained() if embedder is None else embedder
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
            real: whether they belong to the reference or are what is measured.

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
