"""Read `.ecdc` files, EnCodec's own format, block by block.

A file is the header (ecdc_header.py), then segment after segment: its loudness as a big-endian float32 (48
kHz only) and its codes, frame by frame, in 10 bits each (lowest bit first, filled up to a byte at the end of
a segment) or by the arithmetic coder with a language model's probabilities.

The format has no checksum: damage is noticed where a number is impossible or data is missing or left over.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

import torch
from torch import Tensor, nn

from ...core.audio import Audio
from ...core.files import open_input
from ..encodec.coded_segments import SCALE, OverlapAdd, Segment
from ..encodec.model import EnCodec
from ..registry import load_codec
from .ecdc_codes import load_language_model, read_coded, read_plain
from .ecdc_header import PREFIX, EcdcError, EcdcHeader, read_fully, read_header
from .write_ecdc import check_codec, expected_frames

MAX_SCALE = 1e6
BLOCK_FRAMES = 750  # that are read before they are decoded


class EcdcReader:
    """Reads an `.ecdc` stream and gives the sound in blocks `[C, n]`, `header.length` samples in all.

    Memory does not grow with the length. The stream is read once, from where it stands.

    Args:
        stream: binary, perhaps a pipe.
        codec: what decodes, or what finds that for a header; None loads the one that the header names (from
            the hub, or its cache).
        language_model: for files that were written with one; None loads it, see `load_language_model`.
        name: the file's name for error messages.
        max_seconds: longer sounds are refused if they were written with a language model: for these, a small
            hostile file can stand for hours of work.
        local_files_only: fetch neither codec nor language model.

    Raises:
        EcdcError: no `.ecdc` file, a hostile or damaged header, or too little data for what it says.
        ValueError: the file is of another model than `codec`.
    """

    def __init__(
        self,
        stream: BinaryIO,
        codec: EnCodec | Callable[[EcdcHeader], EnCodec] | None = None,
        *,
        language_model: nn.Module | None = None,
        name: str = "<stream>",
        max_seconds: float = 4 * 3600.0,
        local_files_only: bool = False,
    ) -> None:
        self.stream, self.name = stream, name
        self.header, self.offset = read_header(stream, name)
        chosen: Any = codec
        if codec is None:
            chosen = load_codec(self.header.codec, local_files_only=local_files_only)
        elif not isinstance(codec, nn.Module):
            chosen = codec(self.header)
        check_codec(chosen)
        self.codec: EnCodec = chosen
        if self.codec.model.name != self.header.model:
            raise ValueError(
                f"{name} was made by {self.header.model}, not {self.codec.model.name}; load that codec"
            )
        self._check_size(max_seconds)
        self.language_model: nn.Module | None = None
        if self.header.language_model:
            self.language_model = language_model or load_language_model(
                self.codec, local_files_only=local_files_only
            )

    def __iter__(self) -> Iterator[Tensor]:
        """The sound, block by block; once only."""
        left = self.header.length
        for block in self._decoded():
            block = block[0, :, :left]
            left -= block.shape[-1]
            if block.shape[-1]:
                yield block
        assert left == 0

    def _decoded(self) -> Iterator[Tensor]:
        """Samples `[1, C, n]`, a few more than the sound has."""
        codec, length = self.codec, self.header.length
        if codec.segment_length is None:
            stream = codec.stream_decoder()
            for codes in self._codes(length, last=True):
                yield stream.push(codes)
            yield stream.flush()
            return
        overlap = OverlapAdd(codec.segment_stride)
        for start in range(0, length, codec.segment_stride):
            size = min(length - start, codec.segment_length)
            scale = self._read_scale() if codec.model.normalize else None
            parts = list(self._codes(size, last=start + codec.segment_stride >= length))
            yield overlap.push(codec.decode_segment(Segment(torch.cat(parts, dim=-1), scale)))
        tail = overlap.flush()
        assert tail is not None
        yield tail

    def _codes(self, size: int, last: bool) -> Iterator[Tensor]:
        """Codes `[1, K, t]` of a segment of that many samples, in blocks."""
        frames, codebooks = -(-size // self.codec.hop_length), self.header.num_codebooks
        if self.language_model is not None:
            coded = read_coded(_Counted(self), codebooks, self.language_model)
        else:
            coded = read_plain(_Counted(self), self.codec.model.bits_per_codebook, codebooks)
        for start in range(0, frames, BLOCK_FRAMES):
            try:
                block = [next(coded) for _ in range(min(BLOCK_FRAMES, frames - start))]
            except (EOFError, ValueError) as error:
                raise self._error(str(error)) from error
            yield torch.tensor(block).T.unsqueeze(0)  # [t, K] -> [1, K, t]
        if last and self.language_model is None:
            # What dump_ecdc adds for the package's reader may follow, nothing else.
            spare = self._packed_size(expected_frames(self.codec, size)) - self._packed_size(frames)
            rest = self.stream.read(spare + 1)
            if len(rest) not in (0, spare):
                raise self._error("data is left after the last frame; the header or the file is damaged")

    def _packed_size(self, frames: int) -> int:
        return -(-frames * self.header.num_codebooks * self.codec.model.bits_per_codebook // 8)

    def _check_size(self, max_seconds: float) -> None:
        """See that K fits the codec, and that the length fits the data where the stream can tell."""
        header, codec = self.header, self.codec
        if not 1 <= header.num_codebooks <= codec.max_codebooks:
            allowed = f"1 to {codec.max_codebooks}"
            raise self._error(
                f"there are {header.num_codebooks} codebooks; {allowed} are allowed", at=PREFIX.size
            )
        seconds = header.length / codec.sample_rate
        if header.language_model and seconds > max_seconds:
            raise EcdcError(
                f"{self.name}: the sound lasts {seconds:.0f} s, max_seconds is {max_seconds:.0f}; "
                "if you trust the file, allow more with max_seconds="
            )
        if not self.stream.seekable():
            return
        here = self.stream.tell()
        present = self.stream.seek(0, io.SEEK_END) - here
        self.stream.seek(here)
        # A lower bound, so that a length out of thin air is noticed before anything is decoded.
        needed = 0 if header.language_model else self._packed_size(header.length // codec.hop_length)
        if codec.model.normalize:
            needed += -(-header.length // codec.segment_stride) * SCALE.size
        if present < needed:
            raise self._error(
                f"{header.length} samples need {needed} bytes more, {present} are there; "
                "the file is truncated or its header damaged"
            )

    def _read_scale(self) -> Tensor:
        at = self.offset
        (scale,) = SCALE.unpack(self._read(SCALE.size))
        if not 0 < scale <= MAX_SCALE:
            raise self._error(f"a segment's loudness is {scale}; the file is damaged", at=at)
        return torch.tensor([[scale]])

    def _read(self, size: int) -> bytes:
        """Exactly that many bytes."""
        data = read_fully(self.stream, size)
        self.offset += len(data)
        if len(data) < size:
            raise self._error(f"the file ends {size - len(data)} bytes too early; it is truncated")
        return data

    def _error(self, what: str, at: int | None = None) -> EcdcError:
        return EcdcError.at(self.name, self.offset if at is None else at, what)


class _Counted:
    """What the package's bit reader needs of a file, with the offset kept for messages."""

    def __init__(self, reader: EcdcReader) -> None:
        self.reader = reader

    def read(self, size: int) -> bytes:
        data = self.reader.stream.read(size)
        self.reader.offset += len(data)
        return data


def read_ecdc(
    path: str | os.PathLike[str],
    codec: EnCodec | Callable[[EcdcHeader], EnCodec] | None = None,
    *,
    language_model: nn.Module | None = None,
    max_seconds: float = 4 * 3600.0,
) -> Audio:
    """Decompress an `.ecdc` file; see EcdcReader for arguments and errors, and to read it block by block.

    Raises:
        FileNotFoundError: there is no such file.
        IsADirectoryError: the path is a folder.
    """
    with open_input(path, ".ecdc file") as (name, stream):
        reader = EcdcReader(stream, codec, language_model=language_model, name=name, max_seconds=max_seconds)
        blocks = list(reader)
    return Audio(torch.cat(blocks, dim=-1).unsqueeze(0).cpu(), reader.codec.sample_rate)
