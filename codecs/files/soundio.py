"""Sound files and pipes block by block: `read_audio` and `write_audio` for sounds that do not fit in memory.

Letters: C channels, N samples.
"""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

import numpy as np
import soundfile
import torch
from torch import Tensor

from ..audio import MAX_CHANNELS, WRITE_BLOCK, WRITE_FORMATS, AudioError, check_rate
from ..filenames import native
from .places import Place, stream_name

# What is looked for in folders; any other file that libsndfile reads may be named outright.
SOUND_SUFFIXES = frozenset(
    {".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".au", ".caf", ".w64", ".rf64"}
)
# Formats whose header tells the exact number of samples.
EXACT_FORMATS = frozenset({"WAV", "WAVEX", "RF64", "W64", "AIFF", "AU", "CAF", "FLAC", "RAW"})
# Formats that libsndfile reads from a pipe; others it misreads or refuses.
PIPE_FORMATS = frozenset({"WAV", "WAVEX", "AU", "RAW"})
RAW_SUBTYPES = {
    "u8": "PCM_U8",
    "s8": "PCM_S8",
    "s16le": "PCM_16",
    "s24le": "PCM_24",
    "s32le": "PCM_32",
    "f32le": "FLOAT",
    "f64le": "DOUBLE",
}
# What a wav header says of its length when that is not known; ffmpeg and sox read and write the same.
UNKNOWN_SIZE = 0xFFFFFFFF


@dataclass(frozen=True)
class RawFormat:
    """Headerless samples.

    Attributes:
        encoding: a key of RAW_SUBTYPES, for example "s16le".
        sample_rate: Hz; used for reading only.
        channels: used for reading only.
    """

    encoding: str
    sample_rate: int = 0
    channels: int = 0

    @classmethod
    def parse(cls, text: str, *, reading: bool) -> RawFormat:
        """Read "ENCODING:RATE:CHANNELS", or "ENCODING" alone for writing, as in "s16le:44100:2".

        Raises:
            AudioError: something else.
        """
        encoding, *numbers = text.split(":")
        example = "s16le:44100:2" if reading else "s16le"
        if encoding not in RAW_SUBTYPES:
            raise AudioError(
                f"raw format {text!r}: use one of {', '.join(RAW_SUBTYPES)} as the encoding, as in {example}"
            )
        if len(numbers) != (2 if reading else 0) or not all(number.isdecimal() for number in numbers):
            wanted = "encoding, sample rate and channels" if reading else "only the encoding"
            raise AudioError(f"raw format {text!r} is not understood; give {wanted}, as in {example}")
        return cls(encoding, *map(int, numbers))


class SoundReader:
    """Reads a sound block by block; made by `open_sound`.

    Attributes:
        name: of the source, for messages.
        sample_rate: Hz.
        channels: C.
        length: N, or None where it is only known at the end (a pipe, mp3, ogg).
        pipe: whether the sound may still be on its way.
    """

    def __init__(self, file: soundfile.SoundFile, name: str, *, pipe: bool) -> None:
        self._file = file
        self.name, self.pipe = name, pipe
        self.sample_rate, self.channels = int(file.samplerate), int(file.channels)
        known = not pipe and file.format in EXACT_FORMATS
        self.length: int | None = int(file.frames) if known else None
        if not 1 <= self.channels <= MAX_CHANNELS:
            raise AudioError(f"{name} has {self.channels} channels; 1 to {MAX_CHANNELS} are allowed")
        if pipe and file.format not in PIPE_FORMATS:
            raise AudioError(
                f"{name} is a pipe with {file.format} in it; only wav, au and raw samples can be piped: "
                "convert it (ffmpeg -i FILE -f wav -), or give the file itself"
            )

    @property
    def seconds(self) -> float | None:
        """Length, as far as it is known; that of mp3 and ogg is an estimate."""
        return None if self.pipe else self._file.frames / self.sample_rate

    def count(self) -> int:
        """N: where the file does not tell, all of it is decoded; `blocks` begins at the start again.

        Raises:
            AudioError: a pipe, or a damaged file.
        """
        if self.length is not None:
            return self.length
        if self.pipe:
            raise AudioError(f"{self.name} is a pipe, whose length is not known before its end; give a file")
        count = sum(block.shape[-1] for block in self.blocks(self.sample_rate))
        self._file.seek(0)
        return count

    def blocks(self, size: int) -> Iterator[Tensor]:
        """The sound in pieces, float32 `[C, n]`, n <= size.

        Raises:
            AudioError: the file is damaged or ends before its header says.
        """
        count = 0
        try:
            while len(block := self._file.read(size, dtype="float32", always_2d=True)):
                count += len(block)
                yield torch.from_numpy(block).T
        except soundfile.SoundFileError as error:
            raise AudioError(f"{self.name} is damaged after {count} samples ({error})") from error
        if self.length is not None and count != self.length:
            raise AudioError(
                f"{self.name} is truncated: its header tells of {self.length} samples, {count} could be read"
            )


@contextmanager
def open_sound(source: Place, raw: RawFormat | None = None) -> Iterator[SoundReader]:
    """Open a sound file, or a binary stream with a sound in it, to be read in blocks.

    Args:
        source: a path; a binary stream that can seek; or a pipe with a file descriptor, with wav, au or raw
            samples in it, from which nothing has been read.
        raw: what raw samples are.

    Raises:
        FileNotFoundError, IsADirectoryError, PermissionError: as for `read_audio`.
        AudioError: no sound, or no known format.
    """
    options = {}
    if raw is not None:
        check_rate(raw.sample_rate, "the raw sample rate")
        options = {
            "samplerate": raw.sample_rate,
            "channels": max(1, raw.channels),
            "format": "RAW",
            "subtype": RAW_SUBTYPES[raw.encoding],
            "endian": "LITTLE",
        }
    name, target = _readable(source)
    try:
        file = soundfile.SoundFile(target, closefd=not isinstance(target, int), **options)
    except (soundfile.SoundFileError, TypeError, ValueError) as error:
        raise AudioError(
            f"cannot read sound from {name} ({error}); use a wav, flac, ogg or mp3 file, or convert it first"
        ) from error
    with file:
        yield SoundReader(file, name, pipe=isinstance(target, int))


def _readable(source: Place) -> tuple[str, str | bytes | int | BinaryIO]:
    """Name of a source, and what soundfile opens."""
    if isinstance(source, (str, os.PathLike)):
        path = Path(source)
        if path.is_dir():
            raise IsADirectoryError(f"{path} is a folder; give the path of one sound file")
        if not path.exists():
            raise FileNotFoundError(f"no such file: {path}; check the spelling and the current folder")
        with path.open("rb"):  # libsndfile calls a missing permission only "System error"; Python names it
            pass
        return str(path), native(path)
    name = stream_name(source)
    if source.seekable():
        return name, source
    try:
        return name, source.fileno()
    except OSError:
        raise AudioError(f"{name} can neither seek nor is it a pipe; read it into io.BytesIO first") from None


class SoundWriter(Protocol):
    """Takes a sound block by block; samples beyond -1 to 1 are clipped, so put a `Limiter` before it."""

    def write(self, samples: Tensor) -> None:
        """Write samples `[C, N]`."""


class FileWriter:
    """Writes a sound file, in the format of a suffix; see `write_audio` for the formats.

    Args:
        path: the file to write.
        suffix: ".wav", ".flac", ".ogg" or ".mp3".
        sample_rate: Hz.
        channels: C.
        shown: path for messages.
    """

    def __init__(self, path: Path, suffix: str, *, sample_rate: int, channels: int, shown: Path) -> None:
        self._shown = shown
        container, subtype = WRITE_FORMATS[suffix]
        try:
            self._file = soundfile.SoundFile(
                native(path), "w", sample_rate, channels, subtype, format=container
            )
        except (soundfile.SoundFileError, OverflowError) as error:
            raise AudioError(
                f"{suffix} cannot hold {channels} channels at {sample_rate} Hz ({shown}); use .wav, or "
                "another sample rate (mp3: 1 or 2 channels, 8000 to 48000 Hz)"
            ) from error

    def write(self, samples: Tensor) -> None:
        frames = _within(samples)
        for start in range(0, len(frames), WRITE_BLOCK):
            try:
                self._file.write(frames[start : start + WRITE_BLOCK])
            except (
                soundfile.SoundFileError,
                AssertionError,
            ) as error:  # soundfile asserts that all was written
                raise OSError(f"cannot write {self._shown}: is the disk full? ({error})") from error

    def close(self) -> None:
        """Finish the file."""
        self._file.close()


class PipeWriter:
    """Writes 16 bit wav, or raw samples, to a stream that cannot seek, and pushes every block on at once.

    Args:
        stream: binary, for example `sys.stdout.buffer`.
        sample_rate: Hz.
        channels: C.
        length: N; None while unknown, which the header then says as other programs do.
        raw: write samples without a header.
    """

    def __init__(
        self,
        stream: BinaryIO,
        *,
        sample_rate: int,
        channels: int,
        length: int | None,
        raw: RawFormat | None = None,
    ) -> None:
        self._stream = stream
        self._subtype = "PCM_16" if raw is None else RAW_SUBTYPES[raw.encoding]
        if raw is None:
            stream.write(wav_header(sample_rate, channels, length))

    def write(self, samples: Tensor) -> None:
        self._stream.write(to_pcm(samples, self._subtype))
        self._stream.flush()


def to_pcm(samples: Tensor, subtype: str = "PCM_16") -> bytes:
    """Samples `[C, N]` without a header, interleaved and little-endian, to the bit as files hold them.

    Args:
        samples: float; what is beyond -1 to 1 is clipped.
        subtype: a value of RAW_SUBTYPES.
    """
    buffer = io.BytesIO()
    # By the library that writes files: it has its own way of rounding.
    soundfile.write(buffer, _within(samples), 1, subtype=subtype, endian="LITTLE", format="RAW")
    return buffer.getvalue()


def wav_header(sample_rate: int, channels: int, length: int | None) -> bytes:
    """The first 44 bytes of a 16 bit wav of `length` samples; None, or more than fit: no length."""
    frame = 2 * channels
    size = UNKNOWN_SIZE if length is None or 36 + length * frame >= UNKNOWN_SIZE else length * frame
    total = UNKNOWN_SIZE if size == UNKNOWN_SIZE else 36 + size
    layout = struct.pack("<IHHIIHH", 16, 1, channels, sample_rate, sample_rate * frame, frame, 16)
    return b"RIFF" + struct.pack("<I", total) + b"WAVEfmt " + layout + b"data" + struct.pack("<I", size)


def _within(samples: Tensor) -> np.ndarray:
    """Samples `[C, N]` as frames `[N, C]` within -1 to 1."""
    frames: np.ndarray = samples.clamp(-1.0, 1.0).T.contiguous().numpy()
    return frames
