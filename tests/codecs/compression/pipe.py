"""What tests of files share."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import soundfile


class Pipe(io.RawIOBase):
    """Bytes that can be read or written only once, in order, a few at a time."""

    name = "<pipe>"

    def __init__(self, data: bytes = b"") -> None:
        self.data = bytearray(data)

    def seekable(self) -> bool:
        return False

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        count = min(len(buffer), 777, len(self.data))
        buffer[:count] = self.data[:count]
        del self.data[:count]
        return count

    def write(self, data: Any) -> int:
        self.data += bytes(data)
        return len(data)


def samples(path: Path) -> np.ndarray:
    return soundfile.read(path, dtype="float32", always_2d=True)[0]
