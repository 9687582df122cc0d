"""Audio continuation: read, encode and check the sound or codes that a generation continues.

Letters: B sounds, C channels, N samples, K codebooks, P frames of the sound to continue.
"""

from __future__ import annotations

import os

import numpy as np
import torch
from torch import Tensor

from ..codecs.base import Codec
from ..core.audio import Audio, read_audio
from ..core.errors import ArgumentError
from ..core.samples import check_rate
from .model.lm import AudioLM

# A file, an Audio, or samples [N], [C, N] or [B, C, N] with their sample rate in Hz.
AudioSource = str | os.PathLike[str] | Audio | tuple[Tensor | np.ndarray, int]


def read_source(source: AudioSource, name: str = "continue_from") -> tuple[Tensor | np.ndarray, int]:
    """Samples and sample rate in Hz of a sound; TypeError if it is none, which `name` is called.

    Raises:
        AudioError: the rate is no whole number of at least 1 Hz; or as `read_audio`.
    """
    if isinstance(source, Audio):
        return source.samples, source.sample_rate
    if isinstance(source, (str, os.PathLike)):
        return read_audio(source)
    if isinstance(source, tuple) and len(source) == 2:
        return source[0], check_rate(source[1])
    raise TypeError(f"{name} is a {type(source).__name__}; give a path, an Audio or (samples, sample_rate)")


def encode_source(source: AudioSource | None, codec: Codec, lm: AudioLM) -> Tensor | None:
    """Codes int64 `[B, K, P]` of a sound to continue, those that the language model knows; None for None."""
    if source is None:
        return None
    audio = codec.prepare(*read_source(source))  # [B, C, N] at the codec's rate
    return codec.encode(audio.to(lm.device))[:, : lm.num_codebooks]


def check_codes(codes: Tensor, num_codebooks: int, codebook_size: int) -> Tensor:
    """Codes to continue, `[K, P]` or `[B, K, P]` of any integer type, as int64 `[B, K, P]`.

    Raises:
        TypeError: no integer tensor.
        ValueError: another shape, or values that are no codes.
    """
    if not isinstance(codes, Tensor) or codes.is_floating_point() or codes.dtype == torch.bool:
        raise TypeError("prompt_codes must be an integer tensor of shape [B, K, P]")
    codes = codes.unsqueeze(0) if codes.ndim == 2 else codes
    if codes.ndim != 3 or codes.shape[1] != num_codebooks:
        raise ArgumentError(f"prompt_codes has shape {list(codes.shape)}; it must be [B, {num_codebooks}, P]")
    if codes.numel() and not 0 <= int(codes.min()) <= int(codes.max()) < codebook_size:
        raise ArgumentError(
            f"prompt_codes holds values from {int(codes.min())} to {int(codes.max())}; "
            f"allowed are 0 to {codebook_size - 1}"
        )
    return codes.long()


def repeat_codes(codes: Tensor, prompts: int, num_samples: int, frames: int, frame_rate: float) -> Tensor:
    """Give every row its codes to continue: one sound for all prompts, or one for each.

    Args:
        codes: int64 `[1, K, P]` or `[prompts, K, P]`.
        prompts: number of prompts.
        num_samples: rows of each prompt.
        frames: T, of the whole result.
        frame_rate: of the codec in Hz.

    Returns:
        int64 `[prompts * num_samples, K, P]`.

    Raises:
        ValueError: another number of sounds, or a sound that leaves nothing to generate.
    """
    if codes.shape[0] not in (1, prompts):
        raise ArgumentError(
            f"there are {codes.shape[0]} sounds to continue for {prompts} prompts; give one, or one for each"
        )
    known = codes.shape[-1]
    if known >= frames:
        raise ArgumentError(
            f"the sound to continue takes {known} frames ({known / frame_rate:.2f} s), but the whole result "
            f"is to have {frames} ({frames / frame_rate:.2f} s); ask for a longer duration, which counts "
            "both, or cut the sound"
        )
    return codes.expand(prompts, -1, -1).repeat_interleave(num_samples, dim=0)
