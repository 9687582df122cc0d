"""`.ecdc` files: EnCodec's own format, written and read as by `encodec.compress`.

A file is the header (magic `ECDC`, version 0, size of what follows as uint32, big-endian; then JSON: `m`
model, `al` samples, `nc` codebooks, `lm` whether a language model was used), then segment after segment: its
loudness as a big-endian float32 (48 kHz only) and its codes, frame by frame, in 10 bits each (lowest bit
first, filled up to a byte at the end of a segment) or by the arithmetic coder with a language model's
probabilities.

The format has no checksum: damage is noticed where a number is impossible or data is missing or left over.
"""

from __future__ import annotations

import io
import json
import math
import os
import secrets
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from torch import Tensor, nn

from ._torchaudio import import_encodec
from .audio import Audio
from .base import load_codec
from .ecdc_codes import load_language_model, pack_codes, read_coded, unpack_codes, write_coded
from .encodec import EnCodec
from .encodec_segments import OverlapAdd, Segment

MAGIC = b"ECDC"
VERSION = 0
PREFIX = struct.Struct("!4sBI")
SCALE = struct.Struct("!f")
# The package's own headers have about 60 bytes.
MAX_HEADER = 4096
MAX_SCALE = 1e6
MODELS = {"encodec_24khz": "encodec-24khz", "encodec_48khz": "encodec-48khz"}
# Frames that are read before they are decoded: a multiple of 4, so that they end with a byte at any K.
BLOCK_FRAMES = 752


class EcdcError(ValueError):
    """An `.ecdc` file that cannot be read; the message says file, byte offset, what is wrong and the fix."""


@dataclass(frozen=True)
class EcdcHeader:
    """What an `.ecdc` file says about itself.

    Attributes:
        model: "encodec_24khz" or "encodec_48khz".
        length: samples of the sound at the model's rate.
        num_codebooks: K.
        language_model: whether the codes were coded with a language model.
    """

    model: str
    length: int
    num_codebooks: int
    language_model: bool


# --- writing -------------------------------------------------------------------------------------------


def write_ecdc(
    path: str | os.PathLike[str],
    audio: Tensor | np.ndarray,
    sample_rate: int,
    codec: EnCodec,
    *,
    language_model: nn.Module | None = None,
    force: bool = False,
) -> Path:
    """Compress one sound into an `.ecdc` file at the codec's `bandwidth`.

    The file appears complete or not at all. It holds the sound at the codec's rate and channels: the format
    has no place for others.

    Args:
        path: the file; its folder must exist.
        audio: `[N]` or `[C, N]`, resampled and mixed as by `codec.prepare`.
        sample_rate: Hz of `audio`.
        codec: a 24 kHz or 48 kHz EnCodec.
        language_model: see `load_language_model`; about 25 % smaller files, far slower.
        force: replace an existing file.

    Raises:
        FileExistsError: the file exists and `force` is off.
        FileNotFoundError: its folder does not exist.
        ValueError: audio or codec cannot be used.
    """
    path = Path(path)
    if path.is_dir() or not path.name:
        raise IsADirectoryError(f"{path} is a folder; give a file name, for example {path / 'sound.ecdc'}")
    if path.exists() and not force:
        raise FileExistsError(f"{path} exists; choose another name, or force=True to replace it")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"the folder {path.parent} does not exist; create it first")
    samples = codec.prepare(audio, sample_rate)
    partial = path.with_name(f".soundloom-{secrets.token_hex(8)}.part")
    try:
        with partial.open("xb") as stream:
            dump_ecdc(stream, samples, codec, language_model=language_model)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    return path


def dump_ecdc(
    stream: BinaryIO, audio: Tensor, codec: EnCodec, *, language_model: nn.Module | None = None
) -> None:
    """Write one sound `[1, C, N]` that is ready for `codec.encode` to a binary stream; see `write_ecdc`."""
    codec.check_audio(audio)
    if len(audio) != 1:
        raise ValueError(f"an .ecdc file holds 1 sound, not {len(audio)}; write one file for each")
    if codec.model.name not in MODELS:
        raise ValueError(
            f"an .ecdc file cannot hold what {codec.model.name} made; use {' or '.join(MODELS.values())}"
        )
    length = audio.shape[-1]
    header = {
        "m": codec.model.name,
        "al": length,
        "nc": codec.num_codebooks,
        "lm": language_model is not None,
    }
    import_encodec().binary.write_ecdc_header(stream, header)
    starts = range(0, length, codec.segment_stride if codec.segment_length else length)
    for start, segment in zip(starts, codec.encode_segments(audio, covered=True), strict=True):
        # The package's reader counts frames in floating point and expects one more for some lengths (6720
        # samples at 24 kHz, for example), where it cannot read its own files. It gets one: the last, twice.
        size = min(length - start, codec.segment_length or length)
        missing = expected_frames(codec, size) - segment.codes.shape[-1]
        codes = torch.cat([segment.codes, *[segment.codes[..., -1:]] * missing], dim=-1)
        if segment.scale is not None:
            stream.write(SCALE.pack(float(segment.scale)))
        if language_model is not None:
            write_coded(stream, codes, language_model)
        else:
            for block in codes[0].split(BLOCK_FRAMES, dim=-1):
                stream.write(pack_codes(block, codec.model.bits_per_codebook))


def expected_frames(codec: EnCodec, size: int) -> int:
    """Frames that the package's reader expects for a segment of that many samples."""
    return math.ceil(size / codec.sample_rate * codec.model.frame_rate)


# --- reading -------------------------------------------------------------------------------------------


class EcdcReader:
    """Reads an `.ecdc` stream and gives the sound in blocks `[C, n]`, `header.length` samples in all.

    Memory does not grow with the length. The stream is read once, from where it stands.

    Args:
        stream: binary, perhaps a pipe.
        codec: what decodes; None loads the one that the header names (from the hub, or its cache).
        language_model: for files that were written with one; None loads it, see `load_language_model`.
        name: the file's name for error messages.
        max_seconds: longer sounds are refused if they were written with a language model: for these, a small
            hostile file can stand for hours of work.

    Raises:
        EcdcError: no `.ecdc` file, a hostile or damaged header, or too little data for what it says.
        ValueError: the file is of another model than `codec`.
    """

    def __init__(
        self,
        stream: BinaryIO,
        codec: EnCodec | None = None,
        *,
        language_model: nn.Module | None = None,
        name: str = "<stream>",
        max_seconds: float = 4 * 3600.0,
    ) -> None:
        self.stream, self.name, self.offset = stream, name, 0
        self.header = self._read_header()
        if codec is None:
            loaded = load_codec(MODELS[self.header.model])
            assert isinstance(loaded, EnCodec)
            codec = loaded
        if codec.model.name != self.header.model:
            raise ValueError(
                f"{name} was made by {self.header.model}, not {codec.model.name}; load that codec"
            )
        self.codec = codec
        self._check_size(max_seconds)
        self.language_model: nn.Module | None = None
        if self.header.language_model:
            self.language_model = language_model or load_language_model(codec)

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
        coded = None
        if self.language_model is not None:
            coded = read_coded(_Counted(self), codebooks, self.language_model)
        for start in range(0, frames, BLOCK_FRAMES):
            count = min(BLOCK_FRAMES, frames - start)
            if coded is None:
                data = self._read(self._packed_size(count))
                bits = self.codec.model.bits_per_codebook
                yield unpack_codes(data, bits, codebooks, count).unsqueeze(0)
                continue
            try:
                yield torch.cat([next(coded) for _ in range(count)], dim=-1)
            except (EOFError, ValueError) as error:
                raise self._error(str(error)) from error
        if last and coded is None:
            # What dump_ecdc adds for the package's reader may follow, nothing else.
            spare = self._packed_size(expected_frames(self.codec, size)) - self._packed_size(frames)
            rest = self.stream.read(spare + 1)
            if len(rest) not in (0, spare):
                raise self._error("data is left after the last frame; the header or the file is damaged")

    def _packed_size(self, frames: int) -> int:
        return -(-frames * self.header.num_codebooks * self.codec.model.bits_per_codebook // 8)

    def _read_header(self) -> EcdcHeader:
        magic, version, size = PREFIX.unpack(self._read(PREFIX.size))
        if magic != MAGIC:
            raise self._error(f"it begins with {magic!r}, not {MAGIC!r}: this is no .ecdc file", at=0)
        if version != VERSION:
            raise self._error(f"the format's version is {version}; only {VERSION} can be read", at=4)
        if not 2 <= size <= MAX_HEADER:
            raise self._error(f"the header has {size} bytes; 2 to {MAX_HEADER} are allowed", at=5)
        try:
            fields = json.loads(self._read(size).decode("utf-8"))
        except (ValueError, RecursionError) as error:
            raise self._error(f"the header is not JSON ({error})", at=PREFIX.size) from error
        kinds = {"m": str, "al": int, "nc": int, "lm": bool}
        if not isinstance(fields, dict) or any(
            type(fields.get(key)) is not kind for key, kind in kinds.items()
        ):
            raise self._error(
                "the header lacks m (text), al, nc (whole numbers) or lm (true or false)", at=PREFIX.size
            )
        if fields["m"] not in MODELS:
            raise self._error(
                f"the model is {fields['m'][:40]!r}; known: {', '.join(MODELS)}", at=PREFIX.size
            )
        if not 1 <= fields["al"] < 2**48:
            raise self._error(
                f"the length is {fields['al']:.4g} samples; 1 to 2**48 are allowed", at=PREFIX.size
            )
        return EcdcHeader(fields["m"], fields["al"], fields["nc"], fields["lm"])

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
        """Exactly that many bytes; a pipe may give them in several pieces."""
        parts = []
        while size:
            part = self.stream.read(size)
            if not part:
                raise self._error(f"the file ends {size} bytes too early; it is truncated")
            self.offset += len(part)
            size -= len(part)
            parts.append(part)
        return b"".join(parts)

    def _error(self, what: str, at: int | None = None) -> EcdcError:
        return EcdcError(f"{self.name}: byte {self.offset if at is None else at}: {what}; get the file again")


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
    codec: EnCodec | None = None,
    *,
    language_model: nn.Module | None = None,
    max_seconds: float = 4 * 3600.0,
) -> Audio:
    """Decompress an `.ecdc` file; see EcdcReader for arguments and errors, and to read it block by block.

    Raises:
        FileNotFoundError: there is no such file.
        IsADirectoryError: the path is a folder.
    """
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder; give the path of one .ecdc file")
    if not path.exists():
        raise FileNotFoundError(f"no such file: {path}; check the spelling and the current folder")
    with path.open("rb") as stream:
        reader = EcdcReader(
            stream, codec, language_model=language_model, name=str(path), max_seconds=max_seconds
        )
        blocks = list(reader)
    return Audio(torch.cat(blocks, dim=-1).unsqueeze(0).cpu(), reader.codec.sample_rate)
