"""Streams give what the whole sound gives, as soon as they can."""

from __future__ import annotations

import pytest
import torch

from soundloom.codecs.music2latent2.music2latent2_config import Decoding
from tests.codecs.music2latent2.small import DECODINGS, MODELS, every_model, sound


@every_model
@pytest.mark.parametrize("decoding", DECODINGS)
def test_streaming_decoder_equals_offline(name: str, decoding: Decoding) -> None:
    model = MODELS[name]
    codes = model.encode(sound(model, 5 * model.settings.chunk_samples + 9))
    axis = 2 if model.discrete else 1
    offline = model.decode(codes, decoding=decoding, seed=5)
    stream = model.stream_decoder(decoding=decoding, seed=5)
    for sizes in ([1] * codes.shape[axis], [2, 3, codes.shape[axis] - 5]):
        pieces = [stream.push(piece) for piece in codes.split(sizes, dim=axis)]
        pieces.append(stream.flush())
        assert not any(piece.requires_grad for piece in pieces)
        assert torch.equal(torch.cat(pieces, dim=-1), offline)
        stream = model.stream_decoder(decoding=decoding, seed=5)


@every_model
@pytest.mark.parametrize("rest", [0, 1, 9])
def test_streaming_encoder_equals_offline(name: str, rest: int) -> None:
    model = MODELS[name]
    axis = 2 if model.discrete else 1
    audio = sound(model, 3 * model.settings.chunk_samples + rest, batch=2)
    offline = model.encode(audio)
    stream = model.stream_encoder()
    for size in (1000, 50, 7):
        pieces = [stream.push(piece) for piece in audio.split(size, dim=-1)]
        assert sum(piece.shape[axis] for piece in pieces) == 3, (
            "a chunk comes as soon as its samples are there"
        )
        pieces.append(stream.flush())
        assert torch.equal(torch.cat(pieces, dim=axis), offline)


@every_model
@pytest.mark.parametrize(
    ("decoding", "steps"),
    [("autoregressive", 2), ("two_step", None), *[("parallel", steps) for steps in (1, 2, 5)]],
)
def test_latency_is_what_streams_wait_for(name: str, decoding: Decoding, steps: int | None) -> None:
    model = MODELS[name]
    size = model.settings.chunk_samples
    encoder = model.stream_encoder()
    assert encoder.latency * model.sample_rate == pytest.approx(size)
    assert encoder.push(sound(model, size - 1)).numel() == 0
    codes = encoder.push(sound(model, 30 * size + 1))
    axis = 2 if model.discrete else 1
    assert codes.shape[axis] == 31
    decoder = model.stream_decoder(decoding=decoding, steps=steps)
    samples, lags = 0, []
    for chunk, code in enumerate(codes.split(1, dim=axis), start=1):
        samples += decoder.push(code).shape[-1]
        lags.append(chunk * size - samples)
    assert max(lags) == round(decoder.latency * model.sample_rate)


@every_model
def test_what_streams_give_goes_into_streams(name: str) -> None:
    model = MODELS[name]
    encoder, decoder = model.stream_encoder(), model.stream_decoder(seed=3)
    audio = sound(model, 200)
    pieces = [decoder.push(encoder.push(piece)) for piece in audio.split(7, dim=-1)]
    pieces += [decoder.push(encoder.flush()), decoder.flush()]
    offline = model.decode(model.encode(audio), seed=3)
    assert torch.equal(torch.cat(pieces, dim=-1), offline)
    assert encoder.push(audio[..., :0]).numel() == 0
    with pytest.raises(RuntimeError, match="no samples were pushed"):
        encoder.flush()


def test_streams_say_when_there_is_nothing() -> None:
    model = MODELS["music2latent2"]
    stream = model.stream_encoder()
    with pytest.raises(RuntimeError, match="no samples were pushed"):
        stream.flush()
    stream.push(sound(model, 10))
    with pytest.raises(ValueError, match="flush or reset"):
        stream.push(sound(model, 10, batch=2))
    stream.reset()
    assert stream.push(sound(model, 10, batch=2)).shape == (2, 0, 2, 4)
    decoder = model.stream_decoder()
    assert decoder.flush().shape == (1, 1, 0)
