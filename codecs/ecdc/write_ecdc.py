"""Write `.ecdc` files, as `encodec.compress` does; see read_ecdc.py for the format."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import BinaryIO, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from ...core.atomic import atomic_write
from ...core.files import check_file_destination
from ..encodec.coded_segments import SCALE
from ..encodec.model import EnCodec
from .ecdc_codes import CodedPacker, PlainPacker
from .ecdc_header import MODELS, SUFFIX, EcdcHeader, write_header


class _Packer(Protocol):
    """Takes the codes of a segment piece by piece and writes them."""

    def push(self, codes: Tensor) -> None:
        """Take codes `[K, T]`."""

    def finish(self) -> None:
        """The segment has ended."""


class EcdcWriter:
    """Writes one sound to a stream while it comes in; memory does not grow with its length.

    Args:
        stream: binary, perhaps a pipe; it stays open.
        codec: a 24 kHz or 48 kHz EnCodec.
        length: samples that will be written: the header, which comes first, holds them.
        num_codebooks: K, if not that of `codec.bandwidth`.
        language_model: see `load_language_model`; about 25 % smaller files, far slower.

    Attributes:
        header: what the file says about itself.

    Raises:
        ValueError: a codec that these files do not know, or no samples.
    """

    def __init__(
        self,
        stream: BinaryIO,
        codec: EnCodec,
        length: int,
        *,
        num_codebooks: int | None = None,
        language_model: nn.Module | None = None,
    ) -> None:
        check_codec(codec)
        if length < 1:
            raise ValueError(f"an .ecdc file cannot hold {length} samples; give at least 1")
        self.codec, self.length = codec, length
        self.num_codebooks = num_codebooks or codec.num_codebooks
        self.header = EcdcHeader(codec.model.name, length, self.num_codebooks, language_model is not None)
        self._stream, self._language_model = stream, language_model
        self._encoder = codec.stream_encoder(num_codebooks=num_codebooks)  # of a codec without segments
        self._held = torch.zeros(1, codec.channels, 0)  # from the next segment's first sample on
        self._taken = self._start = self._frames = 0
        write_header(stream, self.header)
        self._packer = self._new_packer()

    def write(self, samples: Tensor) -> None:
        """Take samples `[C, N]` at the codec's rate and channels.

        Raises:
            ValueError: another shape, NaN or infinite samples, or more than were announced.
        """
        if not samples.shape[-1]:
            return
        audio = samples.unsqueeze(0)
        self.codec.check_audio(audio)
        self._taken += audio.shape[-1]
        if self._taken > self.length:
            raise ValueError(f"{self._taken} samples were written, {self.length} were announced")
        if self.codec.segment_length is None:
            self._put(self._encoder.push(audio))
            return
        self._held = torch.cat([self._held, audio.cpu()], dim=-1)
        while self._held.shape[-1] >= self.codec.segment_length:
            self._put_segment()

    def close(self) -> None:
        """Write what is left.

        Raises:
            ValueError: fewer samples were written than were announced.
        """
        if self._taken != self.length:
            raise ValueError(f"{self._taken} samples were written, {self.length} were announced")
        if self.codec.segment_length is None:
            self._put(self._encoder.flush())
            self._end_segment(self.length)
        # Also a last segment of samples that the one before covers already (1 % of a second), as the package.
        while self._held.shape[-1]:
            self._put_segment()

    def _put_segment(self) -> None:
        audio = self._held[..., : self.codec.segment_length]
        self._held = self._held[..., self.codec.segment_stride :]
        segment = self.codec.encode_segment(audio, self.num_codebooks)
        if segment.scale is not None:
            self._stream.write(SCALE.pack(float(segment.scale)))
        self._put(segment.codes)
        self._end_segment(audio.shape[-1])

    def _put(self, codes: Tensor) -> None:
        """Codes `[1, K, T]` of the present segment."""
        if codes.shape[-1]:
            self._packer.push(codes[0])
            self._frames += codes.shape[-1]
            self._last = codes[0, :, -1:]

    def _end_segment(self, size: int) -> None:
        # The package's reader counts frames in floating point and expects one more for some lengths (6720
        # samples at 24 kHz, for example), where it cannot read its own files. It gets one: the last, twice.
        for _ in range(expected_frames(self.codec, size) - self._frames):
            self._packer.push(self._last)
        self._packer.finish()
        self._packer, self._frames = self._new_packer(), 0

    def _new_packer(self) -> _Packer:
        if self._language_model is not None:
            return CodedPacker(self._stream, self.num_codebooks, self._language_model)
        return PlainPacker(self._stream, self.codec.model.bits_per_codebook)


def write_ecdc(
    path: str | os.PathLike[str],
    audio: Tensor | np.ndarray,
    sample_rate: int,
    codec: EnCodec,
    *,
    language_model: nn.Module | None = None,
    force: bool = False,
) -> Path:
    """Compress one sound into an `.ecdc` file at the codec's `bandwidth`; `encode_file` takes long ones.

    The file appears complete or not at all. It holds the sound at the codec's rate and channels: the format
    has no place for others.

    Args:
        path: the file; its folder must exist.
        audio: `[N]` or `[C, N]`, resampled and mixed as by `codec.prepare`.
        sample_rate: Hz of `audio`.
        codec: a 24 kHz or 48 kHz EnCodec.
        language_model: see EcdcWriter.
        force: replace an existing file.

    Raises:
        FileExistsError: the file exists and `force` is off.
        FileNotFoundError: its folder does not exist.
        ValueError: audio or codec cannot be used.
    """
    target = check_file_destination(path, force=force, example=f"sound{SUFFIX}")
    samples = codec.prepare(audio, sample_rate)
    with atomic_write(target) as stream:
        dump_ecdc(stream, samples, codec, language_model=language_model)
    return target


def dump_ecdc(
    stream: BinaryIO, audio: Tensor, codec: EnCodec, *, language_model: nn.Module | None = None
) -> None:
    """Write one sound `[1, C, N]` that is ready for `codec.encode` to a binary stream; see EcdcWriter."""
    codec.check_audio(audio)
    if len(audio) != 1:
        raise ValueError(f"an .ecdc file holds 1 sound, not {len(audio)}; write one file for each")
    writer = EcdcWriter(stream, codec, audio.shape[-1], language_model=language_model)
    writer.write(audio[0])
    writer.close()


def check_codec(codec: EnCodec) -> None:
    """Raise ValueError unless `.ecdc` files know a codec."""
    if codec.model.name not in MODELS:
        known = " or ".join(name for name, _, _ in MODELS.values())
        raise ValueError(f"an .ecdc file cannot hold what {codec.model.name} made; use {known}")


def expected_frames(codec: EnCodec, size: int) -> int:
    """Frames that the package's reader expects for a segment of that many samples."""
    return math.ceil(size / codec.sample_rate * codec.model.frame_rate)
