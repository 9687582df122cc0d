"""Read parts of a file, and bytes in place of others, as one file."""

from __future__ import annotations

import bisect
import os
from collections.abc import Sequence
from typing import BinaryIO

# Bytes `start` to `stop` of the file, or bytes in their place.
Piece = tuple[int, int] | bytes


class Spliced:
    """A file to read that is made of pieces of another one.

    An error of the file below looks like its end, since libsndfile cannot be told of it; `error` keeps it.

    Args:
        file: can seek; nobody else reads it meanwhile.
        pieces: in their order.
        hole: bytes that the file claims to have behind the last piece, all missing but for 128 zeros at its
            end.

    Attributes:
        error: what went wrong with the file below.
        ended: whether there was a read at the end.
    """

    def __init__(self, file: BinaryIO | Spliced, pieces: Sequence[Piece], hole: int = 0) -> None:
        self._file, self._pieces = file, pieces
        self._starts = [0]
        for piece in pieces:
            self._starts.append(self._starts[-1] + _length(piece))
        self._size, self._hole, self._place = self._starts[-1], hole, 0
        self.error: OSError | None = None
        self.ended = False

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a byte; see `io.IOBase.seek`."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self._size + self._hole}[whence]
        self._place = max(0, base + offset)
        return self._place

    def tell(self) -> int:
        """The byte that is read next."""
        return self._place

    def read(self, count: int) -> bytes:
        """At most `count` bytes; fewer only at the end."""
        buffer = bytearray(count)
        return bytes(buffer[: self.readinto(buffer)])

    def readinto(self, buffer: bytearray | memoryview) -> int:
        """Fill a buffer as far as there are bytes; returns how many there were."""
        done, wanted = 0, len(buffer)
        if self._hole and self._place >= self._size + self._hole - 128:  # where ID3v1 tags are looked for
            done = min(wanted, self._size + self._hole - self._place)
            buffer[:done] = bytes(done)
            self._place += done
            return done
        while done < wanted and self._place < self._size:
            index = bisect.bisect_right(self._starts, self._place) - 1
            piece, inside = self._pieces[index], self._place - self._starts[index]
            count = min(wanted - done, _length(piece) - inside)
            data = self._bytes(piece, inside, count)
            buffer[done : done + len(data)] = data
            done += len(data)
            self._place += len(data)
            if len(data) < count:
                break
        self.ended |= done < wanted
        return done

    def _bytes(self, piece: Piece, inside: int, count: int) -> bytes:
        if isinstance(piece, bytes):
            return piece[inside : inside + count]
        try:
            self._file.seek(piece[0] + inside)
            return self._file.read(count) or b""
        except (OSError, ValueError) as error:  # ValueError: closed
            self.error = error if isinstance(error, OSError) else OSError(str(error))
            return b""


def _length(piece: Piece) -> int:
    return len(piece) if isinstance(piece, bytes) else piece[1] - piece[0]


class Window:
    """Reads a few bytes here and there, mostly onwards, without asking the file each time.

    Args:
        file: can seek.
        start, stop: the part of the file that counts.
    """

    def __init__(self, file: BinaryIO | Spliced, start: int, stop: int, size: int = 1 << 20) -> None:
        self.file, self.start, self.stop, self._size = file, start, stop, size
        self._begin, self._data = start, b""

    def peek(self, place: int, count: int) -> bytes:
        """Bytes from `place` on; fewer than `count` at the end, and none outside of the part."""
        if not self.start <= place < self.stop:  # a size field may lead anywhere
            return b""
        inside = place - self._begin
        if inside < 0 or inside + count > len(self._data):
            self._load(place, count)
            inside = 0
        return self._data[inside : inside + count]

    def find(self, needle: bytes, place: int, until: int) -> int:
        """Where `needle` begins, from `place` on and before `until`; -1: nowhere."""
        until = min(until, self.stop)
        while place < until:
            if not self._begin <= place < self._begin + len(self._data) - len(needle):
                self._load(place, len(needle))
                if len(self._data) < len(needle):
                    return -1
            found = self._data.find(needle, place - self._begin)
            if found >= 0:
                return self._begin + found if self._begin + found < until else -1
            place = max(place + 1, self._begin + len(self._data) - len(needle) + 1)
        return -1

    def _load(self, place: int, count: int) -> None:
        self.file.seek(place)
        self._begin, self._data = (
            place,
            self.file.read(max(0, min(max(count, self._size), self.stop - place))),
        )
