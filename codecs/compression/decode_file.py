"""Decompress one file or pipe, or a part of it, or what is left of a damaged one."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

import torch
from torch import Tensor

from ...core.audio import check_destination, resampled_length
from ...core.audio_blocks import FileWriter, PipeWriter, SoundWriter
from ...core.errors import ArgumentError
from ...core.files import PathOrStream, Tally, open_input, open_output
from ...core.limiter import CEILING, Limiter
from ...core.loudness import LoudnessMeter, check_loudness, loudness_gain
from ...core.progress import Advance
from ...core.raw_format import RawFormat
from ..base import Codec
from ..container import ContainerError, ContainerReader
from ..container.reader import LONG_SECONDS
from ..ecdc.ecdc_header import EcdcError, starts_ecdc
from ..frames.decode_frames import FrameSource, check_codec, decode_blocks, other_weights
from ..frames.span import plan_span
from .ecdc_files import open_ecdc
from .file_report import Decoding, FileReport
from .loaded_codecs import CodecShelf

UNLIMITED = 1e30  # a ceiling that no sound reaches


def decode_file(
    source: PathOrStream,
    destination: PathOrStream,
    codec: Codec | CodecShelf | None = None,
    *,
    start: float | None = None,
    stop: float | None = None,
    sample_rate: int | None = None,
    raw: RawFormat | None = None,
    recover: bool = False,
    any_weights: bool = False,
    loudness: float | None = None,
    force: bool = False,
    progress: Advance | None = None,
) -> FileReport:
    """Decompress a file to the sample rate, channels and exact length that its sound had.

    An .ecdc file does not say that: its sound has the codec's. What is beyond full scale is limited.

    Args:
        source: a .loom or .ecdc file, or a binary stream with one, told by its first bytes.
        destination: a file name that ends in .wav, .flac, .ogg or .mp3, or a binary stream, which gets 16 bit
            wav.
        codec: that made the file; None or a CodecShelf: the one that the file names, if it is on this
            machine.
        start, stop: seconds between which the sound is wanted; a .loom file is then decoded only there.
        sample_rate: Hz of the result; None: that of the sound that was encoded.
        raw: what a stream gets instead of wav.
        recover: keep what is intact of a damaged file; what is lost becomes silence, as far as a file of that
            size can have held it.
        any_weights: decode also with other weights of the codec than those that made the file: as it was
            trained again since, it may make noise of it.
        loudness: integrated loudness of the result, LUFS (ITU-R BS.1770); the sound is decoded twice, and a
            pipe cannot be. None: as it was.
        force: replace an existing file.
        progress: called with the seconds that are done since the last call.

    Raises:
        FileExistsError: the destination exists and `force` is off, or it is the source itself.
        OSError: something cannot be read or written.
        ContainerError: the source is no such file, damaged, or made with another codec or other weights.
        EcdcError: an .ecdc file is damaged, or `recover` was asked for.
        AudioError: the destination's format does not take the sound.
        ValueError: no such part of the sound, a loudness outside -70 to 0 LUFS, or one for a pipe.
    """
    if loudness is not None:
        check_loudness(loudness)
    if isinstance(destination, (str, os.PathLike)):
        check_destination(destination, force=force)
    with open_input(source) as (shown, file):
        shelf = codec if isinstance(codec, CodecShelf) else CodecShelf()
        chosen = None if isinstance(codec, CodecShelf) else codec
        part: dict[str, Any] = {"start": start, "stop": stop, "rate": sample_rate}
        is_ecdc = starts_ecdc(file)
        if is_ecdc and recover:
            raise EcdcError(
                f"{shown} is an .ecdc file, which has no checks by which its intact parts could be told: "
                "leave out --recover (in Python recover=True)"
            )

        def open_sound(gain: float = 1.0, ceiling: float = CEILING) -> Decoding:
            loud: dict[str, Any] = {"gain": gain, "ceiling": ceiling}
            if is_ecdc:
                return open_ecdc(file, shown, chosen or shelf, **part, **loud)
            return _open_loom(file, shown, chosen or shelf, recover, any_weights, **part, **loud)

        if loudness is None:
            decoding = open_sound()
        else:
            if not file.seekable():
                raise ArgumentError(
                    f"{shown} is a pipe, and the loudness of a sound is known at its end: give a file, or "
                    "leave the loudness out"
                )
            place = file.tell()
            decoding = open_sound(ceiling=UNLIMITED)  # limited once it has its loudness
            meter = LoudnessMeter(decoding.rate)
            for block in decoding.blocks:
                meter.push(block)
            file.seek(place)
            decoding = open_sound(loudness_gain(meter.integrated(), loudness))
        with open_output(destination, source, force=force) as (name, stream):
            tally = Tally(stream)
            writer: SoundWriter
            shape: dict[str, Any] = {"sample_rate": decoding.rate, "channels": decoding.header.channels}
            if isinstance(destination, (str, os.PathLike)):
                suffix = Path(destination).suffix.lower()
                partial = Path(stream.name)
                to_file = FileWriter(partial, suffix, shown=Path(destination), **shape)
                done = _write(to_file, decoding, progress)
                to_file.close()
                writer, size = to_file, partial.stat().st_size
            else:
                shape["length"] = decoding.count
                writer = PipeWriter(cast(BinaryIO, tally), raw=raw, **shape)
                done = _write(writer, decoding, progress)
                size = tally.size
        return FileReport(
            source=shown,
            destination=name,
            header=decoding.header,
            seconds=done / decoding.rate,
            size=size,
            source_channels=decoding.header.channels,
            gain_reduction=decoding.limiter.gain_reduction,
            damaged=decoding.damaged(),
            other_weights=decoding.other_weights,
        )


def _open_loom(
    file: BinaryIO,
    shown: str,
    codec: Codec | CodecShelf,
    recover: bool,
    any_weights: bool,
    *,
    gain: float,
    ceiling: float,
    start: float | None,
    stop: float | None,
    rate: int | None,
) -> Decoding:
    reader = ContainerReader(file, name=shown, recover=recover)
    header = reader.header
    if isinstance(codec, CodecShelf):
        codec = codec.find(header.codec, shown)
    check_codec(codec, header, shown, any_weights=any_weights)
    span = plan_span(codec, header, start, stop, rate)
    left_out: list[tuple[int, int, str]] = []
    part = math.inf if stop is None else stop - (start or 0.0)
    frames = _frames(reader, left_out, check=part > LONG_SECONDS)
    limiter = Limiter(span.rate, ceiling)
    blocks = decode_blocks(
        codec,
        header,
        frames,
        lambda: reader.length,
        span,
        source=shown,
        partial=recover,
        limiter=limiter,
        gain=gain,
    )
    count = None
    if reader.length is not None and not recover:
        count = resampled_length(reader.length, header.sample_rate, span.rate)
        count = (count if span.stop is None else min(count, span.stop)) - span.first
    return Decoding(
        header=header,
        rate=span.rate,
        count=count,
        blocks=blocks,
        limiter=limiter,
        damaged=lambda: [*reader.damaged, *left_out],
        other_weights=other_weights(codec, header),
    )


def _write(writer: SoundWriter, decoding: Decoding, progress: Advance | None) -> int:
    """Write the whole sound; returns the number of samples."""
    done = 0
    for block in decoding.blocks:
        writer.write(block)
        done += block.shape[-1]
        if progress is not None:
            progress(block.shape[-1] / decoding.rate)
    return done


def _frames(reader: ContainerReader, left_out: list[tuple[int, int, str]], check: bool) -> FrameSource:
    """Frames of a file from any frame on; notes in `left_out` what is lost and gets no silence instead.

    Args:
        reader: of the file.
        left_out: as the damage of a FileReport.
        check: stop where the file cannot be meant to hold so many frames, see `check_claims`.
    """
    size = reader.header.frames_per_chunk

    def frames(first: int) -> Iterator[tuple[int, Tensor]]:
        if not reader.recover and reader.frames is not None:
            if check:
                reader.check_claims(reader.frames)
            while first < reader.frames:
                stop = min(first // size * size + size, reader.frames)
                yield first, reader.read(first, stop)
                first = stop
            return
        # In order, and what lies before goes unused.
        known = silent = shift = 0

        def close_up(number: int) -> None:
            """Let silence stand for frames `known` to `number`, as far as they can have been there."""
            nonlocal silent, shift
            kept = min(number - known, max(0, reader.most_lost - silent) // size * size)
            silent += kept
            if kept < number - known:
                left = number - known - kept
                shift += left
                left_out.append(
                    (known + kept, left, "no silence stands for them: more than the file can have held")
                )

        for number, chunk in reader.chunks():
            if number > known:
                close_up(number)
            known = number + chunk.shape[1 if reader.header.kind == "codes" else 0]
            if check:
                reader.check_claims(known - shift)
            yield number - shift, chunk
        if not known and reader.damaged:
            raise ContainerError(f"{reader.name}: nothing of it is intact, so there is nothing to recover")
        if reader.frames is not None:
            close_up(reader.frames)
            shape = reader.header.shape
            yield reader.frames - shift, torch.zeros(*shape, 0) if len(shape) == 1 else torch.zeros(0, *shape)

    return frames
