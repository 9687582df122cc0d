"""All distances of reconstructions from their originals in one pass.

Letters: B sounds, C channels, N samples.
"""

from __future__ import annotations

import math
import statistics

from torch import Tensor

from .onsets import EnergyBeforeOnsets
from .spectral_distance import LogSpectralDistance, MultiResolutionMelDistance, scaled, si_sdr
from .tonality import TonalityError


class Reconstruction:
    """Collects reconstructions and their originals; `report` gives all distances.

    Args:
        sample_rate: Hz of both.
    """

    def __init__(self, sample_rate: int) -> None:
        self.means = {
            "mel_distance": MultiResolutionMelDistance(sample_rate),
            "log_spectral_distance": LogSpectralDistance(),
            "log_spectral_distance_512": LogSpectralDistance(n_fft=scaled(512, sample_rate)),
            "log_spectral_distance_4096": LogSpectralDistance(n_fft=scaled(4096, sample_rate)),
            "tonality_error": TonalityError(sample_rate),
            "energy_before_onsets": EnergyBeforeOnsets(sample_rate),
        }
        self.ratios: list[float] = []

    def update(self, estimate: Tensor, target: Tensor) -> None:
        """Take in sounds, two `[B, C, N]`; see `check_pair` for the errors."""
        for metric in self.means.values():
            metric.update(estimate, target)
        self.ratios.extend(si_sdr(estimate, target).tolist())

    def report(self) -> dict[str, float]:
        """Mean distances and the median SI-SDR, all in dB; NaN where one is undefined."""
        defined = [ratio for ratio in self.ratios if not math.isnan(ratio)]
        return {
            **{name: float(metric.compute()) for name, metric in self.means.items()},
            "si_sdr": statistics.median(defined) if defined else math.nan,
        }
