"""Log-spectral distance of a decoded sound to the original, and spectrogram figures.

Letters: B sounds, C channels, N samples.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from matplotlib.figure import Figure
from torch import Tensor

# Log power spectra are compared down to this far below full scale; what is quieter counts as silence.
FLOOR_DB = -100.0


def log_power(audio: Tensor, n_fft: int = 2048) -> Tensor:
    """Power of `[B, C, N]` in dB of a full-scale sine, `[B, C, bins, frames]`; hop a quarter window."""
    window = torch.hann_window(n_fft, device=audio.device)
    spectrum = torch.stft(  # [B * C, bins, frames]
        audio.float().flatten(0, 1),
        n_fft,
        hop_length=n_fft // 4,
        window=window,
        pad_mode="constant",
        return_complex=True,
    )
    power = (spectrum.abs() * 2 / window.sum()).square()
    decibels = 10 * torch.log10(power + 10 ** (FLOOR_DB / 10))
    # [B * C, bins, frames] -> [B, C, bins, frames]
    return decibels.unflatten(0, audio.shape[:2])


def log_spectral_distance(estimate: Tensor, original: Tensor, n_fft: int = 2048) -> Tensor:
    """Mean over frames of the root mean square difference over bins, dB; scalar."""
    difference = log_power(estimate, n_fft) - log_power(original, n_fft)
    return difference.square().mean(-2).sqrt().mean()


def spectrogram_figure(sounds: Mapping[str, Tensor], sample_rate: int) -> Figure:
    """Spectrograms of sounds, each `[N]`, one above the other under their names."""
    figure = Figure(figsize=(8, 3 * len(sounds)), layout="constrained")
    rows = figure.subplots(len(sounds), sharex=True, squeeze=False)[:, 0]
    for axes, (title, audio) in zip(rows, sounds.items(), strict=True):
        image = axes.imshow(
            log_power(audio[None, None], 1024)[0, 0].cpu().numpy(),
            origin="lower",
            aspect="auto",
            extent=(0, audio.shape[-1] / sample_rate, 0, sample_rate / 2000),
            vmin=FLOOR_DB,
            vmax=0,
            cmap="magma",
        )
        axes.set_title(title)
        axes.set_ylabel("kHz")
    rows[-1].set_xlabel("s")
    figure.colorbar(image, ax=list(rows), label="dB")
    return figure
