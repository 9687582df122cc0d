"""Draw spectrograms of several sounds on one sheet; `benchmarks/show_foley.py` draws sounds of the corpus."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure


def draw_sheet(sounds: Sequence[tuple[str, np.ndarray]], sample_rate: int, *, columns: int = 4) -> Figure:
    """Spectrograms (dB below the loudest point) of titled mono sounds `[N]`, `columns` beside each other."""
    rows = math.ceil(len(sounds) / columns)
    figure = Figure(figsize=(3.2 * columns, 2.3 * rows), layout="constrained")
    grid = np.atleast_2d(figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False))
    for axes in grid.flat[len(sounds) :]:
        axes.axis("off")
    for axes, (title, samples) in zip(grid.flat, sounds, strict=False):
        n_fft = 512
        padded = np.pad(samples, (0, max(0, n_fft - len(samples))))
        frames = np.lib.stride_tricks.sliding_window_view(padded, n_fft)[:: n_fft // 4]
        power = np.abs(np.fft.rfft(frames * np.hanning(n_fft), axis=1)) ** 2
        level = 10 * np.log10(power.T + 1e-12)
        extent = (0, len(padded) / sample_rate, 0, sample_rate / 2000)
        axes.imshow(
            level - level.max(), origin="lower", aspect="auto", extent=extent, vmin=-70, vmax=0, cmap="magma"
        )
        axes.set_title(title, fontsize=9)
    for axes in grid[:, 0]:
        axes.set_ylabel("kHz")
    for axes in grid[-1]:
        axes.set_xlabel("s")
    return figure
