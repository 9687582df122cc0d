"""Spectrograms as images for the page: without a background, so that they stand on a light and a dark one.

What is quiet is white and what is written is black; on a dark page the style sheet turns both round.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
import torch

from ..core.pictures import Spectrogram, Style, spectrogram_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from PIL.Image import Image

PAGE = Style(dpi=150, colours="bone_r", font=12)
STRIP = replace(PAGE, size=(9.6, 2.7), scale=False)
REGION = (13, 148, 136)  # the page's accent


def draw(spectrogram: Spectrogram, *, reference: float | None = None) -> Image:
    """An image of a spectrogram; `reference` is the power of 0 dB, by default its own peak."""
    return as_image(spectrogram_figure([spectrogram], reference=reference, style=PAGE))


def as_image(figure: Figure) -> Image:
    """A figure without its background."""
    from PIL import Image

    picture = BytesIO()
    figure.savefig(picture, format="png", transparent=True)
    return Image.open(picture).convert("RGBA")


def spectrogram(samples: np.ndarray, sample_rate: int) -> Image:
    """An image of the spectrogram of mono samples `[N]`, at `sample_rate` Hz."""
    return draw(Spectrogram(torch.from_numpy(np.asarray(samples)), sample_rate, "spectrogram"))


@dataclass(frozen=True)
class RegionPicture:
    """The spectrogram of a sound in which regions can be marked, and places be chosen by a click.

    Attributes:
        spectrogram: of the sound.
    """

    spectrogram: Spectrogram

    @property
    def seconds(self) -> float:
        """Length of the sound."""
        return self.spectrogram.duration

    @cached_property
    def _drawn(self) -> tuple[Image, tuple[float, float, float, float]]:
        """The picture, and the pixels that its axes span: left, top, right, bottom."""
        figure = spectrogram_figure([self.spectrogram], style=STRIP)
        image = as_image(figure)  # which lays the figure out
        box = figure.axes[0].get_window_extent()
        left, top, right, bottom = box.x0, image.height - box.y1, box.x1, image.height - box.y0
        return image, (float(left), float(top), float(right), float(bottom))

    def marked(self, regions: Iterable[tuple[float, float]]) -> Image:
        """The picture with regions, from and to a second, in colour."""
        from PIL import Image, ImageDraw

        image, (left, top, right, bottom) = self._drawn
        colour = Image.new("RGBA", image.size, (*REGION, 0))
        pen = ImageDraw.Draw(colour)
        for region in regions:
            start, stop = (
                left + (right - left) * min(max(place / self.seconds, 0.0), 1.0) for place in sorted(region)
            )
            pen.rectangle((start, top, stop, bottom), fill=(*REGION, 70))
            for edge in (start, stop):
                pen.line((edge, top, edge, bottom), fill=(*REGION, 255), width=3)
        return Image.alpha_composite(image, colour)

    def time_at(self, x: float) -> float:
        """The second at a pixel from the left, within the sound."""
        _, (left, _, right, _) = self._drawn
        return self.seconds * min(max((x - left) / (right - left), 0.0), 1.0)
