"""Arithmetic with codes: hear what one codebook says, by silencing it or by mixing up its order in time.

`music2latent2/latent_arithmetic.py` is the same for latents. Letters: B sounds, C channels, N samples, K
codebooks, T frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..core.errors import ArgumentError
from .frame_codec import FrameCodec


def shuffle(codes: Tensor, codebooks: Sequence[int], *, seed: int = 0) -> Tensor:
    """Put the codes of some codebooks into another order in time, the same one for all of these codebooks.

    Args:
        codes: int64 `[B, K, T]`.
        codebooks: which, 0 to K - 1.
        seed: of the order.

    Returns:
        int64 `[B, K, T]`.

    Raises:
        ArgumentError: there is no such codebook.
    """
    check_codebooks(codebooks, codes.shape[-2])
    order = torch.randperm(codes.shape[-1], generator=torch.Generator().manual_seed(seed)).to(codes.device)
    changed = codes.clone()
    for number in codebooks:
        changed[..., number, :] = codes[..., number, order]
    return changed


def can_mute(codec: FrameCodec) -> bool:
    """Whether `decode_without` takes a codec: its code vectors add up to what its decoder reads."""
    return all(hasattr(codec, name) for name in ("quantizer", "decode_latent"))


@torch.no_grad()
def decode_without(
    codec: FrameCodec, codes: Tensor, codebooks: Sequence[int], length: int | None = None
) -> Tensor:
    """Decode a residual codec's codes without the vectors of some codebooks.

    Args:
        codec: for which `can_mute` says yes.
        codes: int64 `[B, K, T]`.
        codebooks: which are silent, 0 to K - 1.
        length: samples wanted; None: all.

    Returns:
        Float32 `[B, C, N]`.

    Raises:
        ArgumentError: another kind of codec, codes that are none of its, or there is no such codebook.
    """
    if not can_mute(codec):
        raise ArgumentError(
            f"{type(codec).__name__} has no code vectors that add up; shuffle its codebooks, or use a SEANet "
            "codec, such as seanet-16khz"
        )
    codec.check_codes(codes)
    check_codebooks(codebooks, codes.shape[1])
    model: Any = codec
    latent = model.quantizer.decode(codes)  # [B, D, T], the sum over codebooks
    for number in sorted(set(codebooks)):
        # What this one adds: the sum with it less the sum without.
        latent = latent - model.quantizer.decode(codes[:, : number + 1])
        latent = latent + (model.quantizer.decode(codes[:, :number]) if number else 0.0)
    audio: Tensor = model.decode_latent(latent.to(codec.dtype)).float()
    return audio if length is None else audio[..., :length]


def check_codebooks(codebooks: Sequence[int], count: int) -> None:
    """Raise ArgumentError unless all are numbers of one of so many codebooks."""
    for number in codebooks:
        if not 0 <= number < count:
            raise ArgumentError(f"there is no codebook {number}; they are 0 to {count - 1}")
