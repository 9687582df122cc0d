"""The modified discrete cosine transform, as a front end for SEANet.

A plain SEANet learns its filter bank from the waveform, which takes a large GPU days. Over MDCT coefficients
the network starts with frequencies already apart and runs at the transform's low frame rate: on a CPU it
learns about ten times as much a minute. The transform is exact (time-domain aliasing cancels between
neighbouring frames).

Source: Princen and Bradley, "Analysis/synthesis filter bank design based on time domain aliasing
cancellation" (1986); sine window.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class MDCT(nn.Module):
    """Waveform `[B, 1, N]` <-> `hop` coefficients per frame of `hop` new samples; orthonormal.

    Frame t reaches over samples `(t - 1) * hop .. (t + 1) * hop`: it looks at no sample after its own block.

    Args:
        hop: M, samples per frame and coefficients per frame.
    """

    cosine: Tensor
    sine: Tensor

    def __init__(self, hop: int) -> None:
        super().__init__()
        self.hop = hop
        n = torch.arange(2 * hop, dtype=torch.float64)
        k = torch.arange(hop, dtype=torch.float64)
        window = torch.sin(math.pi / (2 * hop) * (n + 0.5))
        phase = math.pi / hop * (n[:, None] + 0.5 + hop / 2) * (k[None] + 0.5)
        scale = math.sqrt(2 / hop) * window[:, None]
        self.register_buffer("cosine", (scale * phase.cos()).float(), persistent=False)
        self.register_buffer("sine", (scale * phase.sin()).float(), persistent=False)

    def _frames(self, audio: Tensor) -> Tensor:
        padded = F.pad(audio[:, 0], (self.hop, -audio.shape[-1] % self.hop))
        return padded.unfold(1, 2 * self.hop, self.hop)

    def forward(self, audio: Tensor) -> Tensor:
        """Coefficients `[B, M, T]`, T = ceil(N / M)."""
        return (self._frames(audio) @ self.cosine).transpose(1, 2)

    def features(self, audio: Tensor) -> Tensor:
        """What the encoder sees, `[B, 3 M, T]`: log magnitude and both quadratures, magnitude compressed."""
        frames = self._frames(audio)
        real, imaginary = frames @ self.cosine, frames @ self.sine
        magnitude = (real.square() + imaginary.square() + 1e-8).sqrt()
        root = magnitude.sqrt()
        parts = [0.5 * (torch.log10(magnitude + 1e-3) + 2), real / root, imaginary / root]
        return torch.cat(parts, dim=-1).transpose(1, 2)

    def log_magnitude(self, audio: Tensor, floor: float = 1e-3) -> Tensor:
        """Natural logarithm of each coefficient's expected size whatever its phase, `[B, M, T]`."""
        frames = self._frames(audio)
        power = (frames @ self.cosine).square() + (frames @ self.sine).square()
        return torch.log((0.5 * power).sqrt() + floor).transpose(1, 2)

    def inverse(self, coefficients: Tensor) -> Tensor:
        """Waveform `[B, 1, (T - 1) * M]`: the first T - 1 blocks, which have both of their frames."""
        halves = coefficients.transpose(1, 2) @ self.cosine.t()
        blocks = halves[:, :-1, self.hop :] + halves[:, 1:, : self.hop]
        return blocks.flatten(1).unsqueeze(1)


class NoiseFill(nn.Module):
    """Turns what the decoder says about each coefficient into the coefficient.

    The decoder gives a log magnitude `a` and a signed signal-to-noise ratio `s`; the coefficient is
    `exp(a) * (s + n) / sqrt(1 + s^2)` with fixed noise n of unit variance. What the codes can't describe,
    such as the phases of rain, becomes noise of the right strength; what they can becomes exact. (Compare
    perceptual noise substitution in MPEG-4 AAC.) The noise depends on the place in the sound alone, so the
    same codes always give the same sound, streamed or not.

    Args:
        hop: coefficients per frame.
        period: frames after which the noise repeats.
    """

    noise: Tensor

    def __init__(self, hop: int, period: int = 997) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(997)
        self.register_buffer("noise", torch.randn(hop, period, generator=generator), persistent=False)

    def forward(self, described: Tensor, first_frame: int = 0) -> tuple[Tensor, Tensor]:
        """`[B, 2 M, T]` -> coefficients and log magnitudes `[B, M, T]`; `first_frame` places the noise."""
        log_magnitude, signal = described.float().chunk(2, dim=1)
        log_magnitude = log_magnitude.clamp(-12.0, 5.0)
        frames = torch.arange(first_frame, first_frame + described.shape[-1], device=described.device)
        noise = self.noise[:, frames % self.noise.shape[1]]
        return log_magnitude.exp() * (signal + noise) * torch.rsqrt(1 + signal.square()), log_magnitude
