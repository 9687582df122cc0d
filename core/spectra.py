"""Short-time spectra: the Fourier transform, power, decibels, mel filters.

Networks are trained behind these numbers, so nothing here may change a bit of them. Letters: N samples.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Padding = Literal["reflect", "constant", "none"]


def stft(
    audio: Tensor,
    window: Tensor,
    *,
    hop: int | None = None,
    padding: Padding = "constant",
    normalized: bool = False,
) -> Tensor:
    """Short-time Fourier transform, `[..., N]` -> complex `[..., bins, frames]`.

    Args:
        audio: the sounds.
        window: as long as the transform.
        hop: samples between frames; None: a quarter of the window.
        padding: what is before and after the sound, half a window of each: its mirror image ("reflect"),
            silence ("constant"), or no more than there is ("none").
        normalized: divide by the square root of the window's length.
    """
    size = window.shape[0]
    spectrum = torch.stft(
        audio.reshape(-1, audio.shape[-1]),
        size,
        size // 4 if hop is None else hop,
        window=window,
        center=padding != "none",
        pad_mode="reflect" if padding == "none" else padding,
        normalized=normalized,
        return_complex=True,
    )
    return spectrum.view(*audio.shape[:-1], *spectrum.shape[1:])


def power_spectrum(
    audio: Tensor,
    window: Tensor,
    *,
    hop: int | None = None,
    padding: Padding = "constant",
    normalized: bool = False,
) -> Tensor:
    """Squared magnitudes of `stft`, whose arguments these are: `[..., N]` -> `[..., bins, frames]`."""
    spectrum = stft(audio, window, hop=hop, padding=padding, normalized=normalized)
    return spectrum.real.square() + spectrum.imag.square()


def decibels(magnitude: Tensor, floor_db: float) -> Tensor:
    """Magnitudes in dB; what is below the floor counts as the floor."""
    return 20.0 * torch.log10(magnitude.clamp_min(10.0 ** (floor_db / 20.0)))


def log_spectrum(audio: Tensor, window: Tensor, floor_db: float = -100.0) -> Tensor:
    """Magnitudes in dB of a full-scale sine under a Hann window: `[..., N]` -> `[..., bins, frames]`."""
    return decibels(stft(audio, window).abs() / (window.shape[0] / 4), floor_db)


def log_spectral_distance(
    estimate: Tensor, target: Tensor, window: Tensor, floor_db: float = -100.0
) -> Tensor:
    """Difference of spectra in dB, root mean square over bins, mean over frames: two `[..., N]` -> `[...]`.

    Source: Gray and Markel 1976, "Distance measures for speech processing".
    """
    difference = log_spectrum(estimate, window, floor_db) - log_spectrum(target, window, floor_db)
    return difference.square().mean(-2).sqrt().mean(-1)


def mel_filters(
    sample_rate: int,
    n_fft: int,
    n_mels: int,
    low: float,
    high: float,
    *,
    mean: bool = False,
    slaney: bool = False,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Triangular filters, evenly spaced on the mel scale 2595 log10(1 + f / 700), or on Slaney's.

    Networks are trained behind these numbers: which kind they had is part of them.

    Args:
        sample_rate: Hz.
        n_fft: size of the transform, samples.
        n_mels: bands.
        low, high: where the lowest begins and the highest ends, Hz.
        mean: let each filter sum to 1, so that it gives the mean of its band whatever its width, and one
            that is narrower than the bins are apart take the nearest of them; else all have a peak of 1, and
            such a one may be empty.
        slaney: take the mel scale of Slaney's Auditory Toolbox (1998), straight up to 1 kHz and logarithmic
            above, and give all filters the area of 1 Hz, as librosa does and Whisper wants.
        dtype: what is computed in.

    Returns:
        Float32 `[n_mels, n_fft // 2 + 1]`.
    """
    limits = torch.tensor([low, high], dtype=dtype)
    ends = _slaney_mels(limits) if slaney else 2595.0 * torch.log10(1.0 + limits / 700.0)
    mels = torch.linspace(float(ends[0]), float(ends[1]), n_mels + 2).to(dtype)
    edges = _slaney_hertz(mels) if slaney else 700.0 * (10.0 ** (mels / 2595.0) - 1.0)
    bins = torch.linspace(0.0, sample_rate / 2, n_fft // 2 + 1, dtype=dtype)
    rising = (bins - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - bins) / (edges[2:] - edges[1:-1])[:, None]
    filters = torch.minimum(rising, falling).clamp_min(0.0)
    if mean:
        empty = filters.sum(1) == 0
        nearest = (bins[None] - edges[1:-1, None]).abs().argmin(1)
        filters[empty, nearest[empty]] = 1.0
        filters = filters / filters.sum(1, keepdim=True)
    if slaney:
        filters = filters * (2.0 / (edges[2:] - edges[:-2]))[:, None]
    return filters.float()


# Slaney's mel scale: mels to a Hz below 1 kHz, which are 15 mels; above, steps of a mel, nepers.
_SLANEY_SLOPE, _SLANEY_KNEE, _SLANEY_STEP = 3.0 / 200.0, 15.0, math.log(6.4) / 27.0


def _slaney_mels(hertz: Tensor) -> Tensor:
    straight = hertz * _SLANEY_SLOPE
    return torch.where(
        straight < _SLANEY_KNEE,
        straight,
        _SLANEY_KNEE + (straight.clamp_min(1e-9) / _SLANEY_KNEE).log() / _SLANEY_STEP,
    )


def _slaney_hertz(mels: Tensor) -> Tensor:
    curved = _SLANEY_KNEE * ((mels - _SLANEY_KNEE) * _SLANEY_STEP).exp()
    return torch.where(mels < _SLANEY_KNEE, mels, curved) / _SLANEY_SLOPE


class MelSpectrogram(nn.Module):
    """Mel spectrogram (magnitude) of `[..., N]` -> `[..., n_mels, frames]`.

    Args:
        n_fft: window and FFT size in samples; hop is a quarter of it.
        n_mels, sample_rate (Hz), f_min (Hz): of the filter bank, which ends at half the sample rate.
    """

    window: Tensor
    filters: Tensor

    def __init__(
        self, *, n_fft: int, n_mels: int = 64, sample_rate: int = 16000, f_min: float = 64.0
    ) -> None:
        super().__init__()
        self.n_fft = n_fft
        self.register_buffer("window", torch.hann_window(n_fft), persistent=False)
        bank = mel_filters(sample_rate, n_fft, n_mels, f_min, sample_rate / 2)
        self.register_buffer("filters", bank.T.contiguous(), persistent=False)

    def forward(self, audio: Tensor) -> Tensor:
        hop = self.n_fft // 4
        flat = audio.reshape(-1, 1, audio.shape[-1])  # [everything else, 1, N]
        padding = (self.n_fft - hop) // 2
        mode = "reflect" if flat.shape[-1] > padding else "constant"
        flat = F.pad(flat, (padding, padding + max(0, self.n_fft - 2 * padding - flat.shape[-1])), mode=mode)
        # [everything else, bins, frames]
        power = power_spectrum(flat[:, 0], self.window, padding="none", normalized=True)
        # The gradient of a magnitude is not finite at zero, where digital silence lies.
        magnitude = (power + 1e-12).sqrt()
        mel = (magnitude.transpose(1, 2) @ self.filters).transpose(1, 2)  # [everything else, n_mels, frames]
        return mel.view(*audio.shape[:-1], *mel.shape[1:])
