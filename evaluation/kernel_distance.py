"""Kernel audio distance: how far two sets of sounds are apart, also where there are few of them.

Letters: B sounds, C channels, N samples, F features, X and Y points of the two sets.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from .embedders import Embedder, NamedClassifier
from .frechet import points

SCALE = 100.0


def kernel_distance(generated: Tensor, real: Tensor) -> Tensor:
    """Unbiased squared maximum mean discrepancy, times 100, of points `[X, F]` and `[Y, F]` -> scalar.

    The kernel is exp(-|x - y|^2 / (2 s^2)), its bandwidth s the median distance between two points of `real`.
    Sets of the same kind give 0 on average, hence also values a little below. Source: Gretton et al. 2012, "A
    Kernel Two-Sample Test"; bandwidth and factor as in Chung et al. 2025, "KAD: No More FAD!"
    (arXiv 2502.15602) and its toolkit.

    Raises:
        ValueError: fewer than 2 points on a side.
    """
    if min(len(generated), len(real)) < 2:
        raise ValueError(
            f"a kernel audio distance needs 2 or more points on a side, got {len(generated)} and {len(real)}"
        )
    generated, real = generated.double(), real.double()
    bandwidth = torch.pdist(real).median()

    def kernel(a: Tensor, b: Tensor) -> Tensor:
        squares = torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist").square()
        return (-squares / (2 * bandwidth.square() + 1e-12)).exp()

    def within(points: Tensor) -> Tensor:  # mean over the pairs of different points; kernel(x, x) is 1
        count = len(points)
        return (kernel(points, points).sum() - count) / (count * (count - 1))

    return SCALE * (within(generated) + within(real) - 2 * kernel(generated, real).mean())


class KernelAudioDistance(Metric):
    """Distance between two sets of sounds through a kernel on an embedder's features. 0 means alike.

    Unlike the Frechet distance it takes no shape for granted and is unbiased: few sounds make it uncertain,
    not too large. Figures can be compared only between equal embedders. See `kernel_distance`.

    The points are kept: 4 bytes for each of their features.

    Args:
        embedder: gives the features; None: the classifier that ships, "foley-classifier".
        window_seconds: see `points`.
        kwargs: of torchmetrics.Metric.
    """

    is_differentiable = False
    higher_is_better = False
    full_state_update = False
    generated: list[Tensor]
    real: list[Tensor]

    def __init__(
        self, embedder: Embedder | None = None, *, window_seconds: float | None = 5.0, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.embedder = NamedClassifier.from_pretrained() if embedder is None else embedder
        self.window_seconds = None if getattr(self.embedder, "own_windows", False) else window_seconds
        self.add_state("generated", [], dist_reduce_fx="cat")
        self.add_state("real", [], dist_reduce_fx="cat")

    @torch.no_grad()
    def update(self, audio: Tensor, sample_rate: int, *, real: bool) -> None:
        """Take in sounds `[B, C, N]` at `sample_rate` Hz.

        Args:
            audio: the sounds.
            sample_rate: Hz.
            real: whether they belong to the reference or are what is measured.

        Raises:
            AudioError, ValueError: as of `points`.
        """
        found = points(self.embedder, audio, sample_rate, self.window_seconds)
        (self.real if real else self.generated).append(found.float().to(self.device))

    def compute(self) -> Tensor:
        """The distance, float64 scalar.

        Raises:
            ValueError: fewer than 2 points on a side.
        """
        return kernel_distance(self._points(self.generated), self._points(self.real))

    def report(self) -> dict[str, Any]:
        """The distance with what it rests on: a dict that fits into JSON.

        Raises:
            ValueError: as of `compute`.
        """
        return {
            "value": float(self.compute()),
            "embedder": self.embedder.name,
            "features": self.embedder.num_features,
            "sample_rate": self.embedder.sample_rate,
            "window_seconds": self.window_seconds,
            "pieces": len(self._points(self.generated)),
            "reference_pieces": len(self._points(self.real)),
        }

    def _points(self, side: list[Tensor]) -> Tensor:
        return dim_zero_cat(side).cpu() if len(side) else torch.zeros(0, self.embedder.num_features)
