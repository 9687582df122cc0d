"""The bottleneck: a tanh, or finite scalar quantization (FSQ).

Latents are `[..., D]` with values in -1 to 1. Sources: Music2Latent (arXiv 2408.06500) for the tanh; FSQ
(Mentzer et al. 2023, arXiv 2309.15505) and CoDiCodec (arXiv 2509.09836), which trains one model for
continuous and discrete latents by FSQ-dropout.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

# Scale that makes atanh(latent) roughly a unit Gaussian (CoDiCodec).
GAUSSIAN_SCALE = 0.8


class Tanh(nn.Module):
    """Continuous latents only."""

    def forward(self, raw: Tensor, dropout: float = 1.0) -> Tensor:
        """Bound `raw [..., D]`; `dropout` is FSQ's and has no meaning here."""
        return torch.tanh(raw)


class FSQ(nn.Module):
    """Every channel is bounded to its number of levels and rounded; a latent's digits make one index.

    Args:
        levels: levels of every channel.
        margin: the bound stops this share short of the outermost levels' far edge.
    """

    def __init__(self, levels: Sequence[int], *, margin: float = 1e-3) -> None:
        super().__init__()
        self.levels = tuple(int(level) for level in levels)
        self.reach = [(level - 1) * (1 - margin) / 2 for level in self.levels]
        self.offset = [0.0 if level % 2 else 0.5 for level in self.levels]
        # tan, where Mentzer et al. write atanh: so it is in the published model; the two agree for odd
        # levels.
        self.shift = [math.tan(o / h) for o, h in zip(self.offset, self.reach, strict=True)]
        self.steps = [level // 2 for level in self.levels]
        self.basis = [math.prod(self.levels[:i]) for i in range(len(self.levels))]

    def bound(self, raw: Tensor) -> Tensor:
        """Continuous latents `[..., D]` in -1 to 1, not rounded."""
        half, offset, shift = (
            raw.new_tensor(self.reach),
            raw.new_tensor(self.offset),
            raw.new_tensor(self.shift),
        )
        return (torch.tanh(raw + shift) * half - offset) / raw.new_tensor(self.steps)

    def quantize(self, latents: Tensor) -> Tensor:
        """The nearest code of every latent `[..., D]`; the gradient passes straight through."""
        steps = latents.new_tensor(self.steps)
        return latents + ((latents * steps).round() / steps - latents).detach()

    def forward(self, raw: Tensor, dropout: float = 1.0) -> Tensor:
        """Bound `raw [B, ..., D]` and round it, except in a random share `dropout` of the batch's items.

        The default, 1, gives continuous latents; 0 gives codes.
        """
        latents = self.bound(raw)
        if dropout >= 1:
            return latents
        quantized = self.quantize(latents)
        if dropout <= 0:
            return quantized
        keep = torch.rand(len(raw), *[1] * (raw.ndim - 1), device=raw.device) < dropout
        return torch.where(keep, latents, quantized)

    def to_indices(self, latents: Tensor) -> Tensor:
        """Index of the nearest code: `[..., D]` -> int64 `[...]`."""
        steps = torch.tensor(self.steps, device=latents.device)
        digits = (latents.float() * steps).round().long() + steps  # [..., D]
        return (digits * torch.tensor(self.basis, device=latents.device)).sum(-1)

    def from_indices(self, indices: Tensor) -> Tensor:
        """Code of every index: int `[...]` -> float32 `[..., D]`."""
        basis = torch.tensor(self.basis, device=indices.device)
        levels = torch.tensor(self.levels, device=indices.device)
        steps = torch.tensor(self.steps, device=indices.device)
        digits = indices.unsqueeze(-1) // basis % levels  # [..., D]
        return (digits - steps).float() / steps


def to_gaussian(latents: Tensor, channels: int | None = None) -> Tensor:
    """Latents as a generative model likes them: roughly unit Gaussian, regrouped in order of the summary.

    Args:
        latents: `[B, T, S, D]` in -1 to 1.
        channels: values per vector of the result, D when None; must divide `S * D`.

    Returns:
        `[B, T, S * D / channels, channels]`.

    Raises:
        ValueError: `channels` does not divide a chunk's values.
    """
    values = latents.shape[-2] * latents.shape[-1]
    channels = channels or latents.shape[-1]
    if values % channels:
        raise ValueError(f"channels is {channels}; it must divide the {values} values of a chunk")
    bound = 1 - torch.finfo(torch.float32).eps
    # [B, T, S, D] -> [B, T, S * D] -> [B, T, V, channels]
    grouped = latents.float().flatten(-2).unflatten(-1, (-1, channels))
    return torch.atanh(grouped.clamp(-bound, bound)) / GAUSSIAN_SCALE


def from_gaussian(vectors: Tensor, latent_dim: int) -> Tensor:
    """Undo `to_gaussian`: `[B, T, V, channels]` -> latents `[B, T, S, latent_dim]`, float32."""
    values = vectors.shape[-2] * vectors.shape[-1]
    if values % latent_dim:
        raise ValueError(f"a chunk has {values} values, which latent_dim {latent_dim} does not divide")
    # [B, T, V, channels] -> [B, T, S * D] -> [B, T, S, D]
    return torch.tanh(GAUSSIAN_SCALE * vectors.float()).flatten(-2).unflatten(-1, (-1, latent_dim))
