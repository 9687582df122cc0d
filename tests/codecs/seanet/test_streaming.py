"""SEANet streams: equal to the whole sound however it is cut, never later than their latency."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from soundloom.codecs import load_codec
from soundloom.codecs.seanet.model import SEANetCodec

TINY = {
    "n_filters": 2,
    "dimension": 6,
    "ratios": (4, 2),
    "codebook_size": 16,
    "num_codebooks": 3,
    "norm": "none",
}


def build(**changes: object) -> SEANetCodec:
    torch.manual_seed(0)
    codec = SEANetCodec(**{**TINY, **changes}).eval()
    if codec.spectral is not None and codec.spectral.texture is not None:
        torch.nn.init.normal_(codec.spectral.texture.output.weight, std=0.1)  # one that changes something
    return codec


# Published checkpoints are not causal and have an LSTM; AudioGen's pads with zeros, EnCodec's reflects.
KINDS = {
    f"{'causal' if causal else 'looks ahead'}, {pad}, lstm {lstm}": {
        "causal": causal,
        "pad_mode": pad,
        "lstm": lstm,
    }
    for causal, pad, lstm in itertools.product((True, False), ("constant", "reflect"), (0, 2))
}
KINDS["trimmed on both sides"] = {"causal": True, "decoder_overrides": {"trim_right_ratio": 0.5}}
KINDS["spectral"] = {"causal": True, "lstm": 0, "transform": "spectral", "transform_hop": 8}
KINDS["look ahead"] = {**KINDS["spectral"], "look_ahead": 1}
KINDS["rounds"] = {**KINDS["spectral"], "look_ahead": 2, "griffin_lim_rounds": 3}
KINDS["texture"] = {**KINDS["spectral"], "griffin_lim_rounds": 1, "texture_blocks": 3, "texture_width": 12}
CODECS = {name: build(**settings) for name, settings in KINDS.items()}
every_codec = pytest.mark.parametrize("kind", CODECS)


def pieces(x: Tensor, sizes: list[int]) -> list[Tensor]:
    """Cut the last axis into these sizes, over and over."""
    found, start = [], 0
    for size in itertools.cycle(sizes):
        if start >= x.shape[-1]:
            return found
        found.append(x[..., start : start + size])
        start += size
    raise AssertionError("no sizes")


def run(stream: object, chunks: list[Tensor]) -> Tensor:
    made = [stream.push(chunk) for chunk in chunks]  # type: ignore[attr-defined]
    return torch.cat([*made, stream.flush()], dim=-1)  # type: ignore[attr-defined]


@every_codec
@given(
    length=st.integers(1, 250),
    sizes=st.lists(st.sampled_from([1, 2, 3, 7, 8, 31, 64, 200]), min_size=1, max_size=4),
    batch=st.integers(1, 2),
)
@settings(max_examples=6, deadline=None)
def test_streams_equal_the_whole(kind: str, length: int, sizes: list[int], batch: int) -> None:
    codec = CODECS[kind]
    audio = torch.randn(batch, 1, length, generator=torch.Generator().manual_seed(length))
    codes = codec.encode(audio)
    assert torch.equal(run(codec.stream_encoder(), pieces(audio, sizes)), codes)
    whole = codec.decode(codes)
    streamed = run(codec.stream_decoder(), pieces(codes, sizes))
    assert streamed.shape == whole.shape
    # Spectral synthesis takes exponentials and adds up phases, which makes rounding errors larger.
    tolerance = 1e-3 if codec.spectral is not None else 1e-6
    torch.testing.assert_close(streamed, whole, atol=tolerance, rtol=tolerance)


def test_the_shipped_codec_streams_what_it_decodes() -> None:
    """Tones are the hard ones: their phases add up from frame to frame."""
    codec = load_codec("seanet-16khz")
    time = torch.arange(24000, dtype=torch.float64) / 16000
    harmonics = sum(0.6**h * torch.sin(2 * torch.pi * 330 * (h + 1) * time) for h in range(5))
    assert isinstance(harmonics, Tensor)
    noise = torch.randn(24000, generator=torch.Generator().manual_seed(0))
    sounds = torch.stack([0.2 * harmonics, torch.sin(2 * torch.pi * 1000 * time), 0.1 * noise]).float()
    codes = codec.encode(sounds[:, None])
    whole = codec.decode(codes)
    for sizes in ([1], [10], [3, 40]):
        errors = (run(codec.stream_decoder(), pieces(codes, sizes)) - whole).abs().amax((1, 2))
        assert float(errors.max()) < 8e-3  # as documented; nearly always below 1e-5
        assert float(errors.median()) < 1e-5


@every_codec
def test_single_samples(kind: str) -> None:
    codec = CODECS[kind]
    audio = torch.randn(1, 1, 70)
    assert torch.equal(run(codec.stream_encoder(), pieces(audio, [1])), codec.encode(audio))


@every_codec
def test_nothing_is_later_than_the_latency_says(kind: str) -> None:
    codec = CODECS[kind]
    hop, rate = codec.hop_length, codec.sample_rate
    audio = torch.randn(1, 1, 12 * hop)
    encoder, decoder = codec.stream_encoder(), codec.stream_decoder()
    encoder_latency, decoder_latency = round(encoder.latency * rate), round(decoder.latency * rate)
    pushed = frames = samples = 0
    waited, lags = [], []
    for arrived, sample in enumerate(pieces(audio, [1]), start=1):
        codes = encoder.push(sample)
        waited += [arrived - number * hop for number in range(frames, frames + codes.shape[-1])]
        frames += codes.shape[-1]
        for frame in pieces(codes, [1]):
            pushed += 1
            samples += decoder.push(frame).shape[-1]
            lags.append(pushed * hop - samples)
    assert max(waited) == encoder_latency
    assert max(lags) == decoder_latency
    assert samples >= audio.shape[-1] - encoder_latency - decoder_latency


def test_a_causal_codec_waits_for_one_frame_only() -> None:
    codec = CODECS["causal, constant, lstm 2"]
    assert codec.stream_encoder().latency == codec.hop_length / codec.sample_rate
    assert codec.stream_decoder().latency == 0


def test_long_pushes_are_cut_into_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    codec = CODECS["causal, constant, lstm 0"]
    audio = torch.randn(1, 1, 1000)
    codes = codec.encode(audio)
    seen = []
    real = codec.encoder.forward
    monkeypatch.setattr("soundloom.codecs.seanet.streaming.PIECE", 256)
    monkeypatch.setattr(codec.encoder, "forward", lambda x, state: seen.append(x.shape[-1]) or real(x, state))
    assert torch.equal(run(codec.stream_encoder(), [audio]), codes)
    assert max(seen) == 256
    monkeypatch.undo()
    torch.testing.assert_close(run(codec.stream_decoder(), [codes]), codec.decode(codes), atol=1e-6, rtol=0)


@every_codec
def test_fewer_codebooks_decode(kind: str) -> None:
    codec = CODECS[kind]
    codes = codec.encode(torch.randn(1, 1, 300))[:, :1]
    torch.testing.assert_close(
        run(codec.stream_decoder(), pieces(codes, [3])), codec.decode(codes), atol=1e-4, rtol=0
    )


@every_codec
def test_a_stream_begins_anew(kind: str) -> None:
    codec = CODECS[kind]
    encoder, decoder = codec.stream_encoder(), codec.stream_decoder()
    audio = torch.randn(1, 1, 200)
    codes = run(encoder, [audio])
    sound = run(decoder, [codes])
    assert torch.equal(run(encoder, [audio]), codes)  # after flush
    assert torch.equal(run(decoder, [codes]), sound)
    encoder.push(torch.randn(2, 1, 50))
    encoder.reset()
    decoder.push(codes.repeat(2, 1, 1))
    decoder.reset()
    assert torch.equal(run(encoder, [audio]), codes)
    assert torch.equal(run(decoder, [codes]), sound)


def test_the_warm_up_is_all_that_a_decoder_needs() -> None:
    for kind in ("causal, constant, lstm 0", "looks ahead, reflect, lstm 0"):
        codec = CODECS[kind]
        codes = codec.encode(torch.randn(1, 1, 800))
        whole, warm_up = codec.decode(codes), codec.warm_up_frames
        first = 60
        part = codec.decode(codes[..., first - warm_up :])[..., warm_up * codec.hop_length :]
        torch.testing.assert_close(part, whole[..., first * codec.hop_length :], atol=1e-6, rtol=0)
        late = codec.decode(codes[..., first - 1 :])[..., codec.hop_length :]
        assert not torch.allclose(late, whole[..., first * codec.hop_length :], atol=1e-6)


def test_what_a_stream_refuses() -> None:
    codec = CODECS["causal, constant, lstm 2"]
    encoder, decoder = codec.stream_encoder(), codec.stream_decoder()
    with pytest.raises(RuntimeError, match="no samples were pushed"):
        encoder.flush()
    assert decoder.flush().shape == (1, 1, 0)
    assert encoder.push(torch.zeros(1, 1, 0)).shape == (1, 3, 0)
    with pytest.raises(RuntimeError, match="no samples were pushed"):
        encoder.flush()
    assert decoder.push(torch.zeros(1, 3, 0, dtype=torch.int64)).shape == (1, 1, 0)
    encoder.push(torch.zeros(1, 1, 5))
    for audio, message in (
        (torch.zeros(2, 1, 5), "flush or reset"),
        (torch.zeros(1, 2, 5), "is wanted"),
        (torch.zeros(5), "is wanted"),
        (torch.full((1, 1, 5), float("nan")), "NaN"),
    ):
        with pytest.raises(ValueError, match=message):
            encoder.push(audio)
    decoder.push(torch.zeros(1, 3, 4, dtype=torch.int64))
    for codes, message in (
        (torch.zeros(2, 3, 4, dtype=torch.int64), "flush or reset"),
        (torch.zeros(1, 4, 4, dtype=torch.int64), "1..3"),
        (torch.full((1, 3, 4), 16), "0 to 15"),
        (torch.zeros(1, 3, 4), "integer"),
    ):
        with pytest.raises(ValueError, match=message):
            decoder.push(codes)
