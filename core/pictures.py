"""Spectrograms as figures: one picture for the demo, the training board, reports and the command line."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .spectra import power_spectrum

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS = 1200  # more than a picture has pixels
BLOCK = 100  # columns that are computed at once
FLOOR = 1e-20  # keeps the logarithm finite
QUIET = 1e-8  # -80 dB: what is never louder than this is shown as silence


class Spectrogram:
    """Power of a sound over time and frequency, with no more columns than a picture can show.

    Attributes:
        power: float `[bins, columns]`, 1 for a sine of full scale; a column is the mean over its windows.
        duration: seconds.
        sample_rate: Hz.
        title: for the picture.

    Args:
        samples: float `[N]`, mono, full scale 1.
        sample_rate: Hz.
        title: for the picture.
    """

    def __init__(self, samples: Tensor, sample_rate: int, title: str = "") -> None:
        self.sample_rate, self.title = sample_rate, title
        self.duration = samples.shape[-1] / sample_rate
        size = max(64, 2 ** round(math.log2(sample_rate * 0.032)))  # 32 ms: syllables and partials both show
        hop, window = size // 4, torch.hann_window(size)
        frames = 1 + samples.shape[-1] // hop
        padded = torch.nn.functional.pad(samples.detach().cpu().float(), (size // 2, size))
        each = -(-frames // COLUMNS)  # windows of a column
        columns = []
        for start in range(0, frames, BLOCK * each):  # block by block: the spectrum of an hour is gigabytes
            count = min(BLOCK * each, frames - start)
            block = padded[start * hop : (start + count - 1) * hop + size]
            power = power_spectrum(block, window, padding="none") / (size / 4) ** 2  # [bins, count]
            columns += [part.mean(1) for part in power.split(each, dim=1)]
        self.power = torch.stack(columns, dim=1)

    @property
    def peak(self) -> float:
        """The loudest power."""
        return float(self.power.max())


@dataclass(frozen=True)
class Style:
    """How spectrograms look.

    Attributes:
        size: of a picture, inches.
        dpi: pixels an inch.
        colours: a colour map of matplotlib.
        font: size of titles and labels, points.
        scale: show what the colours mean.
    """

    size: tuple[float, float] = (6.8, 3.5)
    dpi: int = 100
    colours: str = "magma"
    font: float = 10
    scale: bool = True


# Many small pictures beside each other.
SHEET = Style(size=(3.2, 2.3), dpi=80, font=9, scale=False)


def spectrogram_figure(
    spectrograms: Sequence[Spectrogram],
    *,
    columns: int = 1,
    reference: float | None = None,
    range_db: float = 80.0,
    style: Style = Style(),
) -> Figure:
    """Spectrograms beside and below each other: time in seconds, frequency in kHz, level in dB.

    Args:
        spectrograms: what is shown, under its title.
        columns: pictures beside each other.
        reference: power of 0 dB; None: each one's own peak.
        range_db: what is further below that is shown as silence.
        style: how it looks.
    """
    from matplotlib.figure import Figure  # no pyplot: it is not thread-safe

    columns = min(columns, len(spectrograms))
    rows = -(-len(spectrograms) // columns)
    width, height = style.size
    figure = Figure(figsize=(width * columns, height * rows), dpi=style.dpi, layout="constrained")
    grid = figure.subplots(rows, columns, sharex=len(spectrograms) > 1, sharey=True, squeeze=False)
    for axes in grid.flat[len(spectrograms) :]:
        axes.axis("off")
    for axes, shown in zip(grid.flat, spectrograms, strict=False):
        loudest = max(shown.peak if reference is None else reference, QUIET)
        image = axes.imshow(
            10 * torch.log10(shown.power.clamp_min(FLOOR) / loudest).numpy(),
            vmin=-range_db,
            vmax=0,
            cmap=style.colours,
            origin="lower",
            aspect="auto",
            interpolation="bilinear",
            extent=(0, shown.duration, 0, shown.sample_rate / 2000),
        )
        axes.set_title(shown.title, fontsize=style.font, loc="left")
        axes.tick_params(labelsize=style.font - 1)
    for axes in grid[:, 0]:
        axes.set_ylabel("frequency (kHz)", fontsize=style.font)
    for axes in grid[-1]:
        axes.set_xlabel("time (s)", fontsize=style.font)
    if style.scale:
        ticks = [-level for level in range(0, round(range_db) + 1, 20)]
        bar = figure.colorbar(image, ax=list(grid.flat), pad=0.02, ticks=ticks)
        bar.set_label("level (dB)", fontsize=style.font)
        bar.ax.tick_params(labelsize=style.font - 1)
    return figure
