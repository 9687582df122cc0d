"""The streaming interface of codecs: encode and decode a sound while it comes in.

Letters: B sounds, C channels, N samples, K codebooks, T frames.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor


class CodecStream(Protocol):
    """Encodes or decodes a sound while it comes in; what comes out is together what the whole sound gives.

    An encoder takes samples `[B, C, N]` and gives codes `[B, K, T]` (or latents `[B, T, S, D]`); a decoder
    does the opposite. A push may give nothing yet: T or N is 0 then.

    Attributes:
        latency: seconds. Of an encoder: at most so much sound has to come, from the first sample of a frame
            on, before the frame is given. Of a decoder: at most so much do the samples lag behind the frames
            that were pushed. The sum of both is what a sample waits for on its way through.
    """

    latency: float

    def push(self, chunk: Tensor) -> Tensor:
        """Take the next chunk; return what is new."""

    def flush(self) -> Tensor:
        """The sound has ended: return the rest; then begin anew."""

    def reset(self) -> None:
        """Forget everything: the next chunk begins a new sound."""


class WholeEncoder:
    """The stream encoder of a codec that can only encode whole sounds: gives everything at the end.

    Args:
        encode: samples `[B, C, N]` -> codes `[B, K, T]`.
        num_codebooks: K; of more, the first ones are given.
    """

    latency = math.inf

    def __init__(self, encode: Callable[[Tensor], Tensor], num_codebooks: int) -> None:
        self._encode, self._num_codebooks = encode, num_codebooks
        self.reset()

    def reset(self) -> None:
        """Forget everything: the next samples begin a new sound."""
        self._pieces: list[Tensor] = []

    def push(self, chunk: Tensor) -> Tensor:
        """Keep samples `[B, C, N]`; return no codes `[B, K, 0]`."""
        self._pieces.append(chunk)
        return torch.zeros(len(chunk), self._num_codebooks, 0, dtype=torch.int64, device=chunk.device)

    def flush(self) -> Tensor:
        """Encode all samples.

        Raises:
            RuntimeError: nothing was pushed.
        """
        if not any(piece.shape[-1] for piece in self._pieces):
            raise RuntimeError("no samples were pushed, so there is nothing to encode")
        audio = torch.cat(self._pieces, dim=-1)
        self.reset()
        return self._encode(audio)[:, : self._num_codebooks]


class WholeDecoder:
    """The stream decoder of a codec that can only decode whole sounds: gives everything at the end.

    Args:
        decode: codes `[B, K, T]` -> samples `[B, C, N]`.
        channels: C.
    """

    latency = math.inf

    def __init__(self, decode: Callable[[Tensor], Tensor], channels: int) -> None:
        self._decode, self._channels = decode, channels
        self.reset()

    def reset(self) -> None:
        """Forget everything: the next codes begin a new sound."""
        self._pieces: list[Tensor] = []

    def push(self, chunk: Tensor) -> Tensor:
        """Keep codes `[B, K, T]`; return no samples `[B, C, 0]`."""
        self._pieces.append(chunk)
        return torch.zeros(len(chunk), self._channels, 0, device=chunk.device)

    def flush(self) -> Tensor:
        """Decode all codes; nothing pushed gives no samples."""
        pieces = [piece for piece in self._pieces if piece.shape[-1]]
        self.reset()
        if not pieces:
            return torch.zeros(1, self._channels, 0)
        return self._decode(torch.cat(pieces, dim=-1))
