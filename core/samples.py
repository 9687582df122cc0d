"""Samples of sound as tensors: number types, checks, channels, root mean square.

Letters: C channels, N samples. Samples are float32, full scale is -1 to 1.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from .errors import SoundloomError

MAX_CHANNELS = 64
# Float samples beyond are not on the scale -1 to 1: 40 dB too much, or whole numbers only.
MAX_PEAK = 100.0
WHOLE_PEAK = 2.0
CHECK_BLOCK = 1 << 20

# Value of zero and of full scale for the integer types that hold sound.
INTEGER_RANGES = {
    torch.uint8: (128.0, 128.0),
    torch.int16: (0.0, 32768.0),
    torch.int32: (0.0, 2147483648.0),
}


class AudioError(SoundloomError, ValueError):
    """Audio that cannot be read, written or used; the message names what is wrong and the fix."""


class TruncatedAudioError(AudioError):
    """A sound file that breaks off early: its header tells of more than is there."""


def check_rate(rate: int, name: str = "sample_rate") -> int:
    """Return a sample rate as a plain int; `AudioError` unless it is a whole number of at least 1 Hz."""
    whole = isinstance(rate, (int, np.integer)) and not isinstance(rate, bool)
    if not whole and isinstance(rate, (float, np.floating)):
        whole = float(rate).is_integer()
    if not whole or rate < 1:
        raise AudioError(f"{name} is {rate!r}; it must be a whole number of at least 1 Hz, for example 16000")
    return int(rate)


def as_samples(samples: Tensor | np.ndarray) -> Tensor:
    """Turn sound held in any usual number type into a float32 tensor of the same shape.

    Integer types are scaled to full scale 1: uint8 (128 is silence), int16 and int32. Floats only change
    type. Float32 tensors come back as they are, without a copy.

    Raises:
        AudioError: a number type that holds no sound (int64, bool, complex).
    """
    if isinstance(samples, np.ndarray):
        if samples.dtype.kind not in "fiu":
            raise AudioError(f"samples are {samples.dtype}; use float32, float64, int16, int32 or uint8")
        # A native, contiguous, writable copy: torch takes no other byte order and no negative strides.
        samples = np.array(samples, dtype=samples.dtype.newbyteorder("="), order="C")
        if samples.dtype.kind == "f":
            samples = samples.astype(np.float32, copy=False)
        samples = torch.from_numpy(samples)
    if not isinstance(samples, Tensor):
        raise TypeError(f"samples are {type(samples).__name__}; use a torch.Tensor or a numpy array")
    if samples.is_floating_point():
        return samples.to(torch.float32)
    if samples.dtype not in INTEGER_RANGES:
        raise AudioError(f"samples are {samples.dtype}; use float32, float64, int16, int32 or uint8")
    zero, full = INTEGER_RANGES[samples.dtype]
    return (samples.to(torch.float32) - zero) / full  # powers of two: as exact as by way of float64


def check_finite(samples: Tensor, source: str = "the audio") -> None:
    """Raise `AudioError` when a sample is NaN or infinite."""
    bad = int((~torch.isfinite(samples)).sum())
    if bad:
        raise AudioError(
            f"{source} holds {bad} NaN or infinite samples; replace them, for example with torch.nan_to_num"
        )


def check_sound(samples: Tensor, source: str = "the audio") -> None:
    """Raise `AudioError` unless float samples `[..., N]` can be sound on the scale -1 to 1.

    Refused are NaN and infinite samples, and samples on the scale of integers: those beyond MAX_PEAK, and
    whole numbers beyond WHOLE_PEAK, as they come from `wav.astype("float32")`.
    """
    peak, whole = 0.0, True
    for block in samples.detach().split(CHECK_BLOCK, dim=-1) if samples.ndim else ():
        if not block.numel():
            continue
        low, high = (float(value) for value in torch.aminmax(block))
        if not (math.isfinite(low) and math.isfinite(high)):
            check_finite(samples, source)
        peak = max(peak, -low, high)
        whole = whole and bool((block == block.round()).all())
    if peak > MAX_PEAK or (whole and peak > WHOLE_PEAK):
        bits = next((bits for bits in (16, 24, 32) if peak <= 2.0 ** (bits - 1)), None)
        fix = f"divide by {2 ** (bits - 1)}.0 (the scale of int{bits})" if bits else "scale them"
        raise AudioError(
            f"{source} has samples up to {peak:g}, but full scale is 1: {fix}, or give integers as integers "
            "(int16, int32), which are scaled"
        )


def check_axes(samples: Tensor) -> None:
    """Raise `AudioError` unless `[..., C, N]` has a number of channels that sound has, C before N."""
    channels, length = samples.shape[-2:]
    if not 1 <= channels <= MAX_CHANNELS or (channels > 2 and 0 < length < channels):
        raise AudioError(
            f"samples of shape {list(samples.shape)} would be {channels} channels of {length} samples; "
            f"channels come first, 1 to {MAX_CHANNELS} of them: transpose [N, C] audio (samples.T)"
        )


def mix(samples: Tensor | np.ndarray, channels: int) -> Tensor:
    """Change the number of channels.

    To 1 channel: the mean of all. To 2: one channel is doubled; more than two become their mean, doubled.
    The same number: unchanged.

    Args:
        samples: `[..., C, N]`.
        channels: channels wanted.

    Returns:
        Float32 `[..., channels, N]`.

    Raises:
        AudioError: no channel axis, no channels, or a change with no rule above.
    """
    samples = as_samples(samples)
    if samples.ndim < 2 or samples.shape[-2] == 0:
        raise AudioError(
            f"mix wants samples of shape [..., C, N] with at least 1 channel, not {list(samples.shape)}"
        )
    present = samples.shape[-2]
    if channels == present:
        return samples
    if channels not in (1, 2):
        raise AudioError(f"cannot mix {present} channels to {channels}; mix to 1 or 2, or keep {present}")
    mono = samples.mean(dim=-2, keepdim=True) if present > 1 else samples
    return mono.repeat_interleave(channels, dim=-2) if channels > 1 else mono


def rms_db(samples: Tensor | np.ndarray) -> Tensor:
    """Loudness of each row as root mean square in dB relative to full scale: `[..., N]` -> `[...]`.

    Silence gives minus infinity.
    """
    return 10.0 * torch.log10(as_samples(samples).square().mean(dim=-1))


def normalize_rms(samples: Tensor | np.ndarray, db: float) -> Tensor:
    """Scale each row `[..., N]` to a root mean square of `db` dB; silent rows stay silent."""
    samples = as_samples(samples)
    rms = samples.square().mean(dim=-1, keepdim=True).sqrt()
    scale = torch.where(rms > 0, 10.0 ** (db / 20.0) / rms.clamp_min(torch.finfo(torch.float32).tiny), 0.0)
    return samples * scale
