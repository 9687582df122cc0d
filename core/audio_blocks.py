"""Write sound files and pipes block by block: `write_audio` for sounds that do not fit in memory.

Letters: C channels, N samples.
"""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import BinaryIO, Protocol

import numpy as np
import soundfile
from torch import Tensor

from .audio import WRITE_BLOCK, WRITE_FORMATS, AudioError, check_subtype
from .filenames import native
from .raw_format import RAW_SUBTYPES, RawFormat
from .sound_tags import Tags, clean_tags, info_chunk, put_tags, tag_file

# What a wav header says of its length when that is not known; ffmpeg and sox read and write the same.
UNKNOWN_SIZE = 0xFFFFFFFF
# Of the encodings of a piped wav: whether samples are floats, and bytes of each.
WAV_SAMPLES = {"PCM_16": (False, 2), "PCM_24": (False, 3), "PCM_32": (False, 4), "FLOAT": (True, 4)}


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
        subtype: encoding of the samples, see `write_audio`; None: the format's.
        tags: see `write_audio`.
    """

    def __init__(
        self,
        path: Path,
        suffix: str,
        *,
        sample_rate: int,
        channels: int,
        shown: Path,
        subtype: str | None = None,
        tags: Tags | None = None,
    ) -> None:
        self._path, self._suffix, self._shown = path, suffix, shown
        self._tags = clean_tags(tags or {}, str(shown))
        container, subtype = WRITE_FORMATS[suffix][0], check_subtype(suffix, subtype)
        try:
            self._file = soundfile.SoundFile(
                native(path), "w", sample_rate, channels, subtype, format=container
            )
        except (soundfile.SoundFileError, OverflowError) as error:
            raise AudioError(
                f"{suffix} cannot hold {channels} channels at {sample_rate} Hz ({shown}); use .wav, or "
                "another sample rate (mp3: 1 or 2 channels, 8000 to 48000 Hz)"
            ) from error
        put_tags(self._file, self._tags)

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
        with self._path.open("r+b") as file:
            tag_file(file, self._suffix, self._tags)


class PipeWriter:
    """Writes wav, or raw samples, to a stream that cannot seek, and pushes every block on at once.

    Args:
        stream: binary, for example `sys.stdout.buffer`.
        sample_rate: Hz.
        channels: C.
        length: N; None while unknown, which the header then says as other programs do.
        raw: write samples without a header.
        subtype: encoding of the samples in a wav, a key of WAV_SAMPLES.
        tags: of a wav, see `write_audio`.
    """

    def __init__(
        self,
        stream: BinaryIO,
        *,
        sample_rate: int,
        channels: int,
        length: int | None,
        raw: RawFormat | None = None,
        subtype: str | None = None,
        tags: Tags | None = None,
    ) -> None:
        self._stream = stream
        self._subtype = check_subtype(".wav", subtype) if raw is None else RAW_SUBTYPES[raw.encoding]
        if raw is None:
            chunk = info_chunk(clean_tags(tags or {}, "the stream"))
            stream.write(wav_header(sample_rate, channels, length, self._subtype, chunk))

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


def wav_header(
    sample_rate: int, channels: int, length: int | None, subtype: str = "PCM_16", chunk: bytes = b""
) -> bytes:
    """What stands before the samples of a wav: 44 bytes, and a chunk of one's own.

    Args:
        sample_rate: Hz.
        channels: C.
        length: N; None, or more than fit: no length.
        subtype: a key of WAV_SAMPLES.
        chunk: whole, of an even number of bytes.
    """
    is_float, width = WAV_SAMPLES[subtype]
    frame = width * channels
    unknown = length is None or 36 + len(chunk) + length * frame >= UNKNOWN_SIZE
    size = UNKNOWN_SIZE if unknown or length is None else length * frame
    total = UNKNOWN_SIZE if unknown else 36 + len(chunk) + size
    kind = 3 if is_float else 1
    layout = struct.pack("<IHHIIHH", 16, kind, channels, sample_rate, sample_rate * frame, frame, 8 * width)
    head = b"RIFF" + struct.pack("<I", total) + b"WAVEfmt " + layout + chunk
    return head + b"data" + struct.pack("<I", size)


def _within(samples: Tensor) -> np.ndarray:
    """Samples `[C, N]` as frames `[N, C]` within -1 to 1."""
    frames: np.ndarray = samples.clamp(-1.0, 1.0).T.contiguous().numpy()
    return frames
