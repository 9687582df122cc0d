"""Where compressed files and sounds come from and go to: paths and binary streams, such as pipes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from .atomic import atomic_write
from .sound_reader import SoundSource, stream_name

Place = str | os.PathLike[str] | BinaryIO
# Called with the seconds of sound that are done since the last call.
Progress = Callable[[float], None]


class Tally:
    """Passes bytes on, to or from a stream, and counts them."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.size = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def total(self) -> int:
        """Bytes of the file, or of what was read from a pipe."""
        if not self._stream.seekable():
            return self.size
        place = self._stream.tell()
        size = self._stream.seek(0, os.SEEK_END)
        self._stream.seek(place)
        return size

    def read(self, count: int = -1) -> bytes:
        data = self._stream.read(count)
        self.size += len(data or b"")
        return data

    def read1(self, count: int = -1) -> bytes:
        """Like `read`, but of a pipe only what is there: a live sound is not held up."""
        data = getattr(self._stream, "read1", self._stream.read)(count)
        self.size += len(data or b"")
        return data

    def write(self, data: bytes) -> int:
        written = self._stream.write(data)
        self.size += written or 0
        return written

    def flush(self) -> None:
        self._stream.flush()


@contextmanager
def open_input(source: Place) -> Iterator[tuple[str, BinaryIO]]:
    """A compressed file's name and content."""
    if not isinstance(source, (str, os.PathLike)):
        yield stream_name(source), source
        return
    path = Path(source)
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder; give the path of one .loom file")
    if not path.exists():
        raise FileNotFoundError(f"no such file: {path}; check the spelling and the current folder")
    with path.open("rb") as file:
        yield str(path), file


@contextmanager
def open_output(destination: Place, source: SoundSource, *, force: bool) -> Iterator[tuple[str, BinaryIO]]:
    """Name and stream of an output; a file gets its name only when the block ends well."""
    if not isinstance(destination, (str, os.PathLike)):
        yield stream_name(destination), destination
        return
    path = Path(destination)
    check_output(path, force=force)
    if isinstance(source, (str, os.PathLike)) and path.exists() and path.samefile(source):
        raise FileExistsError(f"{path} is the source itself; choose another name")
    with atomic_write(path) as file:
        yield str(path), file


def check_output(path: Path, *, force: bool) -> None:
    """Raise what would keep a file from being written.

    Raises:
        IsADirectoryError, FileNotFoundError, FileExistsError: as for `check_destination`.
    """
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder; give a file name, for example {path / 'sound'}.loom")
    if not path.parent.is_dir():
        raise FileNotFoundError(
            f"the folder {path.parent} does not exist; create it first (mkdir -p {path.parent})"
        )
    if path.exists() and not force:
        raise FileExistsError(
            f"{path} already exists; choose another name, or allow overwriting with force (--force)"
        )
