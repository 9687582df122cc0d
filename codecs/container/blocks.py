"""The blocks that a compressed-audio file consists of after its header: chunks and the end block.

Specified in docs/format.md. Every block starts with a marker and ends with a checksum that is seeded with the
header's, so that a chunk of another file is no more mistaken for one of this file than noise is.
"""

from __future__ import annotations

import math
import struct
import zlib
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from ...core.errors import SoundloomError
from .entropy import decode_adaptive, encode_adaptive
from .fields import READ_AHEAD, ContainerError, Fields, pack_varint
from .header import MAX_CHUNKS, Header
from .header_bytes import CRC
from .packing import (
    pack_codes,
    pack_float16,
    pack_int8,
    packed_size,
    unpack_codes,
    unpack_float16,
    unpack_int8,
)

MARKER = b"\x9aL"
# What follows a marker: a chunk, plainly packed or entropy-coded, in lower case if it is the last one and
# shorter than frames_per_chunk; the end block.
PLAIN, CODED, END = b"P", b"C", b"E"
FOOTER = struct.Struct("<I4s")  # size of the end block, magic
FOOTER_MAGIC = b"MOOL"
MIN_BLOCK = len(MARKER) + 3 + CRC.size


class Damage(SoundloomError):
    """What is wrong with a block.

    Attributes:
        cut: the file ends where the block goes on.
        looked: bytes that were read to find out; set by `parse_block`.
    """

    def __init__(self, what: str, *, cut: bool = False, looked: int = 0) -> None:
        super().__init__(what)
        self.cut = cut
        self.looked = looked


@dataclass
class Chunk:
    """A chunk: its place in the order, frames `[T, *shape]`, and bytes of the whole block."""

    number: int
    frames: np.ndarray
    size: int


@dataclass
class End:
    """The end block: number of chunks and of frames, samples of the sound, bytes of every chunk's block."""

    chunks: int
    frames: int
    length: int
    sizes: array[int]
    size: int


# --- writing -------------------------------------------------------------------------------------------


def pack_chunk(number: int, frames: np.ndarray, header: Header, seed: int) -> bytes:
    """A chunk's block; `frames [T, *shape]` were checked, `seed` is the CRC-32 of the header's bytes."""
    kind, payload = PLAIN, _pack_plain(frames, header)
    if header.entropy == "adaptive":
        coded = encode_adaptive(frames, header.codebook_size)
        if len(coded) < len(payload):
            kind, payload = CODED, coded
    whole = len(frames) == header.frames_per_chunk
    block = b"".join(
        [
            MARKER,
            kind if whole else kind.lower(),
            pack_varint(number),
            b"" if whole else pack_varint(len(frames)),
            pack_varint(len(payload)),
            payload,
        ]
    )
    return block + CRC.pack(zlib.crc32(block, seed))


def pack_end(sizes: Sequence[int], frames: int, length: int, seed: int) -> bytes:
    """The end block and the footer; `sizes` are the bytes of every chunk's block."""
    numbers = (len(sizes), frames, length, *sizes)
    block = MARKER + END + b"".join(pack_varint(number) for number in numbers)
    block += CRC.pack(zlib.crc32(block, seed))
    return block + FOOTER.pack(len(block), FOOTER_MAGIC)


def _pack_plain(frames: np.ndarray, header: Header) -> bytes:
    if header.kind == "codes":
        return pack_codes(frames.reshape(-1), header.codebook_size)
    return pack_float16(frames) if header.precision == "float16" else pack_int8(frames)


# --- reading -------------------------------------------------------------------------------------------


class Source:
    """A stream with a look ahead that takes what a pipe has and never waits for more than is needed.

    Attributes:
        offset: bytes from the file's start to the next byte.
        seekable: whether `seek` works.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._buffer = bytearray()
        self.offset = 0
        self.seekable = bool(getattr(stream, "seekable", lambda: False)())
        self._start = stream.tell() if self.seekable else 0

    def size(self) -> int:
        """Bytes of a seekable file; moves its place to the end."""
        size = self._stream.seek(0, 2) - self._start
        self.seek(size)
        return size

    def seek(self, offset: int) -> None:
        """Go to a place in a seekable file."""
        self._stream.seek(self._start + offset)
        self._buffer.clear()
        self.offset = offset

    def fill(self, count: int) -> bool:
        """Have `count` bytes ready; False if the file ends before."""
        read_some = getattr(self._stream, "read1", None)
        while len(self._buffer) < count:
            missing = count - len(self._buffer)
            data = read_some(READ_AHEAD) if read_some else self._stream.read(min(missing, READ_AHEAD))
            if data is None:
                raise ContainerError("the stream has no data now; give a blocking stream")
            if not data:
                return False
            self._buffer += data
        return True

    def peek(self, start: int, stop: int) -> bytes:
        """Bytes that are ready, counted from the next one."""
        return bytes(self._buffer[start:stop])

    def crc(self, count: int, seed: int) -> int:
        """CRC-32 of the next `count` bytes, which are ready, after those that gave `seed`."""
        with memoryview(self._buffer) as view, view[:count] as part:
            return zlib.crc32(part, seed)

    def skip(self, count: int) -> None:
        """Leave bytes behind that are ready."""
        del self._buffer[:count]
        self.offset += count

    def skip_to(self, marker: bytes) -> bool:
        """Go to the next place after this one where `marker` starts; False, at the end, if there is none."""
        if not self.fill(1):
            return False
        self.skip(1)
        while True:
            place = self._buffer.find(marker)
            if place >= 0:
                self.skip(place)
                return True
            self.skip(max(len(self._buffer) - len(marker) + 1, 0))
            if not self.fill(len(marker)):
                self.skip(len(self._buffer))
                return False


class _SourceFields(Fields):
    """Values at the front of a source, which stays where it is."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.position = 0

    def take(self, count: int) -> bytes:
        self.pass_over(count)
        return self._source.peek(self.position - count, self.position)

    def pass_over(self, count: int) -> None:
        """Go on by `count` bytes, which must be there."""
        self.position += count
        if not self._source.fill(self.position):
            raise Damage("the file ends inside a block", cut=True)


def parse_block(source: Source, header: Header, seed: int) -> Chunk | End:
    """The block at the source's place, checked; the place stays.

    Raises:
        Damage: no intact block.
    """
    if not source.fill(1):
        raise Damage("the file ends before its end block", cut=True)
    fields = _SourceFields(source)
    try:
        if fields.take(len(MARKER)) != MARKER:
            raise Damage("no block starts here")
        kind = fields.take(1)
        if kind == END:
            return _parse_end(fields, source, header, seed)
        if kind.upper() not in (PLAIN, CODED) or (kind.upper() == CODED and header.entropy == "none"):
            raise Damage(f"a block of type {kind!r}, which this file cannot have")
        return _parse_chunk(kind, fields, source, header, seed)
    except ContainerError as error:
        raise Damage(str(error), looked=fields.position) from None
    except Damage as damage:
        damage.looked = fields.position
        raise


def _parse_chunk(kind: bytes, fields: _SourceFields, source: Source, header: Header, seed: int) -> Chunk:
    number = fields.varint()
    if number >= MAX_CHUNKS:
        raise Damage(f"a chunk of number {number}; at most {MAX_CHUNKS} are allowed")
    count = header.frames_per_chunk
    if kind.islower():
        count = fields.varint()
        if not 1 <= count < header.frames_per_chunk:
            raise Damage(
                f"chunk {number} claims {count} frames; a short one has 1 to {header.frames_per_chunk - 1}"
            )
    coded = kind.upper() == CODED
    size, plain = fields.varint(), plain_size(count, header)
    if size >= plain if coded else size != plain:  # before any memory is asked for
        raise Damage(
            f"chunk {number} claims {size} bytes; its frames take {'less than ' if coded else ''}{plain}"
        )
    start = fields.position
    fields.pass_over(size)
    _check_crc(f"chunk {number}", fields, source, seed)
    payload = source.peek(start, start + size)
    if coded:
        frames = decode_adaptive(payload, count, header.shape[0], header.codebook_size)
    else:
        frames = _unpack_plain(payload, count, header)
    return Chunk(number, frames, fields.position)


def _parse_end(fields: _SourceFields, source: Source, header: Header, seed: int) -> End:
    chunks, frames, length = fields.varint(), fields.varint(), fields.varint()
    per_chunk = header.frames_per_chunk
    if chunks > MAX_CHUNKS or chunks != -(-frames // per_chunk):
        raise Damage(f"the end block claims {chunks} chunks and {frames} frames")
    sizes = fields.varints(chunks)
    _check_crc("the end block", fields, source, seed)
    if chunks and min(sizes) < MIN_BLOCK:
        raise Damage(f"the index claims a chunk of {min(sizes)} bytes")
    if header.length not in (None, length):
        raise Damage(f"the end block says {length} samples and the header {header.length}")
    header.check_length(length, frames)
    return End(chunks, frames, length, sizes, fields.position)


def _check_crc(what: str, fields: _SourceFields, source: Source, seed: int) -> None:
    covered = fields.position
    stored = CRC.unpack(fields.take(CRC.size))[0]
    if source.crc(covered, seed) != stored:
        raise Damage(f"{what} is damaged (its checksum differs)")


def plain_size(count: int, header: Header) -> int:
    """Bytes of `count` plainly packed frames."""
    values = count * math.prod(header.shape)
    if header.kind == "codes":
        return packed_size(values, header.codebook_size)
    return 2 * values if header.precision == "float16" else header.shape[-1] + values


def _unpack_plain(payload: bytes, count: int, header: Header) -> np.ndarray:
    shape = (count, *header.shape)
    if header.kind == "codes":
        return unpack_codes(payload, math.prod(shape), header.codebook_size).reshape(shape)
    return unpack_float16(payload, shape) if header.precision == "float16" else unpack_int8(payload, shape)
