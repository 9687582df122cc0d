"""A compressed sound in memory, and as a whole file."""

from __future__ import annotations

import io
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, overload

import torch
from torch import Tensor

from ...core.files import open_input, open_output
from .fields import ContainerError
from .header import SUFFIX, Header
from .reader import ContainerReader
from .writer import ContainerWriter

# A code takes 8 bytes in memory, and of plainly packed ones at most 64 times what it takes in a file.
BYTES_EACH, MAX_GROWTH, MUCH_MEMORY = 8, 256, 100 * 2**20


@dataclass(eq=False)
class Compressed:
    """A sound as a codec stores it.

    Attributes:
        header: what the frames are; `header.length` is known.
        frames: codes, int64 `[K, T]`, or latents, float32 `[T, S, D]`. Those of a file have the file's
            precision, those that come from an encoder have the encoder's.
    """

    header: Header
    frames: Tensor

    def to_bytes(self) -> bytes:
        """The content of a file.

        Raises:
            ContainerError: frames that do not fit the header.
        """
        stream = io.BytesIO()
        with ContainerWriter(stream, self.header) as writer:
            writer.write(self.frames)
        return stream.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes, *, name: str = "<bytes>") -> Compressed:
        """Undo `to_bytes`.

        Args:
            data: content of a file.
            name: of the file, for messages.

        Raises:
            ContainerError: no such file, or a damaged one.
        """
        return cls._read(io.BytesIO(data), name)

    @classmethod
    def load(cls, source: str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO) -> Compressed:
        """Read a whole file; `ContainerReader` reads it in parts.

        Args:
            source: the path of a file, its bytes, or a binary stream that can seek.

        Raises:
            OSError: the file cannot be opened.
            ContainerError: no such file, or a damaged one.
        """
        if isinstance(source, (bytes, bytearray, memoryview)):
            return cls.from_bytes(bytes(source))
        with open_input(source) as (name, stream):
            return cls._read(stream, name)

    @overload
    def save(self, path: str | os.PathLike[str], force: bool = False) -> Path: ...

    @overload
    def save(self, path: BinaryIO, force: bool = False) -> BinaryIO: ...

    def save(self, path: str | os.PathLike[str] | BinaryIO, force: bool = False) -> Path | BinaryIO:
        """Write a file, which appears complete or not at all; `to_bytes` gives its content.

        Args:
            path: the file, whose folder must exist; or a binary stream to write to.
            force: replace an existing file.

        Raises:
            FileExistsError: the file exists and `force` is off.
            OSError: it is a folder, its folder does not exist, or it cannot be written.
            ContainerError: frames that do not fit the header.
        """
        with open_output(path, force=force, example=f"sound{SUFFIX}") as (_, file):
            file.write(self.to_bytes())
        return Path(path) if isinstance(path, (str, os.PathLike)) else path

    @property
    def bits(self) -> int:
        """Bits that the file takes, with header, checksums and index."""
        return 8 * len(self.to_bytes())

    @property
    def bitrate(self) -> float:
        """Bits per second of sound that the file takes; infinite for a sound of 0 samples."""
        length = self.header.length
        return self.bits * self.header.sample_rate / length if length else float("inf")

    @classmethod
    def _read(cls, stream: BinaryIO, name: str) -> Compressed:
        reader = ContainerReader(stream, name=name)
        if reader.frames is None:
            raise ContainerError(f"{name} cannot seek; give its content (Compressed.load(stream.read()))")
        reader.check_claims(reader.frames)
        memory = BYTES_EACH * reader.frames * math.prod(reader.header.shape)
        if memory > MAX_GROWTH * reader.size + MUCH_MEMORY:
            raise ContainerError(
                f"{name}: {reader.size} bytes would take {memory >> 20} MB of memory, which only a file that "
                "was made to do so does; read it in parts with ContainerReader"
            )
        parts = list(reader)
        length = reader.length
        axis = 1 if reader.header.kind == "codes" else 0
        frames = torch.cat(parts, axis) if parts else reader.read()
        return cls(reader.header.with_length(length), frames)
