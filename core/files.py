"""Check before the work begins what can be read and may be written; open files, or streams instead."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from .atomic import atomic_write

PathOrStream = str | os.PathLike[str] | BinaryIO
SoundSource = str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO


def stream_name(stream: Any) -> str:
    """What to call a stream in messages."""
    name = getattr(stream, "name", None)
    return name if isinstance(name, str) else "the stream"


def check_source(path: str | os.PathLike[str], what: str = "file") -> Path:
    """Raise unless there is a file of that name; returns its path.

    Args:
        path: the file.
        what: it is to be, such as "sound file", for the message.

    Raises:
        FileNotFoundError: there is no such file.
        IsADirectoryError: the path is a folder.
    """
    path = Path(path)
    name = str(path).encode("utf-8", "backslashreplace").decode()
    if path.is_dir():
        raise IsADirectoryError(f"{name} is a folder; give the path of one {what}")
    if not path.exists():
        raise FileNotFoundError(f"no such file: {name}; check the spelling and the current folder")
    return path


def check_stream(stream: Any, what: str = "file") -> None:
    """Raise `TypeError` unless something given in place of a path is a binary stream that can be read."""
    if isinstance(stream, io.TextIOBase):
        raise TypeError(f"{stream_name(stream)} is a stream of text; open the {what} with mode 'rb'")
    if not hasattr(stream, "read"):
        raise TypeError(
            f"{stream!r} is no {what}; give a path, or a binary stream (io.BytesIO, or mode 'rb')"
        )


def check_file_destination(
    path: str | os.PathLike[str], *, force: bool = False, example: str = "report.json"
) -> Path:
    """Raise what would keep a file from being written: worth asking before a long computation.

    Args:
        path: the file to be written.
        force: an existing file may be replaced.
        example: of a name, for the message about a folder.

    Returns:
        The path.

    Raises:
        IsADirectoryError: the path is a folder.
        FileNotFoundError: its folder does not exist.
        PermissionError: its folder may not be written to.
        FileExistsError: the file exists and `force` is off.
    """
    path = Path(path)
    if path.is_dir() or not path.name:
        raise IsADirectoryError(f"{path} is a folder; give a file name, for example {path / example}")
    if not path.parent.is_dir():
        raise FileNotFoundError(
            f"the folder {path.parent} does not exist; create it first (mkdir -p {path.parent})"
        )
    if path.exists() and not force:
        raise FileExistsError(
            f"{path} already exists; choose another name, or allow overwriting with force (--force)"
        )
    if not os.access(path.parent, os.W_OK):
        raise PermissionError(f"the folder {path.parent} is not writable; choose another one")
    return path


def check_folder_destination(path: str | os.PathLike[str], *, force: bool | None = False) -> Path:
    """Raise what would keep a folder from being made, with the parents that it lacks, or from being filled.

    Args:
        path: the folder.
        force: it may hold something already; None: it may not, and nobody can allow it.

    Returns:
        The path.

    Raises:
        NotADirectoryError: it is a file, or below one.
        PermissionError: it, or where it would be made, may not be written to.
        FileExistsError: it is not empty and `force` is off.
    """
    path = Path(path)
    existing = next(folder for folder in (path, *path.absolute().parents) if folder.exists())
    if not existing.is_dir():
        raise NotADirectoryError(f"{existing} is a file, so {path} cannot be a folder; choose another name")
    if not os.access(existing, os.W_OK):
        raise PermissionError(f"{existing} is not writable; choose another folder than {path}")
    if existing == path and not force and any(path.iterdir()):
        allow = "" if force is None else ", or allow writing into it with force (--force)"
        raise FileExistsError(f"{path} is not empty; choose another folder{allow}")
    return path


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
        position = self._stream.tell()
        size = self._stream.seek(0, os.SEEK_END)
        self._stream.seek(position)
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
def open_input(source: PathOrStream, what: str = ".loom file") -> Iterator[tuple[str, BinaryIO]]:
    """The name of a source for messages, and a stream with its content; errors as of `check_source`."""
    if not isinstance(source, (str, os.PathLike)):
        check_stream(source, what)
        yield stream_name(source), source
        return
    path = check_source(source, what)
    with path.open("rb") as file:
        yield str(path), file


@contextmanager
def open_output(
    destination: PathOrStream, source: SoundSource | None = None, *, force: bool, example: str = "sound.loom"
) -> Iterator[tuple[str, BinaryIO]]:
    """Name and stream of an output; a file gets its name only when the block ends well.

    Args:
        destination: a path, or a stream, which is written to as it is.
        source: what the output is made of, which it may not replace.
        force: an existing file may be replaced.
        example: of a name, for the message about a folder.

    Raises:
        OSError: as of `check_file_destination`; FileExistsError also where the destination is the source.
    """
    if not isinstance(destination, (str, os.PathLike)):
        yield stream_name(destination), destination
        return
    path = check_file_destination(destination, force=force, example=example)
    if isinstance(source, (str, os.PathLike)) and path.exists() and path.samefile(source):
        raise FileExistsError(f"{path} is the source itself; choose another name")
    with atomic_write(path) as file:
        yield str(path), file
