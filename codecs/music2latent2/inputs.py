"""What a model takes: checks of sounds, latents, codes and seeds, each with an error that names the fix.

Letters: B sounds, C channels, N samples, T chunks of S latents of D channels, K = S codes per chunk.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence

import torch
from torch import Tensor

from .bottleneck import FSQ, Tanh
from .config import Music2Latent2Config


def check_audio(audio: Tensor, channels: int) -> None:
    """Raise ValueError unless audio is float `[B, C, N]` with N >= 1 and finite samples."""
    if not isinstance(audio, Tensor) or not audio.is_floating_point():
        kind = audio.dtype if isinstance(audio, Tensor) else type(audio).__name__
        raise ValueError(
            f"audio is {kind}; a float tensor is wanted: codec.prepare(audio, sample_rate) converts it"
        )
    if audio.ndim != 3 or audio.shape[1] != channels or audio.numel() == 0:
        raise ValueError(
            f"audio has shape {list(audio.shape)}; [B, {channels}, N] with N >= 1 is wanted: "
            "codec.prepare(audio, sample_rate) resamples and mixes"
        )
    if not torch.isfinite(audio).all():
        raise ValueError("audio has NaN or infinite samples; replace them, for example by torch.nan_to_num")


def to_latents(codes: Tensor, config: Music2Latent2Config, bottleneck: FSQ | Tanh) -> Tensor:
    """Latents float32 `[B, T, S, D]` of codes, integer `[B, K, T]`; latents are checked and pass.

    Raises:
        ValueError: another shape or type, values out of range.
    """
    if not isinstance(codes, Tensor) or codes.dtype == torch.bool or codes.is_complex():
        kind = codes.dtype if isinstance(codes, Tensor) else type(codes).__name__
        raise ValueError(f"the input is {kind}; give a tensor of codes (int64) or of latents (float32)")
    count = config.num_latents
    if codes.is_floating_point():
        wanted = [count, config.latent_dim]
        if codes.ndim != 4 or list(codes.shape[2:]) != wanted or codes.numel() == 0:
            raise ValueError(
                f"latents have shape {list(codes.shape)}; [B, T, {wanted[0]}, {wanted[1]}] is wanted"
            )
        if not torch.isfinite(codes).all():
            raise ValueError("latents have NaN or infinite values; check what made them")
        return codes.float()
    if not isinstance(bottleneck, FSQ):
        raise ValueError(f"the input is {codes.dtype}, but this model has no codes; give float latents")
    if codes.ndim != 3 or codes.shape[1] != count or codes.numel() == 0:
        raise ValueError(f"codes have shape {list(codes.shape)}; [B, {count}, T] is wanted")
    if codes.min() < 0 or codes.max() >= config.codebook_size:
        raise ValueError(
            f"codes span {int(codes.min())} to {int(codes.max())}; allowed: 0 to {config.codebook_size - 1}"
        )
    return bottleneck.from_indices(codes.transpose(1, 2))


def to_generators(seed: int | Sequence[int], batch: int) -> list[torch.Generator]:
    """A generator for each item of a batch: all of one seed, or each of its own.

    Raises:
        ValueError: as many seeds as items are wanted, or whole numbers.
    """
    seeds = list(seed) if isinstance(seed, Sequence) else [seed] * batch
    if len(seeds) != batch:
        raise ValueError(f"{len(seeds)} seeds for a batch of {batch}; give one number, or one for each item")
    try:
        return [torch.Generator().manual_seed(operator.index(value)) for value in seeds]
    except (TypeError, RuntimeError, ValueError) as error:
        raise ValueError(f"seed is {seed!r}; a whole number below 2 ** 63 is wanted") from error
