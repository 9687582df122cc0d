"""What `Codec.compress`, `Codec.decompress` and the file functions share: sound <-> frames of a container.

    sound -> resample -> mix -> scale -> stream encoder -> frames
    frames -> stream decoder -> cut -> unscale, gain -> mix -> resample -> limit -> cut to length -> sound

Everything runs piece by piece over the streams of codecs, so that memory does not grow with the sound's
length. Letters: C channels, N samples, K codebooks, T frames, S latents per frame of D channels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ...core.audio import AudioError, as_samples, check_axes, check_rate, check_sound, mix, resampled_length
from ...core.errors import ArgumentError
from ...core.limiter import Limiter, limit_blocks
from ...core.resampler import Resampler, cut
from ..container import Compressed, ContainerError, Header, config_hash
from ..streams import CodecStream
from ..weights_hash import weights_hash
from .level import LevelMatch, match_level
from .storage import Storage, make_header

if TYPE_CHECKING:
    from ..base import Codec

# Seconds of sound that go through a codec at once; more is no faster and takes more memory.
BLOCK_SECONDS = 2.0
# Samples at the lower of two rates after which a resampler has settled.
RESAMPLER_SETTLES = 2048

# From a frame on: its number and frames `[K, T]` or `[T, S, D]`, then further ones; the first may come
# earlier.
FrameSource = Callable[[int], Iterator[tuple[int, Tensor]]]


def _resampler(from_rate: int, to_rate: int, channels: int, source: str) -> Resampler:
    try:
        return Resampler(from_rate, to_rate, channels)
    except AudioError as error:
        raise AudioError(f"{source}: {error}") from None


# --- encoding --------------------------------------------------------------------------------------------


def encode_blocks(
    codec: Codec,
    header: Header,
    blocks: Iterable[Tensor],
    *,
    source: str = "the audio",
    match: LevelMatch | None = None,
) -> Iterator[Tensor]:
    """Encode a sound that comes in blocks.

    Args:
        codec: that encodes.
        header: from `make_header`.
        blocks: float32 `[C, N]` of any N, C the sound's own channels, at `header.sample_rate`.
        source: of the sound, for messages.
        match: told what comes in and what is made of it.

    Yields:
        Frames, codes `[K, T]` or latents `[T, S, D]`, T >= 1.

    Raises:
        AudioError: NaN or infinite samples, or none at all.
    """
    encoder = _stream_encoder(codec, header)
    resampler: Resampler | None = None

    def frames(chunk: Tensor) -> Iterator[Tensor]:
        chunk = chunk[0, : header.shape[0]] if header.kind == "codes" else chunk[0]
        if chunk.shape[-1 if header.kind == "codes" else 0]:
            if match is not None:
                match.frames(chunk)
            yield chunk.cpu()

    def push(samples: Tensor) -> Iterator[Tensor]:
        if samples.shape[-1]:
            samples = mix(samples, codec.channels) * header.scale
            if match is not None:
                match.encoded(samples)
            yield from frames(encoder.push(samples.unsqueeze(0)))

    for block in blocks:
        check_sound(block, source)
        if match is not None:
            match.source(block)
        if resampler is None:
            resampler = _resampler(header.sample_rate, codec.sample_rate, len(block), source)
        yield from push(resampler.push(block))
    if resampler is None or not resampler.taken:
        raise AudioError(f"{source} holds 0 samples; use a sound that is not empty")
    yield from push(resampler.flush())
    yield from frames(encoder.flush())


def compress(
    codec: Codec,
    audio: Tensor | np.ndarray,
    sample_rate: int,
    storage: Storage,
    *,
    entropy: str = "auto",
    scale: float = 1.0,
    name: str | None = None,
    level: bool = True,
) -> Compressed:
    """See `Codec.compress`."""
    samples = as_samples(audio)
    if samples.ndim == 1:
        samples = samples.unsqueeze(0)
    if samples.ndim == 3 and len(samples) == 1:
        samples = samples[0]
    if samples.ndim != 2:
        raise AudioError(f"audio has shape {list(samples.shape)}; use one sound, [N], [C, N] or [1, C, N]")
    check_axes(samples)
    header = make_header(
        codec,
        storage,
        sample_rate=sample_rate,
        channels=len(samples),
        length=samples.shape[-1],
        entropy=entropy,
        scale=scale,
        name=name,
    )
    block = max(1, round(BLOCK_SECONDS * sample_rate))
    match = LevelMatch(codec, header) if level else None
    frames = list(encode_blocks(codec, header, samples.split(block, dim=-1), match=match))
    if match is not None:
        header = match_level(header, match)
    return Compressed(header, torch.cat(frames, dim=1 if header.kind == "codes" else 0))


def _stream_encoder(codec: Codec, header: Header) -> CodecStream:
    if codec.latent_shape is not None:
        return codec.stream_encoder(discrete=header.kind == "codes")
    if header.shape[0] > codec.num_codebooks:
        return codec.stream_encoder(num_codebooks=header.shape[0])
    return codec.stream_encoder()


# --- decoding --------------------------------------------------------------------------------------------


def check_codec(codec: Codec, header: Header, source: str, *, any_weights: bool = False) -> None:
    """Raise ContainerError unless this is the codec that a header tells of, with the same weights.

    Args:
        codec: that is to decode.
        header: of what is to be decoded.
        source: of the header, for messages.
        any_weights: let weights be others.
    """
    own = config_hash(codec)
    called = codec.name or type(codec).__name__
    if own != header.config_hash:
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


def other_weights(codec: Codec, header: Header) -> bool:
    """Whether a header tells of other weights than a codec has; those of older files tell of none."""
    return header.weights is not None and header.weights != weights_hash(codec)


@dataclass
class Span:
    """A part of a sound, and what has to be decoded for it.

    Attributes:
        first, stop: samples at `rate`; stop is None for the end.
        rate: Hz of what is given.
        codec_first: sample at the codec's rate at which resampling begins.
        resampled_first: the sample at `rate` at the same time.
        frame: first frame to decode.
    """

    first: int
    stop: int | None
    rate: int
    codec_first: int
    resampled_first: int
    frame: int


def plan_span(
    codec: Codec, header: Header, start: float | None, stop: float | None, rate: int | None
) -> Span:
    """Find out what has to be decoded for the sound between two times in seconds.

    Raises:
        ValueError: times that are no part of the sound.
    """
    rate = header.sample_rate if rate is None else check_rate(rate)
    check_part(start, stop, None if header.length is None else header.length / header.sample_rate)
    first = round((start or 0.0) * rate)
    heard = max(0, first - Limiter(rate).memory)  # the limiter lets go of peaks that lie up to there
    common = math.gcd(codec.sample_rate, rate)
    # Resampling begins where both rates have a sample at the same time, early enough for the filter to
    # settle.
    settles = 0 if rate == codec.sample_rate else RESAMPLER_SETTLES * max(1, -(-codec.sample_rate // rate))
    step = codec.sample_rate // common
    codec_first = max(0, heard * codec.sample_rate // rate - settles) // step * step
    frame = math.floor(codec_first / codec.samples_per_frame) - codec.warm_up_frames
    return Span(
        first=first,
        stop=None if stop is None else round(stop * rate),
        rate=rate,
        codec_first=codec_first,
        resampled_first=codec_first * rate // codec.sample_rate,
        frame=max(0, frame) // codec.seek_frames * codec.seek_frames,
    )


def check_part(start: float | None, stop: float | None, seconds: float | None) -> None:
    """Raise ValueError unless there is a part between two times of a sound of that length, None: unknown."""
    for name, value in (("start", start), ("stop", stop)):
        if value is not None and (not math.isfinite(value) or value < 0):
            raise ArgumentError(f"{name} is {value}; it is a time in seconds, 0 or more")
    if start is not None and stop is not None and stop <= start:
        raise ArgumentError(f"stop is {stop} s, which is not after start, {start} s")
    if start is not None and seconds is not None and start >= seconds:
        raise ArgumentError(f"start is {start} s, but the sound ends at {seconds:g} s")


def decode_blocks(
    codec: Codec,
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
                resampler = _resampler(codec.sample_rate, span.rate, len(sound), source)
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


def _decoded(codec: Codec, frames: Iterator[tuple[int, Tensor]], first: int) -> Iterator[Tensor]:
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


def decompress(
    codec: Codec,
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
