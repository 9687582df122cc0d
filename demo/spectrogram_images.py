"""Spectrograms as images for the page."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
import torch

from ..core.pictures import Spectrogram, Style, spectrogram_figure

if TYPE_CHECKING:
    from PIL.Image import Image

PAGE = Style(dpi=150, colours="bone_r", font=12)


def draw(spectrogram: Spectrogram, *, reference: float | None = None) -> Image:
    """An image of a spectrogram; `reference` is the power of 0 dB, by default its own peak."""
    from PIL import Image

    picture = BytesIO()
    spectrogram_figure([spectrogram], reference=reference, style=PAGE).savefig(picture, format="png")
    return Image.open(picture).convert("RGB")


def spectrogram(samples: np.ndarray, sample_rate: int) -> Image:
    """An image of the spectrogram of mono samples `[N]`, at `sample_rate` Hz."""
    return draw(Spectrogram(torch.from_numpy(np.asarray(samples)), sample_rate, "spectrogram"))
