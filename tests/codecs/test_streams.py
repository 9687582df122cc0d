"""Streams of codecs that have none of their own."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from soundloom.codecs.base import Codec


class SignCodec(Codec):
    """One bit a sample, of whole sounds only."""

    sample_rate = 16000
    channels = 1
    frame_rate = 16000.0
    num_codebooks = 1
    codebook_size = 2

    def encode(self, audio: Tensor) -> Tensor:
        return (audio > 0).long()

    def decode(self, codes: Tensor, length: int | None = None) -> Tensor:
        return (codes.float() - 0.5)[..., :length]


def test_a_codec_without_streams_waits_for_the_end() -> None:
    codec = SignCodec()
    audio = torch.rand(1, 1, 50) - 0.5
    encoder, decoder = codec.stream_encoder(), codec.stream_decoder()
    assert encoder.latency == decoder.latency == math.inf
    for _ in range(2):
        assert encoder.push(audio[..., :20]).shape == (1, 1, 0)
        encoder.push(audio[..., 20:])
        codes = encoder.flush()
        assert torch.equal(codes, codec.encode(audio))
        assert decoder.push(codes).shape == (1, 1, 0)
        assert torch.equal(decoder.flush(), codec.decode(codes))
    with pytest.raises(RuntimeError, match="no samples were pushed"):
        encoder.flush()
    assert decoder.flush().shape == (1, 1, 0)
