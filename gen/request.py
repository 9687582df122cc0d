"""What a user may ask of AudioGen: checks that name value, range and fix, and what the numbers come to.

Letters: B rows (prompts x samples), K codebooks, P frames of a sound to continue, T frames in all.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .generation import Progress
from .sampling import MAX_SEED, check_number, variation_seed
from .text import check_prompts

MAX_SECONDS = 3600.0
MAX_GUIDANCE = 100.0
# Keeps 0.58 s at 50 frames a second from being 28.999 frames, which would be cut to 28.
ROUNDING = 1e-6

Prompts = str | Sequence[str]
Seeds = int | Sequence[int] | None


@dataclass(frozen=True)
class Options:
    """How to generate; see `AudioGen.generate` for each. None stands for the model's own value."""

    guidance_scale: float | None
    temperature: float
    top_k: int | None
    top_p: float
    seed: Seeds
    num_samples: int
    progress: Progress | None
    extend_stride: float | None
    reference_padding: bool


def list_prompts(prompts: Prompts) -> list[str]:
    """One prompt or several as a list.

    Raises:
        TypeError: something that is not a string.
        ValueError: no prompt at all.
    """
    texts = [prompts] if isinstance(prompts, str) else prompts
    if not isinstance(texts, Sequence):
        raise TypeError(f"prompts is {prompts!r}; it must be a string or a list of strings")
    checked = check_prompts(texts)
    if not checked:
        raise ValueError("prompts is empty; give at least one, [''] for a sound of the model's choice")
    return checked


def count_frames(duration: float, frame_rate: float) -> int:
    """Whole frames in a duration in seconds; ValueError or TypeError unless it is one frame to 3600 s."""
    hint = "seconds, at least one frame of the codec"
    seconds = check_number("duration", duration, 1.0 / frame_rate, MAX_SECONDS, hint)
    return int(seconds * frame_rate + ROUNDING)


def check_frames(frames: int, frame_rate: float) -> int:
    """Return a number of frames; TypeError or ValueError unless it is an integer of 1 to those of 3600 s."""
    if isinstance(frames, bool) or not isinstance(frames, (int, np.integer)):
        raise TypeError(f"frames is {frames!r}; it must be an integer of at least 1")
    longest = int(MAX_SECONDS * frame_rate)
    if not 1 <= frames <= longest:
        raise ValueError(f"frames is {frames}; allowed are 1 to {longest}")
    return int(frames)


def check_guidance(guidance_scale: float) -> float:
    """Return guidance as float; TypeError or ValueError unless it is a number of 0 to 100."""
    hint = "0 ignores the prompt, 1 follows it as trained"
    return check_number("guidance_scale", guidance_scale, 0.0, MAX_GUIDANCE, hint)


def plan_windows(frames: int, frame_rate: float, max_seconds: float, extend_stride: float) -> tuple[int, int]:
    """Frames of the longest window that is needed, and frames from one window to the next.

    Raises:
        TypeError, ValueError: the stride does not fit windows of `max_seconds`, and more than one is needed.
    """
    longest = int(max_seconds * frame_rate + ROUNDING)
    check_number("extend_stride", extend_stride, 0.0, MAX_SECONDS, "seconds")
    stride = int(extend_stride * frame_rate + ROUNDING)
    if frames <= longest:
        return frames, max(1, stride)
    if not 1 <= stride < longest:
        raise ValueError(
            f"extend_stride is {extend_stride} s; a sound longer than one window of {max_seconds} s needs at "
            f"least one frame ({1.0 / frame_rate} s) and less than the window"
        )
    return longest, stride


def row_seeds(seed: Seeds, prompts: int, num_samples: int) -> list[int]:
    """One seed for every row, the samples of a prompt next to each other.

    Raises:
        TypeError, ValueError: seeds that are no integers from 0 to 2^63 - 1, the wrong number of them, or
            num_samples below 1.
    """
    if isinstance(num_samples, bool) or not isinstance(num_samples, int) or num_samples < 1:
        raise ValueError(f"num_samples is {num_samples!r}; it must be an integer of at least 1")
    own: Sequence[int]
    if seed is None:
        own = [secrets.randbits(32) for _ in range(prompts)]
    elif isinstance(seed, (int, np.integer)):
        own = [int(seed) if not isinstance(seed, bool) else seed] * prompts
    elif isinstance(seed, Sequence) and not isinstance(seed, str):
        own = seed
        if len(own) != prompts:
            raise ValueError(
                f"seed has {len(own)} entries for {prompts} prompts; give one each, or one integer"
            )
    else:
        raise TypeError(f"seed is {seed!r}; it must be an integer, a list of integers or None")
    for value in own:
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
            raise TypeError(f"seed is {value!r}; it must be an integer from 0 to {MAX_SEED}")
        if not 0 <= value <= MAX_SEED:
            raise ValueError(f"seed is {value}; allowed are 0 to {MAX_SEED}")
    return [variation_seed(int(value), index) for value in own for index in range(num_samples)]


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
        raise ValueError(f"prompt_codes has shape {list(codes.shape)}; it must be [B, {num_codebooks}, P]")
    if codes.numel() and not 0 <= int(codes.min()) <= int(codes.max()) < codebook_size:
        raise ValueError(
            f"prompt_codes holds values from {int(codes.min())} to {int(codes.max())}; "
            f"allowed are 0 to {codebook_size - 1}"
        )
    return codes.long()


def spread_codes(codes: Tensor, prompts: int, num_samples: int, frames: int, frame_rate: float) -> Tensor:
    """Give every row its codes to continue: one sound for all prompts, or one for each, as `[B, K, P]`.

    Raises:
        ValueError: another number of sounds, or a sound that leaves nothing to generate.
    """
    if codes.shape[0] not in (1, prompts):
        raise ValueError(
            f"there are {codes.shape[0]} sounds to continue for {prompts} prompts; give one, or one for each"
        )
    given = codes.shape[-1]
    if given >= frames:
        raise ValueError(
            f"the sound to continue takes {given} frames ({given / frame_rate:.2f} s), but the whole result "
            f"is to have {frames} ({frames / frame_rate:.2f} s); ask for a longer duration, which counts "
            "both, or cut the sound"
        )
    return codes.expand(prompts, -1, -1).repeat_interleave(num_samples, dim=0)
