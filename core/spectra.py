"""Mel filters: a spectrum's bins summed into bands that are as wide as the ear hears them."""

from __future__ import annotations

import torch
from torch import Tensor


def mel_filters(
    sample_rate: int,
    n_fft: int,
    n_mels: int,
    low: float,
    high: float,
    *,
    mean: bool = False,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Triangular filters, evenly spaced on the mel scale 2595 log10(1 + f / 700).

    Networks are trained behind these numbers: which kind they had is part of them.

    Args:
        sample_rate: Hz.
        n_fft: size of the transform, samples.
        n_mels: bands.
        low, high: where the lowest begins and the highest ends, Hz.
        mean: let each filter sum to 1, so that it gives the mean of its band whatever its width, and one
            that is narrower than the bins are apart take the nearest of them; else all have a peak of 1, and
            such a one may be empty.
        dtype: what is computed in.

    Returns:
        Float32 `[n_mels, n_fft // 2 + 1]`.
    """
    ends = 2595.0 * torch.log10(1.0 + torch.tensor([low, high], dtype=dtype) / 700.0)
    mels = torch.linspace(float(ends[0]), float(ends[1]), n_mels + 2).to(dtype)
    edges = 700.0 * (10.0 ** (mels / 2595.0) - 1.0)
    bins = torch.linspace(0.0, sample_rate / 2, n_fft // 2 + 1, dtype=dtype)
    rising = (bins - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - bins) / (edges[2:] - edges[1:-1])[:, None]
    filters = torch.minimum(rising, falling).clamp_min(0.0)
    if mean:
        empty = filters.sum(1) == 0
        nearest = (bins[None] - edges[1:-1, None]).abs().argmin(1)
        filters[empty, nearest[empty]] = 1.0
        filters = filters / filters.sum(1, keepdim=True)
    return filters.float()
