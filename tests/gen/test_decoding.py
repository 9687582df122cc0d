"""Streaming: chunks equal the whole, come early, stop cleanly; long sounds stay within bounded memory."""

from __future__ import annotations

import gc
import math
import weakref
from typing import Any

import pytest
import torch
from torch import Tensor

from soundloom.codecs.seanet.model import SEANetCodec
from soundloom.core.limiter import limit
from soundloom.gen.decoding import DECODE_SECONDS, LimitedDecoder, decode_codes, decode_while
from soundloom.gen.generation import GenerationCancelled
from soundloom.gen.model.lm import AudioLM
from soundloom.gen.model.transformer import KVCache
from soundloom.gen.pipeline import AudioGen, GeneratedAudio

RATE, HOP = 16000, 320
# Convolutions over pieces of other lengths round differently.
ROUNDING = {"atol": 1e-5, "rtol": 0.0}


@pytest.fixture(scope="module", params=["published", "causal"])
def model(request: pytest.FixtureRequest, tiny_model: AudioGen) -> AudioGen:
    """The tiny model with its codec, which looks ahead, and with a causal one."""
    if request.param == "published":
        return tiny_model
    torch.manual_seed(0)
    codec = SEANetCodec(
        codebook_size=64, n_filters=4, dimension=16, lstm=0, causal=True, norm="none", ratios=(8, 5, 4, 2)
    )
    return AudioGen(tiny_model.lm, tiny_model.text_encoder, codec.eval())


def joined(chunks: list[GeneratedAudio]) -> tuple[Tensor, Tensor]:
    samples = torch.cat([chunk.samples for chunk in chunks], dim=-1)
    return samples, torch.cat([chunk.codes for chunk in chunks], dim=-1)


def sine(seconds: float) -> Tensor:
    return 0.5 * torch.sin(2 * math.pi * 440 * torch.arange(int(seconds * RATE)) / RATE).unsqueeze(0)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"duration": 0.02},
        {"duration": 0.1, "temperature": 0.0},
        {"prompts": ["a dog", "", "rain on a roof"], "seed": [1, 2, 3]},
        {"num_samples": 2, "chunk_seconds": 0.02, "first_chunk_seconds": 0.02},
        {"chunk_seconds": 60.0, "first_chunk_seconds": 60.0},
        {"guidance_scale": (4.0, 1.0), "negative_prompt": "rain", "top_p": 0.9},
        {"continue_from": (sine(0.3), RATE)},
    ],
    ids=str,
)
def test_chunks_in_a_row_are_what_generate_returns(model: AudioGen, settings: dict[str, Any]) -> None:
    streaming = {key: settings[key] for key in settings if "chunk" in key}
    asked = {"prompts": "a dog", "duration": 1.1, "seed": 7} | settings
    whole = model.generate(**{key: asked[key] for key in asked if key not in streaming})
    chunks = list(model.stream(**asked))
    samples, codes = joined(chunks)
    assert torch.equal(codes, whole.codes)
    assert samples.shape == whole.samples.shape
    torch.testing.assert_close(samples, whole.samples, **ROUNDING)
    assert all(chunk.samples.shape[-1] for chunk in chunks)
    assert all((chunk.seeds, chunk.prompts) == (whole.seeds, whole.prompts) for chunk in chunks)
    assert not any(chunk.samples.is_inference() or chunk.codes.is_inference() for chunk in chunks)


def test_the_shipped_model_streams_what_it_generates() -> None:
    """Its codec adds phases up: see "Streams" in docs/compression.md for the tolerances."""
    model = AudioGen.from_pretrained()
    prompts = ["an acoustic guitar", "a church bell", "heavy rain", "a police siren"]
    whole = model.generate(prompts, 1.0, seed=0)
    chunks = list(model.stream(prompts, 1.0, seed=0, chunk_seconds=0.3))
    samples, codes = joined(chunks)
    assert torch.equal(codes, whole.codes)
    assert samples.shape == whole.samples.shape
    # Its sound lags 0.14 s behind its codes: without counting these a player would run out after the first.
    frame = 1 / model.codec.frame_rate
    assert [chunk.duration for chunk in chunks[:3]] == pytest.approx([0.2, 0.3, 0.3], abs=frame)
    assert float(whole.samples.abs().max()) <= 1
    errors = (samples - whole.samples).abs().amax((1, 2))
    assert float(errors.max()) < 8e-3
    assert float(errors.median()) < 1e-5


def test_chunks_have_the_lengths_asked_for_and_the_first_comes_first(model: AudioGen) -> None:
    calls: list[int] = []
    stream = model.stream(
        "a dog", 1.5, seed=0, progress=lambda done, _: calls.append(done), first_chunk_seconds=0.1
    )
    late = round(LimitedDecoder(model.codec).latency * model.codec.frame_rate)
    first = next(stream)
    assert calls[-1] == 5 + late  # no later frame was begun than that one's last codebook needs
    assert first.codes.shape[-1] == 5 + late
    assert 4 * HOP < first.samples.shape[-1] <= 6 * HOP
    second = next(stream)
    assert calls[-1] == 30 + late
    assert second.samples.shape[-1] == 25 * HOP
    rest = list(stream)
    assert joined([first, second, *rest])[0].shape[-1] == 75 * HOP


def test_a_sound_of_many_windows_streams_across_the_seams(model: AudioGen) -> None:
    short = AudioGen(model.lm, model.text_encoder, model.codec, max_seconds=0.4, extend_stride=0.3)
    whole = short.generate(["a dog", ""], 2.0, seed=3)
    samples, codes = joined(list(short.stream(["a dog", ""], 2.0, seed=3, chunk_seconds=0.14)))
    assert torch.equal(codes, whole.codes)
    torch.testing.assert_close(samples, whole.samples, **ROUNDING)


def test_leaving_early_gives_the_memory_back(model: AudioGen, monkeypatch: pytest.MonkeyPatch) -> None:
    caches: list[weakref.ref[KVCache]] = []
    real = KVCache.__init__

    def remember(self: KVCache, **sizes: Any) -> None:
        real(self, **sizes)
        caches.append(weakref.ref(self))

    monkeypatch.setattr(KVCache, "__init__", remember)
    stream: Any = model.stream("a dog", 5.0, seed=0)
    next(stream)
    cache = caches[0]()
    assert cache is not None
    assert cache.memory
    stream.close()
    assert cache.memory == []
    for _ in range(2):  # by the end of a loop's scope, without close
        next(iter(model.stream("a dog", 5.0, seed=0)))
    unused = model.stream("a dog", 5.0, seed=0)
    del cache, stream, unused
    gc.collect()
    assert [each() for each in caches] == [None] * 4


def test_two_streams_of_one_model_do_not_disturb_each_other(model: AudioGen) -> None:
    settings = {"duration": 0.6, "chunk_seconds": 0.1}
    alone = [list(model.stream("a dog", seed=seed, **settings)) for seed in (1, 2)]
    both = list(zip(*(model.stream("a dog", seed=seed, **settings) for seed in (1, 2)), strict=True))
    for index in range(2):
        found, expected = joined([pair[index] for pair in both])[0], joined(alone[index])[0]
        torch.testing.assert_close(found, expected, **ROUNDING)


def test_cancelling_a_stream(model: AudioGen) -> None:
    stop = False
    stream = model.stream("a dog", 2.0, seed=0, cancel=lambda: stop)
    next(stream)
    stop = True
    with pytest.raises(GenerationCancelled):
        next(stream)
    assert list(stream) == []


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"chunk_seconds": 0.0}, ValueError, "chunk_seconds is 0.0; allowed are 0.02 to 3600"),
        ({"first_chunk_seconds": -1}, ValueError, "first_chunk_seconds is -1"),
        ({"chunk_seconds": "1"}, TypeError, "chunk_seconds is '1'"),
        ({"duration": 0}, ValueError, "duration is 0"),
        ({"top_p": 2.0}, ValueError, "top_p is 2.0"),
        ({"num_samples": 0}, ValueError, "num_samples is 0"),
        ({"continue_from": "no/such.wav"}, FileNotFoundError, "such.wav"),
        ({"candidates": 2}, ValueError, "candidates is 2, but stream has no whole sounds"),
        ({"rerank": print}, TypeError, "there is no setting 'rerank'"),
    ],
)
def test_bad_input_is_named_at_the_call(
    model: AudioGen, settings: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        model.stream("a dog", **settings)


def test_codes_are_decoded_as_soon_as_a_chunk_is_full() -> None:
    class Echo:
        """A decoder of one sample a frame that lags two frames behind."""

        latency = 2.0

        def __init__(self) -> None:
            self.reset()

        def reset(self) -> None:
            self.waiting = torch.zeros(1, 1, 0)

        def push(self, chunk: Tensor) -> Tensor:
            self.waiting = torch.cat([self.waiting, chunk[:, :1].float()], dim=-1)
            audio, self.waiting = self.waiting[..., :-2], self.waiting[..., -2:]
            return audio

        def flush(self) -> Tensor:
            return self.waiting

    codes = torch.arange(12).view(1, 1, 12)
    found = list(decode_while(Echo(), codes, iter([0, 0, 1, 2, 3, 4, 6, 9, 9, 12]), first=2, size=3))
    assert [audio.flatten().tolist() for audio, _ in found] == [
        [0.0, 1.0],
        [2, 3, 4, 5, 6],
        [7, 8, 9, 10, 11],
    ]
    assert [part.shape[-1] for _, part in found] == [4, 5, 3]


def test_a_minute_takes_the_memory_of_a_window(tiny_model: AudioGen, monkeypatch: pytest.MonkeyPatch) -> None:
    lm = AudioLM(codebook_size=64, text_dim=48, dim=16, num_layers=1, num_heads=2).eval()
    model = AudioGen(lm, tiny_model.text_encoder, tiny_model.codec, max_seconds=4.0)
    sizes: list[int] = []
    real = KVCache.__init__
    monkeypatch.setattr(
        KVCache, "__init__", lambda self, **sized: (sizes.append(sized["max_steps"]), real(self, **sized))[1]
    )
    decoded: list[int] = []
    pieces = type(model.codec.stream_decoder())
    push = pieces.push
    monkeypatch.setattr(
        pieces, "push", lambda self, codes: (decoded.append(codes.shape[-1]), push(self, codes))[1]
    )
    monkeypatch.setattr(type(model.codec), "decode", lambda *_: pytest.fail("decoded at once"))
    found = model.generate("rain", 60.0, seed=0)
    assert found.samples.shape[-1] == 60 * RATE
    assert sizes == [4 * 50 + 3]  # one cache, of a window's frames and the delay of the last codebook
    assert sum(decoded) == 3000
    assert max(decoded) <= DECODE_SECONDS * 50


@torch.inference_mode()
def test_many_rows_and_long_rows_decode_as_they_would_whole(
    model: AudioGen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("soundloom.gen.decoding.DECODE_SECONDS", 1.0)
    generator = torch.Generator().manual_seed(0)
    many = torch.randint(0, 64, (5, 4, 20), generator=generator)
    torch.testing.assert_close(
        decode_codes(model.codec, many), limit(model.codec.decode(many), RATE), **ROUNDING
    )
    long = torch.randint(0, 64, (2, 4, 70), generator=generator)
    torch.testing.assert_close(
        decode_codes(model.codec, long), limit(model.codec.decode(long), RATE), **ROUNDING
    )


def test_a_parallel_pattern_streams_too(tiny_model: AudioGen) -> None:
    torch.manual_seed(0)
    for pattern in ("parallel", "flattened"):
        lm = AudioLM(codebook_size=64, text_dim=48, dim=16, num_layers=1, num_heads=2, pattern=pattern).eval()
        model = AudioGen(lm, tiny_model.text_encoder, tiny_model.codec)
        samples, codes = joined(list(model.stream("a dog", 0.5, seed=0, chunk_seconds=0.1)))
        whole = model.generate("a dog", 0.5, seed=0)
        assert torch.equal(codes, whole.codes)
        torch.testing.assert_close(samples, whole.samples, **ROUNDING)
