"""Read numbers and texts from bytes that may be damaged: the smallest parts of a .loom file."""

from __future__ import annotations

from array import array
from collections.abc import Mapping

from ...core.errors import SoundloomError

MAX_VARINT = 2**63 - 1
READ_AHEAD = 65536  # bytes that are asked for at once, however many are claimed to come


class ContainerError(SoundloomError, ValueError):
    """A compressed-audio file that cannot be read or written; says where, what is wrong and the fix."""


def pack_varint(value: int) -> bytes:
    """A number from 0 to 2**63 - 1 in base 128, lowest digit first, the top bit set on all but the last."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


class Fields:
    """Takes values off the front of bytes, and complains when there are not enough.

    Attributes:
        position: of the next value.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.position = 0

    @property
    def left(self) -> int:
        """Bytes not taken yet."""
        return len(self._data) - self.position

    def take(self, count: int) -> bytes:
        if count > self.left:
            raise ContainerError(f"a field of {count} bytes where {self.left} are left")
        self.position += count
        return self._data[self.position - count : self.position]

    def byte(self) -> int:
        return self.take(1)[0]

    def varint(self) -> int:
        """A number that `pack_varint` wrote."""
        return self.varints(1)[0]

    def varints(self, count: int) -> array[int]:
        """Numbers that `pack_varint` wrote, one after the other."""
        values = array("Q")
        value = shift = 0
        while len(values) < count:
            # No number is shorter than a byte, so these belong to what is still missing.
            for digit in self.take(min(count - len(values), READ_AHEAD)):
                value |= (digit & 0x7F) << shift
                shift += 7
                if digit > 0x7F:
                    if shift == 63:
                        raise ContainerError(f"a number above {MAX_VARINT}")
                    continue
                if digit == 0 and shift > 7:
                    raise ContainerError("a number with needless leading zeros")
                values.append(value)
                value = shift = 0
        return values

    def text(self) -> str:
        try:
            return self.take(self.varint()).decode("ascii")
        except UnicodeDecodeError:
            raise ContainerError("a text that is not ASCII") from None

    def choice(self, name: str, known: Mapping[str, int]) -> str:
        value = self.byte()
        for word, number in known.items():
            if number == value:
                return word
        raise ContainerError(f"{name} is number {value}, which this version does not know")
