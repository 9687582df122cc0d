"""What a user may ask of AudioGen: checks that name value, range and fix, and what the numbers come to.

Letters: B rows (prompts x samples), K codebooks, P frames of a sound to continue, T frames in all.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ..core.audio import Audio, read_audio
from ..core.errors import ArgumentError
from .generation import Schedule
from .sampling import MAX_SEED, check_number, variation_seed
from .text.encoder import check_prompts

MAX_SECONDS = 3600.0
MAX_GUIDANCE = 100.0
# Keeps 0.58 s at 50 frames a second from being 28.999 frames, which would be cut to 28.
ROUNDING = 1e-6

Prompts = str | Sequence[str]
Seeds = int | Sequence[int] | None
# One number, (start, end) to move between evenly, or a function of the place in the sound (0 to 1).
Guidance = float | tuple[float, float] | Schedule


# A file, an Audio, or samples [N], [C, N] or [B, C, N] with their sample rate in Hz.
AudioSource = str | os.PathLike[str] | Audio | tuple[Tensor | np.ndarray, int]


def list_prompts(prompts: Prompts, name: str = "prompts") -> list[str]:
    """One prompt or several as a list; `name` is what messages call them.

    Raises:
        TypeError: something that is not a string.
        ValueError: no prompt at all.
    """
    texts = [prompts] if isinstance(prompts, str) else prompts
    if not isinstance(texts, Sequence):
        raise TypeError(f"{name} is {prompts!r}; it must be a string or a list of strings")
    checked = check_prompts(texts)
    if not checked:
        raise ArgumentError(f"{name} is empty; give at least one, [''] for a sound of the model's choice")
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
        raise ArgumentError(f"frames is {frames}; allowed are 1 to {longest}")
    return int(frames)


def check_guidance(guidance_scale: Guidance, *, negative: bool = False) -> float | Schedule:
    """Return guidance as a number or as a function of the place in the sound whose results are checked.

    Args:
        guidance_scale: a number, a pair or a function; see `AudioGen.generate`.
        negative: whether there is a negative prompt, which takes a number above 1.

    Raises:
        TypeError, ValueError: it is, or its start or end is, no number of 0 to 100; what a function gives is
            checked when it is called.
    """
    if callable(guidance_scale):
        schedule: Schedule = guidance_scale
        return lambda place: _check_scale(schedule(place), f"guidance_scale({place:.3f})")
    if isinstance(guidance_scale, (tuple, list)):
        if len(guidance_scale) != 2:
            raise ArgumentError(
                f"guidance_scale is {guidance_scale!r}; a pair is its value at the start and at the end"
            )
        start, end = (_check_scale(value) for value in guidance_scale)
        if start != end:
            return lambda place: start + (end - start) * place
        guidance_scale = start
    scale = _check_scale(guidance_scale)
    if negative and scale <= 1.0:
        raise ArgumentError(
            f"guidance_scale is {scale}; a negative prompt needs more than 1, because guidance is what leads "
            "away from it"
        )
    return scale


def _check_scale(value: float, name: str = "guidance_scale") -> float:
    return check_number(name, value, 0.0, MAX_GUIDANCE, "0 ignores the prompt, 1 follows it as trained")


def list_negatives(negative_prompt: Prompts | None, prompts: int) -> list[str]:
    """The negative prompt of every prompt, or an empty list when there is none at all.

    Raises:
        TypeError: something that is not a string.
        ValueError: neither one for all prompts nor one for each.
    """
    if negative_prompt is None:
        return []
    texts = list_prompts(negative_prompt, "negative_prompt")
    if len(texts) not in (1, prompts):
        raise ArgumentError(
            f"negative_prompt has {len(texts)} entries for {prompts} prompts; give one, or one for each"
        )
    texts = texts * prompts if len(texts) == 1 else texts
    return texts if any(text.strip() for text in texts) else []


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
        raise ArgumentError(
            f"extend_stride is {extend_stride} s; a sound longer than one window of {max_seconds} s needs at "
            f"least one frame ({1.0 / frame_rate} s) and less than the window"
        )
    return longest, stride


def plan_chunks(first_seconds: float, seconds: float, frame_rate: float) -> tuple[int, int]:
    """Whole frames of a stream's first chunk and of the others; TypeError or ValueError if out of range."""
    hint = "seconds, at least one frame of the codec"
    first, size = (
        int(check_number(name, value, 1.0 / frame_rate, MAX_SECONDS, hint) * frame_rate + ROUNDING)
        for name, value in (("first_chunk_seconds", first_seconds), ("chunk_seconds", seconds))
    )
    return min(first, size), size


def check_count(name: str, count: int) -> int:
    """Return a count; ValueError unless it is an integer of at least 1."""
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise ArgumentError(f"{name} is {count!r}; it must be an integer of at least 1")
    return count


def row_seeds(seed: Seeds, prompts: int, num_samples: int) -> list[int]:
    """One seed for every row, the samples of a prompt next to each other.

    Raises:
        TypeError, ValueError: seeds that are no integers from 0 to 2^63 - 1, the wrong number of them, or
            num_samples below 1.
    """
    check_count("num_samples", num_samples)
    own: Sequence[int]
    if seed is None:
        own = [secrets.randbits(32) for _ in range(prompts)]
    elif isinstance(seed, (int, np.integer)):
        own = [int(seed) if not isinstance(seed, bool) else seed] * prompts
    elif isinstance(seed, Sequence) and not isinstance(seed, str):
        own = seed
        if len(own) != prompts:
            raise ArgumentError(
                f"seed has {len(own)} entries for {prompts} prompts; give one each, or one integer"
            )
    else:
        raise TypeError(f"seed is {seed!r}; it must be an integer, a list of integers or None")
    for value in own:
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
            raise TypeError(f"seed is {value!r}; it must be an integer from 0 to {MAX_SEED}")
        if not 0 <= value <= MAX_SEED:
            raise ArgumentError(f"seed is {value}; allowed are 0 to {MAX_SEED}")
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
        raise ArgumentError(f"prompt_codes has shape {list(codes.shape)}; it must be [B, {num_codebooks}, P]")
    if codes.numel() and not 0 <= int(codes.min()) <= int(codes.max()) < codebook_size:
        raise ArgumentError(
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
        raise ArgumentError(
            f"there are {codes.shape[0]} sounds to continue for {prompts} prompts; give one, or one for each"
        )
    given = codes.shape[-1]
    if given >= frames:
        raise ArgumentError(
            f"the sound to continue takes {given} frames ({given / frame_rate:.2f} s), but the whole result "
            f"is to have {frames} ({frames / frame_rate:.2f} s); ask for a longer duration, which counts "
            "both, or cut the sound"
        )
    return codes.expand(prompts, -1, -1).repeat_interleave(num_samples, dim=0)


def read_source(source: AudioSource) -> tuple[Tensor | np.ndarray, int]:
    """Samples and sample rate in Hz of a sound to continue; TypeError if it is none."""
    if isinstance(source, Audio):
        return source.samples, source.sample_rate
    if isinstance(source, (str, os.PathLike)):
        return read_audio(source)
    if isinstance(source, tuple) and len(source) == 2:
        return source
    raise TypeError(
        f"continue_from is a {type(source).__name__}; give a path, an Audio or (samples, sample_rate)"
    )
