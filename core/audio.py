"""Sound in and out: read and write files, resample, mix channels, measure loudness.

Letters: B sounds in a batch, C channels, N samples. Samples are float32, full scale is -1 to 1.
"""

from __future__ import annotations

import io
import logging
import math
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
import soundfile
import soxr
import torch
from torch import Tensor

from .atomic import atomic_write
from .errors import SoundloomError
from .limiter import limit

if TYPE_CHECKING:
    from .sound_reader import SoundSource

logger = logging.getLogger(__name__)

# What counts as a sound in folders, for all commands, and is read; any other file may be named outright.
SOUND_SUFFIXES = (
    *(".wav", ".flac", ".ogg", ".mp3", ".opus", ".oga", ".aiff", ".aif", ".aifc", ".au", ".snd", ".caf"),
    *(".w64", ".rf64", ".mp2"),
)
# Sounds that libsndfile has no decoder for: found in folders too, to be said that they need converting.
UNDECODED_SUFFIXES = (".m4a", ".aac", ".wma", ".webm", ".mka", ".amr", ".ape", ".wv")
# What is written for each file suffix: libsndfile's major format and its encoding of the samples.
WRITE_FORMATS = {
    ".wav": ("WAV", "PCM_16"),
    ".flac": ("FLAC", "PCM_16"),
    ".ogg": ("OGG", "VORBIS"),
    ".mp3": ("MP3", "MPEG_LAYER_III"),
}
# libsndfile's Vorbis encoder puts a whole write on its stack and crashes on long ones, so write in blocks.
WRITE_BLOCK = 65536
MAX_CHANNELS = 64
# Float samples beyond are not on the scale -1 to 1: 40 dB too much, or whole numbers only.
MAX_PEAK = 100.0
WHOLE_PEAK = 2.0
CHECK_BLOCK = 1 << 20
# soxr needs minutes and gigabytes for filters between rates that are farther apart.
MAX_RATIO = 256

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


@dataclass(eq=False)
class Audio:
    """A batch of sounds of one length and one sample rate.

    Attributes:
        samples: float32 `[B, C, N]`.
        sample_rate: Hz.
    """

    samples: Tensor
    sample_rate: int

    def __post_init__(self) -> None:
        self.samples = as_samples(self.samples)
        if self.samples.ndim != 3:
            raise AudioError(
                f"Audio wants samples of shape [B, C, N], not {list(self.samples.shape)}; "
                "add the missing axes with samples.reshape(1, channels, -1)"
            )
        self.sample_rate = check_rate(self.sample_rate)

    @property
    def duration(self) -> float:
        """Length of each sound in seconds."""
        return self.samples.shape[-1] / self.sample_rate

    def at_loudness(self, lufs: float) -> Self:
        """The same sounds, each at an integrated loudness (ITU-R BS.1770) of `lufs` LUFS, within full scale.

        Where a limiter has to take peaks down for that, the loudness is less. Silence stays silent.

        Raises:
            ValueError: a loudness outside -70 to 0 LUFS.
        """
        from .loudness import normalize_loudness

        return replace(self, samples=normalize_loudness(self.samples, self.sample_rate, lufs))

    def save(self, path: str | os.PathLike[str], index: int = 0, force: bool = False) -> Path:
        """Write one sound of the batch to a file; see `write_audio` for formats and errors."""
        count = self.samples.shape[0]
        if not -count <= index < count:
            raise IndexError(f"index {index} is outside this batch of {count} sounds; use 0 to {count - 1}")
        return write_audio(path, self.samples[index], self.sample_rate, force=force)


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


def read_audio(source: SoundSource, *, allow_truncated: bool = False) -> tuple[Tensor, int]:
    """Read a sound file: wav, flac, ogg, mp3 and whatever else libsndfile knows, told by content.

    Args:
        source: the path of a file, its bytes, or a binary stream with them.
        allow_truncated: take what is there of a file that breaks off early, with a warning.

    Returns:
        Samples float32 `[C, N]` and the sample rate in Hz, both as they are in the file.

    Raises:
        FileNotFoundError: there is no such file.
        IsADirectoryError: the path is a folder.
        PermissionError: the file may not be read.
        TruncatedAudioError: its header tells of more sound than is there, and `allow_truncated` is off.
        AudioError: no sound, no known format, a damaged one, 0 samples, NaN or infinite samples, or samples
            on the scale of integers.
    """
    from .sound_reader import open_sound  # which uses this module

    with open_sound(source, allow_truncated=allow_truncated) as sound:
        samples = sound.read()
        if samples.shape[-1] == 0:
            raise AudioError(f"{sound.name} holds 0 samples; use a file that is not empty")
        check_sound(samples, sound.name)
        return samples, sound.sample_rate


def write_audio(
    path: str | os.PathLike[str],
    samples: Tensor | np.ndarray,
    sample_rate: int,
    *,
    force: bool = False,
) -> Path:
    """Write one sound in the format of the file's suffix: .wav and .flac (16 bit), .ogg (Vorbis) or .mp3.

    The file appears complete or not at all: it is written beside its place under another name, then moved.
    A sound with samples beyond -1 to 1, which the format would clip, is limited, with a warning.

    Args:
        path: the file; its folder must exist.
        samples: `[C, N]` or `[N]`, any type that `as_samples` takes.
        sample_rate: Hz.
        force: replace an existing file.

    Returns:
        The path written.

    Raises:
        FileExistsError: the file exists and `force` is off.
        FileNotFoundError: its folder does not exist.
        AudioError: unknown suffix, wrong shape, 0 samples, NaN or infinite samples, or a channel count or
            sample rate that the format cannot hold.
    """
    path = Path(path)
    check_destination(path, force=force)
    samples = as_samples(samples).detach().cpu()
    if samples.ndim == 1:
        samples = samples.unsqueeze(0)
    if samples.ndim != 2:
        raise AudioError(
            f"cannot write samples of shape {list(samples.shape)} to {path}; "
            f"use [N] or [C, N] with 1 to {MAX_CHANNELS} channels (channels first)"
        )
    if samples.shape[-1] == 0:
        raise AudioError(f"cannot write {path}: there are 0 samples; give at least 1")
    check_axes(samples)
    check_finite(samples, f"the sound for {path}")
    peak = float(samples.abs().max())
    sample_rate = check_rate(sample_rate)
    if peak > 1.0:
        logger.warning("%s: the loudest sample is %.3f, beyond 1; the sound was limited to fit", path, peak)
        samples = limit(samples, sample_rate)
    encoded = _encode(path, samples, sample_rate)

    with atomic_write(path) as file:
        file.write(encoded)
    return path


def check_destination(path: str | os.PathLike[str], *, force: bool = False) -> None:
    """Raise now what `write_audio` would raise later about a path: worth asking before a long computation.

    Raises:
        AudioError: unknown suffix.
        IsADirectoryError: the path is a folder.
        FileExistsError: the file exists and `force` is off.
        FileNotFoundError: its folder does not exist.
    """
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder; give a file name, for example {path / 'sound.wav'}")
    if path.suffix.lower() not in WRITE_FORMATS:
        raise AudioError(
            f"unknown sound file suffix {path.suffix!r} in {path}; use one of {', '.join(WRITE_FORMATS)}"
        )
    if not path.parent.is_dir():
        raise FileNotFoundError(
            f"the folder {path.parent} does not exist; create it first (mkdir -p {path.parent})"
        )
    if path.exists() and not force:
        raise FileExistsError(
            f"{path} already exists; choose another name, or allow overwriting with force (--force)"
        )


def _encode(path: Path, samples: Tensor, sample_rate: int) -> bytes:
    """Encode `[C, N]` within -1 to 1 as the bytes of a file of the path's suffix."""
    container, subtype = WRITE_FORMATS[path.suffix.lower()]
    channels = samples.shape[0]
    frames = samples.T.contiguous().numpy()
    # Encoding in memory keeps a full disk an ordinary OSError of the one write that follows.
    buffer = io.BytesIO()
    try:
        with soundfile.SoundFile(buffer, "w", sample_rate, channels, subtype, format=container) as file:
            for start in range(0, len(frames), WRITE_BLOCK):
                file.write(frames[start : start + WRITE_BLOCK])
    except (soundfile.SoundFileError, OverflowError) as error:
        raise AudioError(
            f"{path.suffix} cannot hold {channels} channels at {sample_rate} Hz ({path}); "
            "use .wav, or resample and mix the sound first (mp3: 1 or 2 channels, 8000 to 48000 Hz)"
        ) from error
    return buffer.getvalue()


def resampled_length(length: int, from_rate: int, to_rate: int) -> int:
    """Number of samples that `resample` returns: `ceil(length * to_rate / from_rate)`."""
    return -(-length * to_rate // from_rate)


def check_ratio(from_rate: int, to_rate: int) -> None:
    """Raise `AudioError` for rates that are too far apart to resample."""
    if not 1 / MAX_RATIO <= to_rate / from_rate <= MAX_RATIO:
        raise AudioError(
            f"cannot resample {from_rate} to {to_rate} Hz; rates may differ by a factor of {MAX_RATIO}"
        )


def resample(samples: Tensor | np.ndarray, from_rate: int, to_rate: int) -> Tensor:
    """Change the sample rate along the last axis with soxr's very high quality filter.

    Args:
        samples: `[..., N]`.
        from_rate: Hz, the rate of `samples`.
        to_rate: Hz, the rate wanted.

    Returns:
        Float32 `[..., ceil(N * to_rate / from_rate)]` on the same device, without gradient. Past the end
        counts as silence. Rounding up means that going to another rate and back never loses a sample.
        Equal rates return the samples unchanged.

    Raises:
        AudioError: a rate that is not a whole number of at least 1 Hz, or rates that are too far apart.
    """
    samples = as_samples(samples)
    from_rate, to_rate = check_rate(from_rate, "from_rate"), check_rate(to_rate, "to_rate")
    if from_rate == to_rate:
        return samples
    check_ratio(from_rate, to_rate)
    if samples.ndim == 0:
        raise AudioError("resample wants samples of shape [..., N], not a single number")
    length = resampled_length(samples.shape[-1], from_rate, to_rate)
    rows = (
        samples.detach().cpu().reshape(-1, samples.shape[-1]) if samples.numel() else samples.new_empty(0, 0)
    )
    result = np.zeros((rows.shape[0], length), dtype=np.float32)
    # soxr rounds the length down or to nearest; a little silence at the end lets it reach the rounded-up one.
    silence = np.zeros(from_rate // to_rate + 2, dtype=np.float32)
    for row, source in zip(result, rows.numpy(), strict=True):
        made = soxr.resample(np.concatenate([source, silence]), from_rate, to_rate, quality="VHQ")
        row[:] = made[:length]
    return torch.from_numpy(result).reshape(*samples.shape[:-1], length).to(samples.device)


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
