"""Read compressed-audio files: in order from any stream, any part of a seekable file, or what is intact."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator
from itertools import accumulate
from typing import BinaryIO

import numpy as np
import torch
from torch import Tensor

from .blocks import (
    FOOTER,
    FOOTER_MAGIC,
    MARKER,
    MIN_BLOCK,
    Chunk,
    Damage,
    End,
    Source,
    parse_block,
    plain_size,
)
from .fields import ContainerError
from .header import Header
from .header_bytes import PREAMBLE, header_seed, unpack_header, unpack_preamble

FIX = "get the file again, or keep what is intact with recover=True (--recover)"
MAX_END = 16 * 2**20
# Bytes that the search for intact chunks may look at in vain, beside 16 per byte of the file: a made-up file
# of nothing but chunk starts would otherwise keep it busy for hours.
SEARCH_BUDGET = 2**28
ATTEMPT_COST = 4000  # a look that ends at once takes the time of so many bytes
# Frames that may be lost: so many times those that the file's bytes hold packed plainly (coded ones take
# less), and those of so many seconds (bytes may have been cut out).
LOST_FACTOR = 2
LOST_SECONDS = 60
# Longer sounds have at least so many bytes a second, silent ones too: about 11 when a chunk lasts a second.
LONG_SECONDS = 3600
LEAST_RATE = 4


class ContainerReader:
    """Reads a compressed-audio file from a seekable stream or a pipe.

    A seekable file is checked from its end first: a truncated one is an error before anything is decoded.
    Frames are codes, int64 `[K, T]`, or latents, float32 `[T, S, D]`.

    Args:
        stream: binary stream at the file's first byte; it stays open.
        name: of the file, for messages.
        recover: keep every intact chunk of a damaged file instead of stopping at the first damage. The header
            must be intact.

    Attributes:
        header: of the file.
        length: samples of the sound at `header.sample_rate`; None while unknown: the header has none and the
            end was not reached, or is lost. On a pipe, only the end of the file proves that a header's length
            fits its frames: cut to it, never fill up to it.
        frames: number of frames; None while unknown.
        damaged: with `recover`, `(first frame, number of frames, reason)` of what could not be read, in
            order, complete after the last chunk. 0 frames: something does not belong there, or the file was
            cut and nothing says how many are missing.

    Raises:
        ContainerError: no such file, or a damaged one; the message has its name and the byte.
    """

    def __init__(self, stream: BinaryIO, *, name: str = "<stream>", recover: bool = False) -> None:
        self.name = name
        self.recover = recover
        self.damaged: list[tuple[int, int, str]] = []
        self.frames: int | None = None
        self._source = Source(stream)
        self._size: int | None = None
        if self._source.seekable:
            self._size = self._source.size()
            self._source.seek(0)
        self._offsets: array[int] | None = None  # bytes to every chunk, -1 for a lost one
        self._used = False
        self._looked = 0  # bytes, in vain, in the search for intact chunks
        self.header, self._seed = self._read_header()
        self.length = self.header.length
        self._first_block = self._source.offset
        if self._source.seekable:
            try:
                self._read_index()
            except ContainerError:
                if not recover:
                    raise

    def __iter__(self) -> Iterator[Tensor]:
        """Frames of the chunks, in order; see `chunks`."""
        for _, frames in self.chunks():
            yield frames

    def chunks(self) -> Iterator[tuple[int, Tensor]]:
        """For every chunk, in order, the number of its first frame and its frames.

        Raises:
            ContainerError: at the first damage, unless `recover`; or a pipe that was read before.
        """
        if self._source.seekable:
            self._source.seek(self._first_block)
        elif self._used:
            raise ContainerError(f"{self.name}: a pipe can be read only once")
        self._used = True
        self.damaged = []
        for chunk in self._recovered() if self.recover else self._intact():
            yield chunk.number * self.header.frames_per_chunk, _to_tensor(chunk.frames, self.header)

    @property
    def most_lost(self) -> int:
        """Frames that a file of so many bytes can have lost; a chunk number that tells of more is made up.

        With `recover`, `damaged` may tell of 2**41 lost frames nevertheless: what puts silence in their place
        has to stop here. Of a pipe, the bytes that were read so far count.
        """
        chunks = LOST_FACTOR * self.size / plain_size(self.header.frames_per_chunk, self.header)
        return math.ceil(chunks * self.header.frames_per_chunk + LOST_SECONDS * self.header.frame_rate)

    @property
    def size(self) -> int:
        """Bytes of the file; of a pipe, those that were read so far."""
        return self._source.offset if self._size is None else self._size

    def check_claims(self, frames: int) -> None:
        """Raise ContainerError if a file of so many bytes cannot be meant to hold so many frames.

        A few bytes can stand for days of one code that never changes. Whoever decodes all of a file, or keeps
        all its frames, asks here: before, or of a pipe as it goes on.
        """
        seconds = frames / self.header.frame_rate
        if seconds > LONG_SECONDS and self.size < LEAST_RATE * seconds:
            raise ContainerError(
                f"{self.name}: {self.size} bytes stand for {float(seconds) / 3600:.1f} hours of sound, which "
                "only a file that was made to fill a disk does; decode a part of it (start and stop, --start "
                "and --stop)"
            )

    def read(self, start: int = 0, stop: int | None = None) -> Tensor:
        """Frames from `start` up to, not including, `stop`; reads only the chunks that hold them.

        With `recover`, lost frames are 0, and `damaged` has them. Not for use inside a loop over `chunks`.

        Args:
            start: first frame.
            stop: frame after the last; None is the end.

        Raises:
            ContainerError: a pipe, frames that the file does not have, damage, or more lost ones than
                `most_lost`.
        """
        if not self._source.seekable:
            raise ContainerError(f"{self.name}: read() wants a seekable file; iterate over a pipe's chunks")
        if self._offsets is None:  # no index: look for the chunks once
            for _ in self.chunks():
                pass
        assert self._offsets is not None
        assert self.frames is not None
        stop = self.frames if stop is None else stop
        if not 0 <= start <= stop <= self.frames:
            raise ContainerError(
                f"{self.name}: frames {start} to {stop} are not in the file, which has 0 to {self.frames}"
            )
        size = self.header.frames_per_chunk
        dtype = np.int64 if self.header.kind == "codes" else np.float32
        numbers = range(start // size, -(-stop // size) if start < stop else start // size)
        lost = size * sum(self._offsets[number] < 0 for number in numbers)
        if lost > self.most_lost:
            raise ContainerError(
                f"{self.name}: {lost} of the frames {start} to {stop} are lost, more than the file can have "
                "held; read what is there with chunks()"
            )
        parts = [np.zeros((0, *self.header.shape), dtype)]
        for number in numbers:
            first = number * size
            count = min(size, self.frames - first)
            frames = self._chunk_at(number, count)
            if frames is None:
                frames = np.zeros((count, *self.header.shape), dtype)
            parts.append(frames[max(start - first, 0) : stop - first])
        return _to_tensor(np.concatenate(parts), self.header)

    def _error(self, what: str | Exception, offset: int, fix: str = "") -> ContainerError:
        return ContainerError(f"{self.name}, byte {offset}: {what}{'; ' + fix if fix else ''}")

    def _damage_error(self, damage: Damage, offset: int) -> ContainerError:
        return self._error(f"{'truncated: ' if damage.cut else ''}{damage}", offset, FIX)

    def _read_header(self) -> tuple[Header, int]:
        source = self._source
        try:
            source.fill(PREAMBLE.size)
            size = PREAMBLE.size + unpack_preamble(source.peek(0, PREAMBLE.size))
            if not source.fill(size):
                raise ContainerError("truncated: the file ends inside its header; get it again")
            data = source.peek(0, size)
            header, seed = unpack_header(data), header_seed(data)
        except ContainerError as error:
            raise self._error(error, 0) from None
        source.skip(size)
        return header, seed

    def _read_index(self) -> None:
        """Find the end block of a seekable file by its footer, and check that it fits."""
        source = self._source
        place = source.size() - FOOTER.size
        try:
            if place < self._first_block:
                raise Damage("the file ends before its end block", cut=True)
            source.seek(place)
            source.fill(FOOTER.size)
            size, magic = FOOTER.unpack(source.peek(0, FOOTER.size))
            if magic != FOOTER_MAGIC:
                raise Damage("the file does not end in a footer", cut=True)
            if not MIN_BLOCK <= size <= min(MAX_END, place - self._first_block):
                raise Damage(f"the footer claims an end block of {size} bytes")
            place -= size
            source.seek(place)
            end = parse_block(source, self.header, self._seed)
            if not isinstance(end, End) or end.size != size:
                raise Damage("the footer does not lead to an end block")
            if self._first_block + sum(end.sizes) != place:
                raise Damage("the index does not fit to the size of the file")
        except Damage as damage:
            raise self._damage_error(damage, max(place, 0)) from None
        self.length, self.frames = end.length, end.frames
        self._offsets = array("q", accumulate(end.sizes, initial=self._first_block))[:-1]

    def _intact(self) -> Iterator[Chunk]:
        """All chunks from the source's place on; ContainerError at the first thing that is wrong."""
        source, frames, sizes = self._source, 0, array("Q")
        try:
            while True:
                block = parse_block(source, self.header, self._seed)
                if isinstance(block, End):
                    break
                if frames % self.header.frames_per_chunk:
                    raise Damage("a chunk follows the short one that must be the last")
                if block.number != len(sizes):
                    raise Damage(f"chunk {block.number} where chunk {len(sizes)} belongs")
                source.skip(block.size)
                sizes.append(block.size)
                frames += len(block.frames)
                yield block
            if (block.frames, block.sizes) != (frames, sizes):
                raise Damage("the index does not fit to the chunks")
            source.skip(block.size)
            self._check_footer(block)
        except Damage as damage:
            raise self._damage_error(damage, source.offset) from None
        self.length, self.frames = block.length, block.frames

    def _recovered(self) -> Iterator[Chunk]:
        """All intact chunks from the source's place on; notes in `damaged` what lies between them."""
        source, frames, offsets = self._source, 0, array("q")
        self._looked = 0
        while True:
            block, reason = self._next_intact(frames)
            if not isinstance(block, Chunk):
                break
            first = block.number * self.header.frames_per_chunk
            if reason:
                self.damaged.append((frames, first - frames, reason))
            offsets.extend([-1] * (block.number - len(offsets)))
            offsets.append(source.offset)
            frames = first + len(block.frames)
            source.skip(block.size)
            yield block
        stop = self.frames or frames  # of an index that was found from the end of the file
        if block is not None:
            self.length, stop = block.length, block.frames
            source.skip(block.size)
            try:
                self._check_footer(block)
            except Damage as damage:
                reason = reason or f"byte {source.offset}: {damage}"
        elif stop == frames:  # no end block and no index: what is there is all that is known
            self.length = None
        if reason:
            self.damaged.append((frames, max(stop - frames, 0), reason))
        self.frames = max(stop, frames)
        offsets.extend([-1] * (-(-self.frames // self.header.frames_per_chunk) - len(offsets)))
        self._offsets = offsets

    def _next_intact(self, frames: int) -> tuple[Chunk | End | None, str]:
        """The next intact block that can come after `frames` frames, and what was wrong before it.

        The source is then at the block, or for None at the end of the file.
        """
        source, per_chunk = self._source, self.header.frames_per_chunk
        reason = ""
        while True:
            try:
                block = parse_block(source, self.header, self._seed)
                if isinstance(block, End) and block.frames >= frames:
                    if block.frames > frames:
                        reason = reason or f"byte {source.offset}: chunks are missing before the end"
                    return block, reason
                if isinstance(block, Chunk) and block.number * per_chunk >= frames:
                    if block.number * per_chunk > frames:
                        reason = reason or f"byte {source.offset}: chunks are missing before this one"
                    return block, reason
                raise Damage("a block that does not belong here")
            except Damage as damage:
                reason = reason or f"byte {source.offset}: {damage}"
                self._looked += damage.looked + ATTEMPT_COST
            if self._looked > SEARCH_BUDGET + 16 * source.offset:
                return None, f"{reason}; the rest looks made up, so the search for intact chunks was given up"
            if not source.skip_to(MARKER):
                return None, reason

    def _check_footer(self, end: End) -> None:
        """Raise Damage unless the footer of `end` and nothing else is left."""
        source = self._source
        if not source.fill(FOOTER.size):
            raise Damage("the file ends inside its footer", cut=True)
        if source.peek(0, FOOTER.size) != FOOTER.pack(end.size, FOOTER_MAGIC):
            raise Damage("the footer is damaged")
        if source.fill(FOOTER.size + 1):
            raise Damage("there is more after the end of the file")

    def _chunk_at(self, number: int, count: int) -> np.ndarray | None:
        """The `count` frames of a chunk, found by the index; None if it is lost and `recover` is on."""
        assert self._offsets is not None
        offset = self._offsets[number]
        try:
            if offset < 0:
                raise Damage(f"chunk {number} is lost")
            self._source.seek(offset)
            chunk = parse_block(self._source, self.header, self._seed)
            if not isinstance(chunk, Chunk) or (chunk.number, len(chunk.frames)) != (number, count):
                raise Damage(f"the index does not lead to chunk {number}")
            return chunk.frames
        except Damage as damage:
            if not self.recover:
                raise self._damage_error(damage, offset) from None
            first, reason = number * self.header.frames_per_chunk, f"byte {max(offset, 0)}: {damage}"
            known = [(start, size) for start, size, _ in self.damaged]
            if not any(start <= first < start + size for start, size in known):
                self.damaged.append((first, count, reason))
                self.damaged.sort()
            return None


def _to_tensor(frames: np.ndarray, header: Header) -> Tensor:
    """Frames `[T, *shape]` as users see them: codes `[K, T]`, latents `[T, S, D]`."""
    if header.kind == "codes":
        frames = frames.T
    return torch.from_numpy(np.ascontiguousarray(frames))
