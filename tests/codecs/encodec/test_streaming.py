"""EnCodec while the sound comes in."""

from __future__ import annotations

import pytest
import torch

from soundloom.codecs import EnCodec
from tests.codecs.encodec.small import noise, same_share


@pytest.mark.parametrize(
    ("length", "piece"),
    [(1, 1), (5, 2), (320, 100), (2241, 333), (9600, 3200), (47520, 16000), (48000, 11111), (50001, 60000)],
)
def test_streams_are_equal_to_the_whole(small: EnCodec, length: int, piece: int) -> None:
    audio = noise(small, length, batch=2)
    codes = small.encode(audio)
    encoder, decoder = small.stream_encoder(), small.stream_decoder()
    streamed = torch.cat([*map(encoder.push, audio.split(piece, dim=-1)), encoder.flush()], dim=-1)
    assert same_share(streamed, codes) > 0.999
    parts = codes.split(piece // 320 or 1, dim=-1)
    found = torch.cat([*map(decoder.push, parts), decoder.flush()], dim=-1)
    torch.testing.assert_close(found, small.decode(codes), atol=1e-5, rtol=1e-4)


def test_a_stream_begins_anew(small: EnCodec) -> None:
    first, second = noise(small, 60000), noise(small, 50000, seed=1)
    encoder, decoder = small.stream_encoder(), small.stream_decoder()
    codes = []
    for audio in (first, second):
        codes.append(torch.cat([encoder.push(audio), encoder.flush()], dim=-1))
        assert same_share(codes[-1], small.encode(audio)) > 0.999
    decoder.push(codes[0])
    decoder.reset()
    found = torch.cat([decoder.push(codes[1]), decoder.flush()], dim=-1)
    torch.testing.assert_close(found, small.decode(codes[1]), atol=1e-5, rtol=1e-4)


def test_latency_is_as_stated(small: EnCodec) -> None:
    rate, encoder, decoder = small.sample_rate, small.stream_encoder(), small.stream_decoder()
    pushed = given = waited = lag = decoded = 0
    length, size = (2 * rate, 4800) if small.segment_length else (6000, 160)
    for piece in noise(small, length).split(size, dim=-1):
        pushed += piece.shape[-1]
        codes = encoder.push(piece)
        if codes.shape[-1]:
            # The first sample of the first frame that comes now has waited longest.
            waited = max(waited, pushed - int(given / small.frame_rate * rate))
            given += codes.shape[-1]
        for number, frame in enumerate(codes.split(1, dim=-1)):
            decoded += decoder.push(frame).shape[-1]
            frames = given - codes.shape[-1] + number + 1
            lag = max(lag, round(frames / small.frame_rate * rate) - decoded)
    assert waited <= encoder.latency * rate + size
    assert waited > encoder.latency * rate - size
    assert lag <= decoder.latency * rate + 1
    assert lag > decoder.latency * rate - 321


def test_stream_of_nothing_and_of_another_shape(small: EnCodec) -> None:
    encoder, decoder = small.stream_encoder(), small.stream_decoder()
    empty = torch.zeros(1, small.channels, 0)
    assert encoder.push(empty).shape == (1, small.num_codebooks, 0)
    with pytest.raises(RuntimeError, match="nothing to encode"):
        encoder.flush()
    assert decoder.flush().shape == empty.shape
    assert decoder.push(torch.zeros(1, 4, 0, dtype=torch.long)).shape == empty.shape
    encoder.push(noise(small, 500))
    with pytest.raises(ValueError, match="another sound"):
        encoder.push(noise(small, 500, batch=2))
    with pytest.raises(ValueError, match="audio has shape"):
        encoder.push(torch.zeros(1, 5, 10))
