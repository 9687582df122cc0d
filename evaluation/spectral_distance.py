"""How far a reconstruction is from its original: distances of spectra, and SI-SDR.

Letters: B sounds, C channels, N samples. Every metric takes `update(estimate [B, C, N], target [B, C, N])`
and gives the mean over all sounds it has seen; a channel counts as much as any other.
"""

from __future__ import annotations

import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torchmetrics import Metric
from torchmetrics.audio import ScaleInvariantSignalDistortionRatio as SISDR
from torchmetrics.functional.audio import scale_invariant_signal_distortion_ratio

from ..core.audio import AudioError, as_samples, check_finite, check_rate
from ..core.spectra import MelSpectrogram, decibels, log_spectral_distance

__all__ = [
    "SISDR",
    "LogSpectralDistance",
    "MultiResolutionMelDistance",
    "align",
    "check_pair",
    "reconstruction_metrics",
    "si_sdr",
]

MIN_RATE = 8000  # below, the bands of the shortest windows hold no bin
# Spectra of hours do not fit into memory: longer sounds are measured in pieces of so many samples.
PIECE = 2**20


def check_pair(estimate: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Return two sounds to compare as float32 `[B, C, N]`; missing leading axes are added.

    Raises:
        AudioError: other axes, another length or number of channels or sounds, no samples, NaN or infinite
            samples. Nothing is cut or padded here: what to do about another length is the caller's choice.
    """
    estimate, target = as_samples(estimate), as_samples(target)
    shapes = f"the estimate has shape {list(estimate.shape)}, the target {list(target.shape)}"
    if not 1 <= estimate.ndim == target.ndim <= 3:
        raise AudioError(f"{shapes}; both must be [N], [C, N] or [B, C, N]")
    if estimate.shape != target.shape:
        if estimate.shape[-1] != target.shape[-1]:
            fix = (
                "they must have the same length: cut the longer one, after checking that both start together"
            )
        else:
            fix = "they must have the same number of sounds and channels: mix both to one channel"
        raise AudioError(f"{shapes}; {fix}")
    if target.numel() == 0:
        raise AudioError(f"{shapes}; give at least 1 sample")
    check_finite(estimate, "the estimate")
    check_finite(target, "the target")
    shape = (1,) * (3 - target.ndim) + tuple(target.shape)
    return estimate.reshape(shape), target.reshape(shape)


def scaled(size: int, sample_rate: int) -> int:
    """Samples that last as long as `size` at 16 kHz; at other rates to the nearest power of two of it."""
    octaves = round(math.log2(sample_rate / 16000))
    return size << octaves if octaves >= 0 else size >> -octaves


class Float64Metric(Metric):
    """A metric that sums in float64, or in float32 once it is moved to a device without (Apple's MPS)."""

    def _apply(self, fn: Callable[[Tensor], Tensor], exclude_state: Sequence[str] = "") -> nn.Module:
        try:
            fn(torch.zeros((), dtype=torch.float64))
        except (TypeError, RuntimeError):
            for name, start in self._defaults.items():
                if isinstance(start, Tensor) and start.dtype == torch.float64:
                    self._defaults[name] = start.float()
                    setattr(self, name, getattr(self, name).float())
        return super()._apply(fn, exclude_state)


class SpectralDistance(Float64Metric, ABC):
    """Mean over sounds of a distance in dB that subclasses define for pieces of sound."""

    is_differentiable = False
    higher_is_better = False
    full_state_update = False
    total: Tensor
    count: Tensor

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_state("total", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    @abstractmethod
    def distance(self, estimate: Tensor, target: Tensor) -> Tensor:
        """Distance in dB of each sound: two `[B, C, N]` -> `[B]`."""

    @torch.no_grad()
    def update(self, estimate: Tensor, target: Tensor) -> None:
        """Take in sounds, two `[B, C, N]` (or `[C, N]`, or `[N]`); see `check_pair` for the errors."""
        estimate, target = check_pair(estimate, target)
        length = target.shape[-1]
        for start, stop in _pieces(length):
            distances = self.distance(estimate[..., start:stop], target[..., start:stop])
            self.total += distances.to(self.total).sum() * ((stop - start) / length)
        self.count += target.shape[0]

    def compute(self) -> Tensor:
        """Mean distance in dB; NaN before anything was taken in."""
        return self.total / self.count


def _pieces(length: int) -> Iterator[tuple[int, int]]:
    """Cut a length into equal parts of at most `PIECE` samples."""
    parts = math.ceil(length / PIECE)
    edges = [length * i // parts for i in range(parts + 1)]
    yield from itertools.pairwise(edges)


class MultiResolutionMelDistance(SpectralDistance):
    """Mean absolute difference of mel spectrograms in dB, over six window lengths. 0 is perfect.

    Windows are 4, 8, 16, 32, 64 and 128 ms at 16 kHz with 8, 16, 32, 64, 64 and 64 bands from 64 Hz up, as
    the training loss of the SEANet codec has them; at other rates they are the powers of two nearest to those
    times. The idea is the multi-scale mel loss of Kumar et al. 2023 ("High-Fidelity Audio Compression with
    Improved RVQGAN", section 3.5), here as a mean and in dB.

    Args:
        sample_rate: Hz of the audio, at least 8000.
        floor_db: dB relative to a sine of full scale; whatever lies below counts as this.
        kwargs: of torchmetrics.Metric.

    Raises:
        AudioError: no such sample rate.
    """

    def __init__(self, sample_rate: int, *, floor_db: float = -80.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.sample_rate = check_rate(sample_rate)
        if self.sample_rate < MIN_RATE:
            raise AudioError(f"sample_rate is {sample_rate}; a mel distance needs at least {MIN_RATE} Hz")
        self.floor_db = floor_db
        self.scales = nn.ModuleList(
            MelSpectrogram(
                n_fft=scaled(2**exponent, self.sample_rate),
                n_mels=min(64, 2 ** (exponent - 3)),
                sample_rate=self.sample_rate,
            )
            for exponent in range(6, 12)
        )

    def distance(self, estimate: Tensor, target: Tensor) -> Tensor:
        total = torch.zeros(target.shape[0], device=target.device)
        for scale in self.scales:
            assert isinstance(scale, MelSpectrogram)
            full_scale = math.sqrt(scale.n_fft) / 4  # what a sine of amplitude 1 gives in its bin
            a, b = (decibels(scale(x) / full_scale, self.floor_db) for x in (estimate, target))
            total += (a - b).abs().mean(dim=(1, 2, 3))
        return total / len(self.scales)


class LogSpectralDistance(SpectralDistance):
    """Root mean square difference over frequency of spectra in dB, mean over time. 0 is perfect.

    Source: Gray and Markel 1976, "Distance measures for speech processing".

    Args:
        n_fft: samples of the Hann window; the hop is a quarter of it.
        floor_db: dB relative to a sine of full scale; whatever lies below counts as this.
        kwargs: of torchmetrics.Metric.
    """

    window: Tensor

    def __init__(self, *, n_fft: int = 2048, floor_db: float = -100.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if n_fft < 4:
            raise ValueError(f"n_fft is {n_fft}; at least 4 samples, usually 2048")
        self.n_fft, self.floor_db = n_fft, floor_db
        self.register_buffer("window", torch.hann_window(n_fft), persistent=False)

    def distance(self, estimate: Tensor, target: Tensor) -> Tensor:
        return log_spectral_distance(estimate, target, self.window, self.floor_db).mean(dim=1)


def si_sdr(estimate: Tensor, target: Tensor) -> Tensor:
    """Scale-invariant signal-to-distortion ratio in dB of each sound, by torchmetrics: `[B, C, N]` -> `[B]`.

    The mean over channels. NaN where every channel is silent in the one or the other: no scale fits then.
    """
    estimate, target = check_pair(estimate, target)
    ratios = scale_invariant_signal_distortion_ratio(estimate, target)
    heard = estimate.any(dim=-1) & target.any(dim=-1)
    return torch.where(heard, ratios, torch.nan).nanmean(dim=-1)


def reconstruction_metrics(estimate: Tensor, target: Tensor, sample_rate: int) -> dict[str, float]:
    """Measure one reconstruction, or the mean of a batch of them.

    Args:
        estimate: `[N]`, `[C, N]` or `[B, C, N]`.
        target: the originals, of the same shape.
        sample_rate: Hz of both.

    Returns:
        "mel_distance" and "log_spectral_distance" in dB, 0 is perfect; "si_sdr" in dB, higher is better, NaN
        where it is undefined because one side is silent.

    Raises:
        AudioError: shapes that differ, no samples, NaN or infinite samples, a sample rate below 8000 Hz.
    """
    estimate, target = check_pair(estimate, target)
    mel, spectral = MultiResolutionMelDistance(sample_rate).to(target.device), LogSpectralDistance()
    mel.update(estimate, target)
    spectral.to(target.device).update(estimate, target)
    return {
        "mel_distance": float(mel.compute()),
        "log_spectral_distance": float(spectral.compute()),
        "si_sdr": float(si_sdr(estimate, target).nanmean()),
    }


def align(estimate: Tensor, target: Tensor, sample_rate: int, *, max_seconds: float = 0.00025) -> Tensor:
    """Shift a reconstruction by the fraction of a sample, or the few samples, that it is late or early.

    Some codecs return sound a little late: Opus by up to two samples of its 48 kHz clock. No one hears that,
    but SI-SDR falls by 10 dB. The shift is the one with the largest correlation, in steps of 1/8 sample.

    Args:
        estimate: `[C, N]`.
        target: the original, of the same shape.
        sample_rate: Hz.
        max_seconds: largest shift that is tried, either way.

    Returns:
        The estimate, shifted; the same tensor where no shift is best.

    Raises:
        AudioError: as of `check_pair`.
    """
    a, b = (x[0] for x in check_pair(estimate, target))
    length, reach = a.shape[-1], 64  # the correlation is interpolated from lags up to so far beyond
    largest = max_seconds * check_rate(sample_rate)
    size = 2 ** math.ceil(math.log2(length + math.ceil(largest) + reach + 1))
    spectrum = torch.fft.rfft(a, size)
    correlation = torch.fft.irfft((spectrum * torch.fft.rfft(b, size).conj()).sum(0), size)
    steps = math.floor(largest * 8)
    lags = torch.arange(-steps, steps + 1, device=a.device) / 8
    near = torch.arange(-reach - math.ceil(largest), reach + math.ceil(largest) + 1, device=a.device)
    distance = lags[:, None] - near
    weight = torch.sinc(distance) * torch.cos(torch.pi / 2 * (distance / (reach + 1)).clamp(-1, 1)) ** 2
    at_lag = weight @ correlation[near % size]
    lag = float(lags[at_lag.argmax()])
    if lag == 0 or at_lag.max() <= at_lag[steps] * (1 + 1e-6):
        return estimate
    turn = torch.exp(2j * torch.pi * lag * torch.fft.rfftfreq(size, device=a.device))
    return torch.fft.irfft(spectrum * turn, size)[:, :length].reshape(estimate.shape)
