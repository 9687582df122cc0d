"""Open .loom files for decoding: all of it, a part, or what is intact."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import BinaryIO

import torch
from torch import Tensor

from ...core.audio import resampled_length
from ...core.limiter import CEILING, Limiter
from ..base import Codec
from ..container import ContainerError, ContainerReader
from ..container.reader import LONG_SECONDS
from ..frames.decode_frames import FrameSource, check_codec, decode_blocks, other_weights
from ..frames.span import plan_span
from .file_report import Decoding
from .loaded_codecs import CodecShelf


def open_loom(
    file: BinaryIO,
    shown: str,
    codec: Codec | CodecShelf,
    *,
    recover: bool = False,
    any_weights: bool = False,
    gain: float = 1.0,
    ceiling: float = CEILING,
    start: float | None = None,
    stop: float | None = None,
    rate: int | None = None,
) -> Decoding:
    """Get a .loom file ready for decoding.

    Args:
        file: where it stands.
        shown: its name, for messages.
        codec: that decodes, or where it is found.
        recover, any_weights: see `decode_file`.
        gain: factor on the sound, which is then limited.
        ceiling: of the limiter.
        start, stop: seconds between which the sound is wanted.
        rate: Hz of the result; None: that of the sound that was encoded.

    Raises:
        ContainerError: a damaged file, or its codec is not here, another one, or one of other weights.
        ValueError: no such part of the sound.
    """
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
        tags=header.tags,
    )


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
