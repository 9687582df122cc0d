"""Read and write sound files; and by this one name, what else a sound needs: resample, mix, checks.

Letters: B sounds in a batch, C channels, N samples. Samples are float32, full scale is -1 to 1.
"""

from __future__ import annotations

import io
import logging
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np
import soundfile
from torch import Tensor

from .atomic import atomic_write
from .files import SoundSource, check_file_destination
from .limiter import limit
from .loudness import normalize_loudness
from .resampler import check_ratio, resample, resampled_length
from .samples import (
    MAX_CHANNELS,
    AudioError,
    TruncatedAudioError,
    as_samples,
    check_axes,
    check_finite,
    check_rate,
    check_sound,
    mix,
    normalize_rms,
    rms_db,
)
from .sound_reader import open_sound
from .sound_tags import Tags, clean_tags, put_tags, tagged

__all__ = [
    "MAX_CHANNELS",
    "SOUND_SUFFIXES",
    "SUBTYPES",
    "UNDECODED_SUFFIXES",
    "WRITE_BLOCK",
    "WRITE_FORMATS",
    "Audio",
    "AudioError",
    "TruncatedAudioError",
    "as_samples",
    "check_axes",
    "check_destination",
    "check_finite",
    "check_rate",
    "check_ratio",
    "check_sound",
    "check_subtype",
    "mix",
    "normalize_rms",
    "read_audio",
    "resample",
    "resampled_length",
    "rms_db",
    "write_audio",
]

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
# Other encodings that may be asked for, in libsndfile's words.
SUBTYPES = {
    ".wav": ("PCM_16", "PCM_24", "PCM_32", "FLOAT"),
    ".flac": ("PCM_16", "PCM_24"),
    ".ogg": ("VORBIS",),
    ".mp3": ("MPEG_LAYER_III",),
}
# libsndfile's Vorbis encoder puts a whole write on its stack and crashes on long ones, so write in blocks.
WRITE_BLOCK = 65536


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
        return replace(self, samples=normalize_loudness(self.samples, self.sample_rate, lufs))

    def resampled(self, sample_rate: int) -> Self:
        """The same sounds at another sample rate in Hz, within full scale; see `resample`."""
        samples = resample(self.samples, self.sample_rate, sample_rate)
        return replace(self, samples=limit(samples, sample_rate), sample_rate=sample_rate)

    def save(
        self,
        path: str | os.PathLike[str],
        index: int = 0,
        force: bool = False,
        *,
        subtype: str | None = None,
        tags: Tags | None = None,
    ) -> Path:
        """Write one sound of the batch to a file; see `write_audio` for formats, tags and errors."""
        return write_audio(
            path, self.row(index), self.sample_rate, force=force, subtype=subtype, tags=tags or {}
        )

    def row(self, index: int) -> Tensor:
        """Samples `[C, N]` of one sound of the batch; IndexError if there is none."""
        count = self.samples.shape[0]
        if not -count <= index < count:
            raise IndexError(f"index {index} is outside this batch of {count} sounds; use 0 to {count - 1}")
        return self.samples[index]


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
    subtype: str | None = None,
    tags: Tags | None = None,
) -> Path:
    """Write one sound in the format of the file's suffix: .wav and .flac (16 bit), .ogg (Vorbis) or .mp3.

    The file appears complete or not at all: it is written beside its place under another name, then moved.
    A sound with samples beyond -1 to 1, which the format would clip, is limited, with a warning; FLOAT holds
    them as they are.

    Args:
        path: the file; its folder must exist.
        samples: `[C, N]` or `[N]`, any type that `as_samples` takes.
        sample_rate: Hz.
        force: replace an existing file.
        subtype: another encoding of the samples, one of `SUBTYPES`: "PCM_24", "FLOAT".
        tags: title, artist, comment and so on, see `core.sound_tags`.

    Returns:
        The path written.

    Raises:
        FileExistsError: the file exists and `force` is off.
        FileNotFoundError: its folder does not exist.
        AudioError: unknown suffix or subtype, wrong shape, 0 samples, NaN or infinite samples, or a channel
            count or sample rate that the format cannot hold.
    """
    path = Path(path)
    check_destination(path, force=force, subtype=subtype)
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
    if peak > 1.0 and subtype != "FLOAT":
        logger.warning("%s: the loudest sample is %.3f, beyond 1; the sound was limited to fit", path, peak)
        samples = limit(samples, sample_rate)
    encoded = _encode(path, samples, sample_rate, subtype, clean_tags(tags or {}, str(path)))

    with atomic_write(path) as file:
        file.write(encoded)
    return path


def check_destination(
    path: str | os.PathLike[str], *, force: bool = False, subtype: str | None = None
) -> None:
    """Raise now what `write_audio` would raise later about a path: worth asking before a long computation.

    Raises:
        AudioError: unknown suffix, or a subtype that the format does not have.
        OSError: as of `check_file_destination`.
    """
    path = Path(path)
    if path.suffix.lower() not in WRITE_FORMATS and not path.is_dir():
        raise AudioError(
            f"unknown sound file suffix {path.suffix!r} in {path}; use one of {', '.join(WRITE_FORMATS)}"
        )
    check_file_destination(path, force=force, example="sound.wav")
    check_subtype(path.suffix.lower(), subtype)


def check_subtype(suffix: str, subtype: str | None) -> str:
    """The encoding of samples in files of a suffix, given or its own; AudioError for one that they lack."""
    if subtype is not None and subtype not in SUBTYPES[suffix]:
        others = [name for name, subtypes in SUBTYPES.items() if subtype in subtypes]
        fix = f"; {', '.join(others)} files have it" if others else ""
        raise AudioError(
            f"subtype {subtype!r}: {suffix} files have {' or '.join(SUBTYPES[suffix])} here{fix}"
        )
    return subtype or WRITE_FORMATS[suffix][1]


def _encode(path: Path, samples: Tensor, sample_rate: int, subtype: str | None, tags: Tags) -> bytes:
    """Encode `[C, N]`, within -1 to 1 but for FLOAT, as the bytes of a file of the path's suffix."""
    suffix = path.suffix.lower()
    container, subtype = WRITE_FORMATS[suffix][0], check_subtype(suffix, subtype)
    channels = samples.shape[0]
    frames = samples.T.contiguous().numpy()
    # Encoding in memory keeps a full disk an ordinary OSError of the one write that follows.
    buffer = io.BytesIO()
    try:
        with soundfile.SoundFile(buffer, "w", sample_rate, channels, subtype, format=container) as file:
            put_tags(file, tags)
            for start in range(0, len(frames), WRITE_BLOCK):
                file.write(frames[start : start + WRITE_BLOCK])
    except (soundfile.SoundFileError, OverflowError) as error:
        raise AudioError(
            f"{path.suffix} cannot hold {channels} channels at {sample_rate} Hz ({path}); "
            "use .wav, or resample and mix the sound first (mp3: 1 or 2 channels, 8000 to 48000 Hz)"
        ) from error
    return tagged(buffer.getvalue(), suffix, tags)
