"""Describe a sound file: length, format, tags, and whether its samples are what a digest says."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from torch import Tensor

from .audio import WRITE_BLOCK
from .audio_blocks import to_pcm
from .filenames import native
from .sound_reader import open_sound
from .sound_tags import printable, read_tags

BLOCK = 1 << 18  # samples that are read at once
_KINDS = {"PCM_16": "int16", "PCM_24": "int32", "PCM_32": "int32", "FLOAT": "float32"}


@dataclass(frozen=True)
class SoundDescription:
    """What a sound file says about itself.

    Attributes:
        name: of the file.
        format, subtype: container and encoding of the samples, in libsndfile's words.
        sample_rate: Hz.
        channels: C.
        seconds: length, about that where the file does not tell.
        length: samples; None where the file does not tell.
        size: bytes of the file.
        tags: by name, see `core.sound_tags`.
    """

    name: str
    format: str
    subtype: str
    sample_rate: int
    channels: int
    seconds: float
    length: int | None
    size: int
    tags: dict[str, str]

    def lines(self) -> list[str]:
        """Everything but the tags in words, for people."""
        channels = {1: "mono", 2: "stereo"}.get(self.channels, f"{self.channels} channels")
        length = "" if self.length is None else f" {self.length} samples"
        return [
            printable(self.name),
            f"  sound   {self.seconds:.3f} s,{length} at {self.sample_rate} Hz, {channels}",
            f"  stored  {self.format}, {self.subtype}",
            f"  size    {self.size} bytes, {8 * self.size / max(self.seconds, 1e-9) / 1000:.3f} kbit/s",
        ]

    def to_dict(self) -> dict[str, Any]:
        """Everything, ready for JSON."""
        return {
            "file": self.name,
            "format": self.format,
            "subtype": self.subtype,
            "sample_rate": self.sample_rate,
            "channels": self.channels,
            "length": self.length,
            "bytes": self.size,
            "seconds": self.seconds,
            "tags": self.tags,
        }


def tag_lines(tags: dict[str, str]) -> list[str]:
    """Tags for a terminal, a line each."""
    return [f"  {name:<7} {printable(text)}" for name, text in tags.items()]


def describe_sound(path: Path) -> SoundDescription:
    """Say what is in a sound file.

    Raises:
        OSError: it cannot be read.
        AudioError: it is no sound, or a damaged one.
    """
    with open_sound(path, allow_truncated=True) as sound:
        rate, channels, length, seconds = sound.sample_rate, sound.channels, sound.length, sound.seconds
    try:
        info = soundfile.info(native(path))
        kind, subtype = info.format, info.subtype
    except soundfile.SoundFileError:  # it is read all the same, past what is in the way
        kind, subtype = path.suffix.lstrip(".").upper(), "unknown"
    return SoundDescription(
        name=str(path),
        format=kind,
        subtype=subtype,
        sample_rate=rate,
        channels=channels,
        seconds=seconds or 0.0,
        length=length,
        size=path.stat().st_size,
        tags=read_tags(path),
    )


def samples_digest(samples: Tensor, container: str, subtype: str) -> str:
    """What `stored_samples` gives for a file of samples float `[C, N]`, rounded as libsndfile does.

    Args:
        samples: within -1 to 1.
        container: "WAV" or "FLAC", which round differently; of other formats it is the samples themselves.
        subtype: a key of `_KINDS`.
    """
    if container == "WAV" and subtype in _KINDS:
        return f"WAV {subtype} {hashlib.sha256(to_pcm(samples, subtype)).hexdigest()}"
    if container != "FLAC":
        return f"RAW FLOAT {hashlib.sha256(to_pcm(samples, 'FLOAT')).hexdigest()}"
    buffer = io.BytesIO()
    with soundfile.SoundFile(buffer, "w", 44100, len(samples), subtype, format="FLAC") as file:
        for block in samples.split(WRITE_BLOCK, dim=-1):
            file.write(block.T.contiguous().numpy())
    buffer.seek(0)
    digest = stored_samples(buffer)
    assert digest is not None
    return digest


def stored_samples(source: Path | io.BytesIO) -> str | None:
    """Format, subtype and SHA-256 of the samples in a file, little-endian and interleaved.

    None where they are not stored as they were: lossy formats, other encodings, unreadable files.
    """
    digest = hashlib.sha256()
    try:
        with soundfile.SoundFile(native(source) if isinstance(source, Path) else source) as file:
            kind = _KINDS.get(file.subtype)
            if kind is None:
                return None
            while len(block := file.read(BLOCK, dtype=kind)):
                data = np.ascontiguousarray(block.astype(f"<{block.dtype.kind}{block.dtype.itemsize}"))
                if file.subtype == "PCM_24":
                    data = data.reshape(-1, 1).view(np.uint8)[:, 1:]
                digest.update(data.tobytes())
            return f"{file.format} {file.subtype} {digest.hexdigest()}"
    except soundfile.SoundFileError:
        return None
