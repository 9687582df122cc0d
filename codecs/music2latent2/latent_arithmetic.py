"""Arithmetic with latents: what lies between two sounds, parts of one in another, the mean of several.

Latents are `[..., S, D]` in -1 to 1, as `Music2Latent2.encode(..., discrete=False)` gives them. They are the
tanh of what the encoder says; between two of them means before it, where equal steps are equal changes.

Letters: B sounds, T chunks of S latents (summary embeddings) of D channels.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ...core.errors import ArgumentError

# The largest modulus below 1 that float32 has.
_LARGEST = 1 - 2**-24


def interpolate(a: Tensor, b: Tensor, t: float | Tensor) -> Tensor:
    """What lies between the latents of two sounds.

    Args:
        a, b: of the same shape `[B, T, S, D]`.
        t: 0 gives a, 1 gives b; or a tensor `[T]`, one for each chunk: `torch.linspace(0, 1, T)` turns a into
            b on the way.

    Returns:
        Float32 `[B, T, S, D]`.

    Raises:
        ArgumentError: other shapes, or numbers of chunks and of values of t.
    """
    _check_alike(a, b)
    place = torch.as_tensor(t, dtype=torch.float32, device=a.device)
    if place.ndim == 1:
        if a.ndim != 4 or len(place) != a.shape[1]:
            raise ArgumentError(
                f"t has {len(place)} values for latents {list(a.shape)}; give one number, or one for each "
                "chunk"
            )
        place = place[:, None, None]  # [T] -> [T, 1, 1]
    elif place.ndim:
        raise ArgumentError(f"t has shape {list(place.shape)}; give one number, or one for each chunk")
    return torch.lerp(_raw(a), _raw(b), place.expand(a.shape)).tanh()


def swap(a: Tensor, b: Tensor, embeddings: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Exchange some summary embeddings of every chunk between two sounds.

    Args:
        a, b: latents of the same shape `[..., S, D]`.
        embeddings: which, 0 to S - 1.

    Returns:
        a with those embeddings of b, and b with those of a.

    Raises:
        ArgumentError: other shapes, or there is no such embedding.
    """
    _check_alike(a, b)
    for number in embeddings:
        if not 0 <= number < a.shape[-2]:
            raise ArgumentError(f"there is no embedding {number}; they are 0 to {a.shape[-2] - 1}")
    chosen = torch.zeros(a.shape[-2], 1, dtype=torch.bool, device=a.device)
    chosen[list(embeddings)] = True
    return torch.where(chosen, b, a), torch.where(chosen, a, b)


def average(latents: Sequence[Tensor], weights: Sequence[float] | None = None) -> Tensor:
    """The mean of the latents of several sounds.

    Args:
        latents: one or more of the same shape `[..., S, D]`.
        weights: how much each counts; None: all alike.

    Returns:
        Float32, of that shape.

    Raises:
        ArgumentError: nothing to average, other shapes, or not a weight of 0 or more for each.
    """
    if not latents:
        raise ArgumentError("there are no latents to average; give at least one tensor")
    for other in latents[1:]:
        _check_alike(latents[0], other)
    shares = [1.0] * len(latents) if weights is None else list(weights)
    if len(shares) != len(latents) or min(shares) < 0 or sum(shares) <= 0:
        raise ArgumentError(
            f"weights are {shares} for {len(latents)} tensors; give each a number of 0 or more, not all 0"
        )
    raw = sum(share * _raw(one) for share, one in zip(shares, latents, strict=True))
    return torch.tanh(torch.as_tensor(raw) / sum(shares))


def _raw(latents: Tensor) -> Tensor:
    """Latents before the tanh."""
    return latents.float().clamp(-_LARGEST, _LARGEST).atanh()


def _check_alike(a: Tensor, b: Tensor) -> None:
    if a.shape != b.shape or a.ndim < 2 or not (a.is_floating_point() and b.is_floating_point()):
        raise ArgumentError(
            f"latents {a.dtype} {list(a.shape)} and {b.dtype} {list(b.shape)} do not go together; give float "
            "latents [B, T, S, D] of sounds of the same length, from encode(…, discrete=False)"
        )
