"""Decode frames block by block to the rate, channels, level and length that the sound had, or a part of it.

Letters: C channels, N samples, K codebooks, T frames, S latents per frame of D channels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from ...core.audio import AudioError, mix, resampled_length
from ...core.limiter import Limiter, limit_blocks
from ...core.resampler import Resampler, cut
from ..container import Compressed, ContainerError, Header, config_hash
from ..frame_codec import FrameCodec
from ..streams import CodecStream
from ..weights_hash import weights_hash
from .encode_frames import BLOCK_SECONDS, checked_resampler
from .span import RESAMPLER_SETTLES, Span, plan_span
from .succession import succeeds

# From a frame on: its number and frames `[K, T]` or `[T, S, D]`, then further ones; the first may come
# earlier.
FrameSource = Callable[[int], Iterator[tuple[int, Tensor]]]


def check_codec(codec: FrameCodec, header: Header, source: str, *, any_weights: bool = False) -> None:
    """Raise ContainerError unless this is the codec that a header tells of, with the same weights.

    Args:
        codec: that is to decode.
        header: of what is to be decoded.
        source: of the header, for messages.
        any_weights: let weights be others.
    """
    own = config_hash(codec)
    called = codec.name or type(codec).__name__
    if own != header.config_hash and not succeeds(codec, header):
        raise ContainerError(
            f"{source} was made with the codec {header.codec!r} of configuration {header.config_hash}, but "
            f"{called!r} has configuration {own}; decode with the codec that made it"
        )
    shape_fits = header.shape == codec.latent_shape
    if header.kind == "codes":
        most = max(codec.codebook_choices, default=0)
        shape_fits = (
            codec.discrete and header.shape[0] <= most and header.codebook_size == codec.codebook_size
        )
    if not shape_fits or header.frame_rate != codec.sample_rate / codec.samples_per_frame:
        raise ContainerError(
            f"{source} has {header.kind} of shape {header.shape} at {header.frame_rate} frames per second, "
            f"which {called!r} does not make; the file is damaged"
        )
    if not any_weights and other_weights(codec, header):
        raise ContainerError(
            f"{source} was made with weights {header.weights} of the codec {header.codec!r}, but {called!r} "
            f"has weights {weights_hash(codec)}: it was trained again since, or is another training of the "
            "same configuration. Decode with the weights that made the file (--codec FOLDER), or take what "
            "these make of it, which may be noise: soundloom decode --any-weights, in Python any_weights=True"
        )


def other_weights(codec: FrameCodec, header: Header) -> bool:
    """Whether a header tells of other weights than a codec has; those of older files tell of none.

    Weights that ship in their place are no others, see succession.py.
    """
    same = header.weights is None or header.weights == weights_hash(codec)
    return not same and not succeeds(codec, header)


def decode_blocks(
    codec: FrameCodec,
    header: Header,
    frames: FrameSource,
    length: Callable[[], int | None],
    span: Span,
    *,
    source: str = "the sound",
    partial: bool = False,
    limiter: Limiter | None = None,
    gain: float = 1.0,
) -> Iterator[Tensor]:
    """Decode a sound, or a part of it, block by block, at the level that the header tells of.

    Frames that are missing between those that `frames` gives become silence.

    Args:
        codec: that decodes; `check_codec` has been asked.
        header: of the frames.
        frames: see `FrameSource`.
        length: of the whole sound in samples at `header.sample_rate`; None while unknown. When there are no
            more frames, None stands for all that was decoded.
        span: from `plan_span`.
        source: of the frames, for messages.
        partial: let frames that are missing at the end be; else they are an error.
        limiter: a fresh one at `span.rate`; None: one whose ceiling is that of the header's peak.
        gain: factor on top of the header's.

    Yields:
        Float32 `[C, N]`, N >= 1, at `span.rate`.

    Raises:
        AudioError: there are no samples there.
        ContainerError: fewer frames than the length wants.
    """
    place = math.ceil(span.frame * codec.samples_per_frame)

    def codec_end() -> int | None:
        """Where decoding ends, in samples at the codec's rate from `place` on."""
        whole = length()
        end = None if whole is None else resampled_length(whole, header.sample_rate, codec.sample_rate)
        if span.stop is not None:
            settles = RESAMPLER_SETTLES * max(1, -(-codec.sample_rate // span.rate))
            ahead = resampled_length(span.stop + Limiter(span.rate).delay, span.rate, codec.sample_rate)
            needed = ahead + settles
            end = needed if end is None else min(end, needed)
        return None if end is None else end - place

    def last() -> int | None:
        whole = length()
        end = None if whole is None else resampled_length(whole, header.sample_rate, span.rate)
        if span.stop is not None:
            end = span.stop if end is None else min(end, span.stop)
        return None if end is None else end - span.resampled_first

    resampler: Resampler | None = None

    def resampled() -> Iterator[Tensor]:
        nonlocal resampler
        decoded = _decoded(codec, frames(span.frame), span.frame)
        # The last frame may reach beyond the end, by a frame and the rounding of odd frame lengths.
        slack = math.ceil(1.1 * codec.samples_per_frame)
        for block in cut(decoded, span.codec_first - place, codec_end, slack):
            sound = mix(block * (gain * header.gain / header.scale), header.channels)
            if resampler is None:
                resampler = checked_resampler(codec.sample_rate, span.rate, len(sound), source)
            yield resampler.push(sound)
        if resampler is not None:
            yield resampler.flush()

    given = 0
    first = span.first - span.resampled_first
    if limiter is None:
        limiter = Limiter(span.rate, header.peak)
    for block in cut(limit_blocks(resampled(), limiter), first, last):
        given += block.shape[-1]
        yield block
    end = last()
    if end is not None and given < end - first and not partial:
        raise ContainerError(f"{source} ends {end - first - given} samples early; the file is damaged")
    if not given:
        raise AudioError(f"{source} has no samples there; it ends before {span.first / span.rate:g} s")


def _decoded(codec: FrameCodec, frames: Iterator[tuple[int, Tensor]], first: int) -> Iterator[Tensor]:
    """Samples `[C, N]` at the codec's rate from frame `first` on, silent where frames are missing."""
    size = codec.samples_per_frame
    piece = max(1, round(BLOCK_SECONDS * codec.sample_rate / size))
    decoder: CodecStream | None = None
    expected, place = first, math.ceil(first * size)

    def ended() -> Iterator[Tensor]:
        nonlocal place
        if decoder is not None:
            rest = decoder.flush()[0].cpu()
            place += rest.shape[-1]
            yield rest

    def silence(until: int) -> Iterator[Tensor]:
        nonlocal place
        while place < until:
            quiet = torch.zeros(codec.channels, min(until - place, round(BLOCK_SECONDS * codec.sample_rate)))
            place += quiet.shape[-1]
            yield quiet

    for number, chunk in frames:
        axis = 1 if chunk.ndim == 2 else 0
        if number < expected:
            known = min(expected - number, chunk.shape[axis])
            number, chunk = expected, chunk.narrow(axis, known, chunk.shape[axis] - known)
        if number > expected:
            yield from ended()
            decoder = None
            skipped = min(-number % codec.seek_frames, chunk.shape[axis])
            number, chunk = number + skipped, chunk.narrow(axis, skipped, chunk.shape[axis] - skipped)
            yield from silence(math.ceil(number * size))
            expected = number
        if not chunk.shape[axis]:
            continue
        if decoder is None:
            decoder = codec.stream_decoder()
        for part in chunk.split(piece, dim=axis):
            made = decoder.push(part.unsqueeze(0))[0].cpu()
            place += made.shape[-1]
            yield made
        expected = number + chunk.shape[axis]
    yield from ended()


def decode_sound(
    codec: FrameCodec,
    compressed: Compressed,
    *,
    start: float | None = None,
    stop: float | None = None,
    any_weights: bool = False,
) -> tuple[Tensor, int]:
    """See `Codec.decompress`."""
    header = compressed.header
    check_codec(codec, header, "this sound", any_weights=any_weights)
    axis = 1 if header.kind == "codes" else 0

    def frames(first: int) -> Iterator[tuple[int, Tensor]]:
        have = compressed.frames.shape[axis]
        yield first, compressed.frames.narrow(axis, min(first, have), max(0, have - first))

    span = plan_span(codec, header, start, stop, None)
    blocks = list(decode_blocks(codec, header, frames, lambda: header.length, span, source="this sound"))
    return torch.cat(blocks, dim=-1), header.sample_rate
