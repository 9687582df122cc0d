"""Tonality error: whether tones stay tones, or come back as bands of noise.

Letters: B sounds, C channels, N samples. Short windows cannot see it: in 25 ms a tone and a narrow band of
noise look alike.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..core.audio import check_rate
from ..core.spectra import log_spectrum
from .spectral_distance import SpectralDistance, scaled

AUDIBLE_DB = 60.0  # frames of the original that are further below its loudest one do not count


def tonality(spectrum_db: Tensor) -> Tensor:
    """Maximum over mean of the power of each frame in dB: `[..., bins, frames]` in dB -> `[..., frames]`.

    A steady sine has about 30 dB in a window of 4,096 samples, white noise 9 dB, silence 0.
    """
    power = 10 ** (spectrum_db / 10)
    return spectrum_db.amax(-2) - 10 * power.mean(-2).log10()


class TonalityError(SpectralDistance):
    """Difference of the mean tonality of a sound and of its original, without sign, in dB. 0 is perfect.

    Windows have 256 ms, 4,096 samples at 16 kHz; the mean is over frames in which the original is heard.

    Args:
        sample_rate: Hz of the audio.
        floor_db: dB relative to a sine of full scale; whatever lies below counts as this.
        kwargs: of torchmetrics.Metric.
    """

    window: Tensor

    def __init__(self, sample_rate: int, *, floor_db: float = -100.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.floor_db = floor_db
        size = scaled(4096, check_rate(sample_rate))
        self.register_buffer("window", torch.hann_window(size), persistent=False)

    def distance(self, estimate: Tensor, target: Tensor) -> Tensor:
        made, original = (log_spectrum(x, self.window, self.floor_db) for x in (estimate, target))
        loudness = original.amax(-2)  # [B, C, frames]
        heard = loudness >= loudness.amax(-1, keepdim=True) - AUDIBLE_DB
        difference = (tonality(made) - tonality(original)) * heard
        return (difference.sum(-1) / heard.sum(-1)).abs().mean(-1)
