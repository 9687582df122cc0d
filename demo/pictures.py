"""Spectrograms."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL.Image import Image

COLUMNS = 1200  # more than the picture has pixels
RANGE_DB = 80
FLOOR = 1e-20  # keeps the logarithm finite
QUIET = 1e-8  # -80 dB: what is never louder than this is shown as silence


class Spectrum:
    """Short-time power spectrum of a sound, with no more columns than a picture can show.

    Attributes:
        power: float `[bins, columns]`; each column is the mean over the windows that it stands for.
        duration: seconds.
        sample_rate: Hz.

    Args:
        samples: float `[N]`, mono, full scale 1.
        sample_rate: Hz.
    """

    def __init__(self, samples: np.ndarray, sample_rate: int) -> None:
        from scipy.signal import ShortTimeFFT
        from scipy.signal.windows import hann

        window = max(64, 2 ** round(np.log2(sample_rate * 0.032)))  # 32 ms: syllables and partials both show
        hop = window // 4
        transform = ShortTimeFFT(hann(window, sym=False), hop, sample_rate, scale_to="magnitude")
        self.sample_rate = sample_rate
        self.duration = len(samples) / sample_rate
        padded = np.pad(samples, (0, max(0, window - len(samples))))
        first, last = transform.p_min, transform.p_max(len(padded))
        each = -(-(last - first) // COLUMNS)  # windows of a column
        columns = []
        for start in range(first, last, 100 * each):  # piece by piece: the spectrum of an hour is gigabytes
            stop = min(start + 100 * each, last)
            power = np.abs(transform.stft(padded, start, stop)) ** 2
            edges = np.arange(0, stop - start, each)
            counts = np.diff(edges, append=stop - start)
            columns.append(np.add.reduceat(power, edges, axis=1) / counts)
        self.power = np.concatenate(columns, axis=1)

    @property
    def peak(self) -> float:
        """The loudest power."""
        return float(self.power.max())

    def draw(self, *, reference: float | None = None, title: str = "spectrogram") -> Image:
        """Return a picture: time in seconds, frequency in kHz, level in dB below the reference (80 dB range).

        Args:
            reference: power of 0 dB; the sound's own peak if None.
            title: stands above the picture.
        """
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
        from PIL import Image

        loudest = max(self.peak if reference is None else reference, QUIET)
        level = 10 * np.log10(np.maximum(self.power, FLOOR) / loudest)
        figure = Figure(figsize=(6.8, 3.5), dpi=150, layout="constrained")  # no pyplot: it is not thread-safe
        axes = figure.add_subplot()
        image = axes.imshow(
            level,
            vmin=-RANGE_DB,
            vmax=0,
            cmap="bone_r",
            origin="lower",
            aspect="auto",
            interpolation="bilinear",
            extent=(0, self.duration, 0, self.sample_rate / 2000),
        )
        axes.set_xlabel("time (s)", fontsize=12)
        axes.set_ylabel("frequency (kHz)", fontsize=12)
        axes.set_title(title, fontsize=12, loc="left")
        bar = figure.colorbar(image, ax=axes, pad=0.02, ticks=[0, -20, -40, -60, -80])
        bar.set_label("level (dB)", fontsize=12)
        for part in (axes, bar.ax):
            part.tick_params(labelsize=11)
        picture = BytesIO()
        FigureCanvasAgg(figure).print_png(picture)
        return Image.open(picture).convert("RGB")


def spectrogram(samples: np.ndarray, sample_rate: int) -> Image:
    """Draw the spectrogram of a sound: see `Spectrum` for the arguments, `Spectrum.draw` for the picture."""
    return Spectrum(samples, sample_rate).draw()
