"""The short-time Fourier transform of SEANet's spectral codecs, and its overlap-add.

Letters: B sounds, N samples, T frames.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ShortTimeSpectrum(nn.Module):
    """Waveform `[B, 1, N]` <-> complex spectrum `[B, bins, T]`, T = ceil(N / hop), Hann windows of 4 hops.

    Frame t is centred on the middle of the block `t * hop .. (t + 1) * hop` and its phases are those at its
    centre. White noise of deviation 1 has bins of mean square 1. The bin at half the sample rate is left out.

    Args:
        hop: samples from frame to frame; a multiple of 2.
    """

    window: Tensor

    def __init__(self, hop: int) -> None:
        super().__init__()
        if hop < 2 or hop % 2:
            raise ValueError(f"hop is {hop}; it must be an even number of samples, 2 or more")
        self.hop = hop
        self.size = 4 * hop
        self.bins = 2 * hop
        self.before = 3 * hop // 2  # samples of a frame before its block
        self.after = self.size - hop - self.before  # and after it
        self.register_buffer("window", torch.hann_window(self.size), persistent=False)

    def forward(self, audio: Tensor) -> Tensor:
        padded = F.pad(audio[:, 0], (self.before, -audio.shape[-1] % self.hop + self.after))
        return self.frames(padded)

    def frames(self, samples: Tensor) -> Tensor:
        """Spectrum of every whole window in samples `[B, N]`, one each hop."""
        blocks = samples.unfold(1, self.size, self.hop) * self.window  # [B, T, size]
        centred = torch.fft.rfft(blocks.roll(self.size // 2, dims=-1))[
            ..., : self.bins
        ]  # [B, T, bins], phases at the window's middle
        # [B, T, bins] -> [B, bins, T]
        return centred.transpose(1, 2) / self.window.square().sum().sqrt()

    def windowed(self, spectrum: Tensor) -> Tensor:
        """Frames back in time, windowed again: complex `[B, bins, T]` -> `[B, T, size]`."""
        # [B, bins, T] -> [B, T, bins + 1]: the bin at half the sample rate is zero
        scaled = F.pad(spectrum.transpose(1, 2) * self.window.square().sum().sqrt(), (0, 1))
        return torch.fft.irfft(scaled, n=self.size).roll(self.size // 2, dims=-1) * self.window

    def inverse(self, spectrum: Tensor) -> Tensor:
        """The sound whose spectrum is nearest to a complex `[B, bins, T]`: `[B, T * hop]`; differentiable."""
        frames, count = self.windowed(spectrum), spectrum.shape[-1]
        weights = overlap_add(self.window.square().expand(1, count, -1), self.hop).clamp_min(1e-4)
        sound = overlap_add(frames, self.hop) / weights
        return sound[:, self.before : self.before + count * self.hop]


def overlap_add(frames: Tensor, hop: int) -> Tensor:
    """Sum of frames `[B, T, 4 * hop]` laid `hop` apart: `[B, (T + 3) * hop]`.

    Every sample adds its frames from the oldest to the newest, so that a stream gives the very same sums.
    """
    # [B, T, 4 * hop] -> [B, T, 4, hop]
    quarters = frames.unflatten(2, (4, hop))
    total = frames.new_zeros(frames.shape[0], frames.shape[1] + 3, hop)
    for i in reversed(range(4)):
        total[:, i : i + frames.shape[1]] += quarters[:, :, i]
    return total.flatten(1)  # [B, (T + 3) * hop]
