"""Encode a sound that comes in blocks: resample, mix, scale, stream encoder.

Letters: C channels, N samples, K codebooks, T frames, S latents per frame of D channels.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch import Tensor

from ...core.audio import AudioError, as_samples, check_axes, check_sound, mix
from ...core.resampler import Resampler
from ..container import Compressed, Header
from ..frame_codec import FrameCodec
from .level import LevelMatch, match_level
from .storage import Storage, make_header

# Seconds of sound that go through a codec at once; more is no faster and takes more memory.
BLOCK_SECONDS = 2.0


def checked_resampler(from_rate: int, to_rate: int, channels: int, source: str) -> Resampler:
    """A Resampler whose errors name the source."""
    try:
        return Resampler(from_rate, to_rate, channels)
    except AudioError as error:
        raise AudioError(f"{source}: {error}") from None


def encode_blocks(
    codec: FrameCodec,
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
    is_codes = header.kind == "codes"
    encoder = codec.stream_encoder(discrete=is_codes, num_codebooks=header.shape[0] if is_codes else None)
    resampler: Resampler | None = None

    def frames(chunk: Tensor) -> Iterator[Tensor]:
        # codes [1, K, T] -> [K, T], latents [1, T, S, D] -> [T, S, D]
        chunk = chunk[0]
        if chunk.shape[1 if is_codes else 0]:
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
            resampler = checked_resampler(header.sample_rate, codec.sample_rate, len(block), source)
        yield from push(resampler.push(block))
    if resampler is None or not resampler.taken:
        raise AudioError(f"{source} holds 0 samples; use a sound that is not empty")
    yield from push(resampler.flush())
    yield from frames(encoder.flush())


def encode_sound(
    codec: FrameCodec,
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
