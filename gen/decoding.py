"""Decode codes to sound: whole, in bounded memory, or as a stream while codes are still being generated.

Letters: B rows, C channels, K codebooks, N samples, T frames.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from ..codecs.base import Codec
from ..codecs.streams import CodecStream
from ..core.limiter import Limiter, limit
from .settings import count_frames

# Seconds of sound that a codec decodes at once: its activations take megabytes a second.
DECODE_SECONDS = 30.0


class LimitedDecoder:
    """A codec's stream decoder whose sound, float32 on the CPU, stays within full scale; see `Limiter`."""

    def __init__(self, codec: Codec) -> None:
        self._decoder = codec.stream_decoder()
        self._limiter = Limiter(codec.sample_rate)
        self.latency = self._decoder.latency + self._limiter.delay / codec.sample_rate

    def push(self, codes: Tensor) -> Tensor:
        """Take codes `[B, K, T]`; return the samples that are ready, `[B, C, N]`."""
        return self._limiter.push(self._decoder.push(codes).float().cpu())

    def flush(self) -> Tensor:
        """The sound has ended: return the rest; then begin anew."""
        last = self._limiter.push(self._decoder.flush().float().cpu())
        return torch.cat([last, self._limiter.flush()], dim=-1)

    def reset(self) -> None:
        """Forget everything: the next codes begin a new sound."""
        self._decoder.reset()
        self._limiter.reset()


def decode_codes(codec: Codec, codes: Tensor) -> Tensor:
    """Decode codes `[B, K, T]` in pieces that bound the memory: float32 `[B, C, N]` on the CPU, limited.

    Rows are decoded in groups that come to `DECODE_SECONDS`; a longer row runs through a stream decoder.
    """
    longest = max(1, int(DECODE_SECONDS * codec.frame_rate))
    frames = codes.shape[-1]
    # Short rows: as many at once as come to the longest.
    if frames <= longest:
        groups = codes.split(max(1, longest // frames))
        return limit(torch.cat([codec.decode(group).float().cpu() for group in groups]), codec.sample_rate)
    # Long rows: one after the other, each in parts [1, K, longest].
    rows = []
    for row in codes.split(1):
        decoder = LimitedDecoder(codec)
        parts = [decoder.push(part) for part in row.split(longest, dim=-1)]
        rows.append(torch.cat([*parts, decoder.flush()], dim=-1))
    return torch.cat(rows)


def plan_chunks(first_seconds: float, seconds: float, codec: Codec) -> tuple[int, int]:
    """Whole frames after which a stream's first chunk is decoded, and those of every later chunk.

    To the first chunk's own come those that its sound lags behind: else a player would have run out of it
    before the second.

    Raises:
        TypeError, ValueError: a length is no number of seconds from one frame to 3600.
    """
    first = count_frames("first_chunk_seconds", first_seconds, codec.frame_rate)
    size = count_frames("chunk_seconds", seconds, codec.frame_rate)
    latency = LimitedDecoder(codec).latency
    late = round(latency * codec.frame_rate) if math.isfinite(latency) else 0
    return min(first, size) + late, size


class ChunkedDecoder:
    """Decodes codes chunk by chunk while they are being filled in.

    Args:
        decoder: a fresh one.
        codes: int64 `[B, K, T]`, filled from outside.
        first: frames that make the first chunk; small, so that it comes soon.
        size: frames that make a later chunk.
    """

    def __init__(self, decoder: CodecStream, codes: Tensor, *, first: int, size: int) -> None:
        self._decoder, self._codes = decoder, codes
        self._wanted, self._size = first, size
        self._pushed = self._shown = 0  # frames that the decoder has, and those whose codes were given out

    @property
    def next_cut(self) -> int:
        """Complete frames from which on `advance` decodes."""
        return self._pushed + self._wanted

    def advance(self, complete: int) -> tuple[Tensor, Tensor] | None:
        """Say how many frames are complete, at every number or whenever it has grown.

        Returns:
            A chunk, or None: sound float32 `[B, C, n]` on the CPU, n above 0, and the codes `[B, K, t]` since
            the chunk before. All sounds in a row are the sound of all codes; sound may lag behind its codes
            by the decoder's latency.
        """
        if complete < self.next_cut or complete == self._codes.shape[-1]:
            return None
        audio = self._decoder.push(self._codes[:, :, self._pushed : complete])  # [B, C, n], perhaps none yet
        self._pushed = complete
        return self._chunk(audio)

    def finish(self) -> tuple[Tensor, Tensor] | None:
        """All frames are complete: the last chunk, with what the decoder still holds back."""
        rest = self._codes[:, :, self._pushed :]
        last = [self._decoder.push(rest)] if rest.shape[-1] else []
        self._pushed = self._codes.shape[-1]
        return self._chunk(torch.cat([*last, self._decoder.flush()], dim=-1))

    def _chunk(self, audio: Tensor) -> tuple[Tensor, Tensor] | None:
        if not audio.shape[-1]:
            return None
        codes = self._codes[:, :, self._shown : self._pushed]
        self._shown, self._wanted = self._pushed, self._size
        return audio.float().cpu(), codes


def decode_while(
    decoder: CodecStream, codes: Tensor, counts: Iterable[int], *, first: int, size: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Decode codes while they are being filled in; arguments and chunks are those of `ChunkedDecoder`.

    Args:
        decoder, codes, first, size: see there.
        counts: the number of complete frames each time that it may have grown; ends with T.
    """
    chunked = ChunkedDecoder(decoder, codes, first=first, size=size)
    for complete in counts:
        if (chunk := chunked.advance(complete)) is not None:
            yield chunk
    if (chunk := chunked.finish()) is not None:
        yield chunk
