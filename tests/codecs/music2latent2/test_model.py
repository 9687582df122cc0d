"""The model's contract: lengths, streaming, pairs, batches, saving, bad input."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from soundloom.codecs.base import Codec
from soundloom.codecs.music2latent2 import Music2Latent2, Music2Latent2Config
from soundloom.codecs.music2latent2.bottleneck import FSQ, from_gaussian, to_gaussian
from soundloom.codecs.music2latent2.config import Decoding
from soundloom.codecs.music2latent2.decoding import ParallelDecoder, draw_noise
from soundloom.codecs.music2latent2.networks import Context

MONO = Music2Latent2Config(
    sample_rate=8000,
    channels=1,
    hop=16,
    frames_per_chunk=4,
    base_channels=8,
    multipliers=(1, 2),
    encoder_blocks=(1, 1),
    decoder_blocks=(1, 1),
    strides=((2, 2),),
    dim=16,
    head_dim=8,
    encoder_layers=1,
    upsampler_layers=1,
    decoder_layers=2,
    noise_dim=8,
    num_latents=2,
    latent_dim=4,
)
VARIANTS = {
    "music2latent2": MONO,
    "stereo": replace(MONO, channels=2, overlap=4, hop=8, companding="parts"),
    "ordered": replace(MONO, layout="ordered"),
    "codicodec": replace(
        MONO,
        channels=2,
        fsq_levels=(5, 4, 5, 4),
        num_registers=1,
        latents_in_decoder=True,
        decoding="autoregressive",
        companding="parts",
    ),
}
DECODINGS: list[Decoding] = ["autoregressive", "two_step", "parallel"]


def build(config: Music2Latent2Config) -> Music2Latent2:
    """A model whose every weight matters: layers that start at zero get random weights."""
    torch.manual_seed(0)
    model = Music2Latent2(**asdict(config)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if not parameter.any():
                parameter.normal_(0, 0.2)
    return model


MODELS = {name: build(config) for name, config in VARIANTS.items()}
every_model = pytest.mark.parametrize("name", MODELS)


def sound(model: Music2Latent2, samples: int, batch: int = 1, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(batch, model.channels, samples, generator=generator) * 1.6 - 0.8


@every_model
def test_contract(name: str) -> None:
    model, config = MODELS[name], VARIANTS[name]
    assert isinstance(model, Codec)
    assert (model.sample_rate, model.channels) == (8000, config.channels)
    assert model.frame_rate == 8000 / config.chunk_samples
    encoded = model.encode(sound(model, 200, batch=2))
    count = -(-(200 + config.edge) // config.chunk_samples)
    if model.discrete:
        assert encoded.shape == (2, model.num_codebooks, count)
        assert encoded.dtype == torch.int64
        assert model.codebook_size == 400
        assert model.bitrate == pytest.approx(2 * 9 * model.frame_rate)
    else:
        assert encoded.shape == (2, count, config.num_latents, config.latent_dim)
        assert encoded.abs().max() <= 1
        assert model.num_codebooks == 0
        assert model.bitrate == pytest.approx(16 * 8 * model.frame_rate)


@every_model
@given(data=st.data())
@settings(max_examples=8, deadline=None)
def test_any_length_comes_back(name: str, data: st.DataObject) -> None:
    model = MODELS[name]
    length = data.draw(st.integers(1, 3 * model.settings.chunk_samples + 7))
    audio = sound(model, length)
    decoded = model.decode(model.encode(audio), length)
    assert decoded.shape == audio.shape
    assert decoded.dtype == torch.float32
    assert torch.isfinite(decoded).all() and decoded.abs().max() <= 1


@pytest.mark.parametrize("chunks", [1, 2, 3])
@pytest.mark.parametrize("offset", [-17, -16, -1, 0, 1, 7])
def test_lengths_around_whole_chunks_come_back(chunks: int, offset: int) -> None:
    model = MODELS["music2latent2"]
    length = chunks * model.settings.chunk_samples + offset
    audio = sound(model, length)
    latents = model.encode(audio)
    assert latents.shape[1] == -(-(length + model.settings.edge) // model.settings.chunk_samples)
    for decoding in DECODINGS:
        assert model.decode(latents, length, decoding=decoding).shape == audio.shape


@every_model
@given(seed=st.integers(0, 1000), sigma=st.floats(0.002, 80))
@settings(max_examples=5, deadline=None)
def test_left_never_depends_on_right(name: str, seed: int, sigma: float) -> None:
    model, config = MODELS[name], VARIANTS[name]
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    shape = (1, config.parts, config.bins, config.frames_per_chunk)
    left, latents = draw(*shape), draw(1, config.num_latents, config.latent_dim).tanh()
    outputs = []
    with torch.no_grad():
        for right_sigma in (0.1, sigma):
            right, other = 9 * draw(*shape), draw(1, config.num_latents, config.latent_dim).tanh()
            context = model.context(torch.cat((latents, other)))
            levels = torch.tensor([0.9, right_sigma])
            outputs.append(model.denoise_pair(torch.cat((left, right)), levels, context))
        alone = model.denoise(left, 0.9, model.context(latents))[0]
    torch.testing.assert_close(outputs[0][:1], outputs[1][:1], atol=1e-6, rtol=0)
    torch.testing.assert_close(outputs[0][:1], alone, atol=1e-5, rtol=0)
    assert not torch.allclose(outputs[0][1:], outputs[1][1:], atol=1e-3)


@every_model
def test_right_given_the_past_is_the_right_of_a_pair(name: str) -> None:
    model, config = MODELS[name], VARIANTS[name]
    generator = torch.Generator().manual_seed(3)
    noisy = torch.randn(2, config.parts, config.bins, config.frames_per_chunk, generator=generator)
    latents = torch.randn(2, config.num_latents, config.latent_dim, generator=generator).tanh()
    with torch.no_grad():
        pair = model.denoise_pair(noisy, torch.tensor([0.9, 7.0]), model.context(latents))
        left, right = model.context(latents[:1]), model.context(latents[1:])
        both = (model.remember(noisy[:1], 0.9, left), model.denoise(noisy[:1], 0.9, left)[1])
        for past in both:
            alone = model.denoise(noisy[1:], 7.0, right, past)[0]
            torch.testing.assert_close(alone, pair[1:], atol=1e-5, rtol=0)
        unaware = model.denoise(noisy[1:], 7.0, right, model.remember(-noisy[:1], 0.9, left))[0]
    assert not torch.allclose(unaware, pair[1:], atol=1e-4), "the right chunk must see the left one"


@every_model
def test_every_weight_is_used(name: str) -> None:
    """A weight without gradient is one that training would never move, or that stops distributed training."""
    model, config = MODELS[name], VARIANTS[name]
    chunks = torch.randn(4, config.parts, config.bins, config.frames_per_chunk)
    latents = model.bottleneck(model.encoder(chunks), 0.5)
    out = model.denoise_pair(chunks, torch.tensor([0.5, 0.6, 0.7, 0.8]), model.context(latents))
    out.square().sum().backward()
    idle = [key for key, weight in model.named_parameters() if weight.grad is None or not weight.grad.any()]
    model.zero_grad(set_to_none=True)
    assert idle == []


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


@every_model
def test_chunks_at_once_change_nothing(name: str) -> None:
    model = MODELS[name]
    audio = sound(model, 5 * model.settings.chunk_samples, batch=2)
    one = model.encode(audio, discrete=False)
    for count in (2, 100):
        several = model.encode(audio, discrete=False, chunks_at_once=count)
        torch.testing.assert_close(several, one, atol=1e-5, rtol=0)
    with pytest.raises(ValueError, match="chunks_at_once is 0"):
        model.encode(audio, chunks_at_once=0)


@every_model
def test_pairs_at_once_change_nothing(name: str) -> None:
    model = MODELS[name]
    latents = model.encode(sound(model, 7 * model.settings.chunk_samples), discrete=False)
    results = []
    for pairs in (1, 3):
        stream = model.stream_decoder(decoding="parallel", steps=3)
        assert isinstance(stream.decoder, ParallelDecoder)
        stream.decoder.max_pairs = pairs
        results.append(torch.cat((stream.push(latents), stream.flush()), dim=-1))
    torch.testing.assert_close(results[0], results[1], atol=1e-4, rtol=0)


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


@every_model
@pytest.mark.parametrize("decoding", DECODINGS)
def test_an_item_of_a_batch_gets_what_it_gets_alone(name: str, decoding: Decoding) -> None:
    model = MODELS[name]
    codes = model.encode(sound(model, 300, batch=2))
    together = model.decode(codes, decoding=decoding, seed=[3, 4])
    for item, seed in enumerate((3, 4)):
        alone = model.decode(codes[item : item + 1], decoding=decoding, seed=seed)
        torch.testing.assert_close(together[item : item + 1], alone, atol=1e-4, rtol=0)
    assert torch.equal(model.decode(codes, decoding=decoding, seed=[3, 4]), together)
    assert not torch.equal(model.decode(codes, decoding=decoding, seed=[3, 5])[1], together[1])


def test_the_past_of_what_is_decoded_does_not_depend_on_its_future() -> None:
    model = MODELS["codicodec"]
    codes = model.encode(sound(model, 400))
    changed = codes.clone()
    changed[..., -1] = (changed[..., -1] + 7) % model.codebook_size
    first, second = (model.decode(c, decoding="autoregressive") for c in (codes, changed))
    kept = (codes.shape[-1] - 1) * model.settings.chunk_samples - 2 * model.settings.edge
    assert torch.equal(first[..., :kept], second[..., :kept])
    assert not torch.equal(first, second)


def test_features_of_a_chunk_are_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    model = MODELS["music2latent2"]
    latents = model.encode(sound(model, 6 * model.settings.chunk_samples - 20))
    calls: list[int] = []
    original = model.upsampler.forward

    def counted(values: Tensor) -> list[Tensor]:
        calls.append(len(values))
        return original(values)

    monkeypatch.setattr(model.upsampler, "forward", counted)
    for decoding in DECODINGS:
        calls.clear()
        model.decode(latents, decoding=decoding, steps=None if decoding == "two_step" else 4)
        blank = latents.shape[1] % 2 if decoding == "parallel" else 0
        assert calls == [1] * (latents.shape[1] + blank)


def test_network_passes_of_each_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    """Autoregressive: a left pass and `steps` right ones a chunk; two-step: a left and a right one."""
    model = MODELS["music2latent2"]
    latents = model.encode(sound(model, 4 * model.settings.chunk_samples - 20))
    passes: list[str] = []
    for method in ("denoise", "remember", "denoise_pair"):
        original = getattr(model, method)

        def counted(*values: Any, _name: str = method, _original: Any = original, **named: Any) -> Any:
            passes.append(_name)
            return _original(*values, **named)

        monkeypatch.setattr(model, method, counted)
    model.decode(latents, decoding="autoregressive", steps=2)
    assert (passes.count("denoise"), passes.count("remember")) == (4 * 2, 3)
    passes.clear()
    model.decode(latents, decoding="two_step")
    assert (passes.count("denoise"), passes.count("remember")) == (4 * 2, 0)
    passes.clear()
    model.decode(latents, decoding="parallel", steps=3)
    assert (passes.count("denoise_pair"), passes.count("denoise")) == (2 + 1 + 2, 2), "one pair a pass"


@pytest.mark.parametrize("decoding", DECODINGS)
def test_memory_does_not_grow_with_length(monkeypatch: pytest.MonkeyPatch, decoding: Decoding) -> None:
    """However long the sound: the networks see few chunks at a time, and few contexts live."""
    model = MODELS["music2latent2"]
    largest = {"encoder": 0, "network": 0, "contexts": 0}
    live: set[int] = set()
    original = {"encoder": model.encoder.forward, "network": model.consistency.forward}

    def encoder(spectrogram: Tensor) -> Tensor:
        largest["encoder"] = max(largest["encoder"], len(spectrogram))
        return original["encoder"](spectrogram)

    def network(x: Tensor, *rest: Any, **named: Any) -> Any:
        largest["network"] = max(largest["network"], len(x))
        return original["network"](x, *rest, **named)

    class Watched(Context):
        def __init__(self, features: list[Tensor], tokens: Tensor | None) -> None:
            super().__init__(features=features, tokens=tokens)
            live.add(id(self))
            largest["contexts"] = max(largest["contexts"], len(live))

        def __del__(self) -> None:
            live.discard(id(self))

    monkeypatch.setattr(model.encoder, "forward", encoder)
    monkeypatch.setattr(model.consistency, "forward", network)
    context = model.context
    monkeypatch.setattr(model, "context", lambda latents: Watched(**vars(context(latents))))
    latents = model.encode(sound(model, 60 * model.settings.chunk_samples))
    assert model.decode(latents, decoding=decoding).shape[-1] >= 60 * model.settings.chunk_samples
    assert largest["encoder"] == 1
    assert largest["network"] <= 8
    assert largest["contexts"] <= 20


def test_save_and_load(tmp_path: Path) -> None:
    for name, model in MODELS.items():
        folder = tmp_path / name
        model.save_pretrained(folder)
        loaded = Music2Latent2.from_pretrained(folder)
        assert loaded.settings == model.settings
        audio = sound(model, 150)
        assert torch.equal(loaded.encode(audio), model.encode(audio))
        codes = model.encode(audio)
        assert torch.equal(loaded.decode(codes), model.decode(codes))


def test_bfloat16(tmp_path: Path) -> None:
    model = MODELS["codicodec"]
    model.save_pretrained(tmp_path)
    half = Music2Latent2.from_pretrained(tmp_path, dtype=torch.bfloat16)
    assert all(weight.dtype == torch.bfloat16 for weight in half.parameters())
    audio = sound(model, 300)
    latents = model.encode(audio, discrete=False)
    assert (half.encode(audio, discrete=False) - latents).abs().mean() < 0.05
    for decoding in DECODINGS:
        exact, rough = model.decode(latents, decoding=decoding), half.decode(latents, decoding=decoding)
        assert rough.dtype == torch.float32
        assert (exact - rough).square().mean() < 0.05 * exact.square().mean()


def test_published_sizes_have_the_published_number_of_weights() -> None:
    """148,533,388 numbers in the published file; those of no effect and the fixed kernels are not ours."""
    from soundloom.codecs.music2latent2.convert import config_from_published

    config = config_from_published({})
    with torch.device("meta"):
        model = Music2Latent2(**asdict(config))
    dim = config.dim
    unused = 3 * (dim * dim + dim) + dim + 2 * (dim * dim + dim)  # linear_input, norm_output, linear_output
    unused += config.base_channels * (1 + config.parts * 9) + config.parts  # an output head never used
    kernels = [(width, f * t) for width, (f, t) in zip(config.widths[1:], config.strides, strict=True)]
    fixed = 4 * sum(width * size for width, size in kernels)  # shortcuts of two down and two up frontends
    ours = sum(weight.numel() for weight in model.parameters())
    assert ours + unused + fixed == 148_533_388
    assert config.compression == 128
    assert model.bitrate / model.frame_rate == 128 * 14


# Bad input


@pytest.mark.parametrize("samples", [1, 100])
@every_model
def test_very_short_sounds(name: str, samples: int) -> None:
    model = MODELS[name]
    audio = sound(model, samples)
    assert model.decode(model.encode(audio), samples).shape == audio.shape


@every_model
def test_silence_and_clipping(name: str) -> None:
    model = MODELS[name]
    for audio in (torch.zeros(1, model.channels, 200), 10 * sound(model, 200).sign()):
        decoded = model.decode(model.encode(audio), 200)
        assert torch.isfinite(decoded).all() and decoded.abs().max() <= 1


def test_audio_that_is_refused() -> None:
    model = MODELS["music2latent2"]
    cases = {
        r"shape \[1, 1, 0\]": torch.zeros(1, 1, 0),
        r"shape \[1, 8, 100\]; \[B, 1, N\]": torch.zeros(1, 8, 100),
        r"shape \[1, 2, 100\]": torch.zeros(1, 2, 100),
        r"shape \[100\]": torch.zeros(100),
        r"torch\.int16.*prepare": torch.zeros(1, 1, 100, dtype=torch.int16),
        "ndarray.*prepare": torch.zeros(1, 1, 100).numpy(),
        "NaN or infinite": torch.full((1, 1, 100), torch.nan),
        "nan_to_num": torch.full((1, 1, 100), torch.inf),
    }
    for message, audio in cases.items():
        with pytest.raises(ValueError, match=message):
            model.encode(audio)  # type: ignore[arg-type]
        if isinstance(audio, Tensor) and audio.shape == (1, 1, 0):
            continue  # nothing to add to a stream
        with pytest.raises(ValueError, match=message):
            model.stream_encoder().push(audio)  # type: ignore[arg-type]


def test_prepare_takes_what_encode_refuses() -> None:
    model = MODELS["music2latent2"]
    stereo = torch.randint(-3000, 3000, (8, 1000), dtype=torch.int16)
    audio = model.prepare(stereo.numpy(), 16000)
    assert model.decode(model.encode(audio), audio.shape[-1]).shape == (1, 1, 500)


def test_latents_that_are_refused() -> None:
    continuous, discrete = MODELS["music2latent2"], MODELS["codicodec"]
    cases: list[tuple[Music2Latent2, str, Tensor]] = [
        (continuous, r"\[1, 3, 4, 2\]; \[B, T, 2, 4\]", torch.zeros(1, 3, 4, 2)),
        (continuous, r"latents have shape \[3, 2, 4\]", torch.zeros(3, 2, 4)),
        (continuous, r"latents have shape \[1, 0, 2, 4\]", torch.zeros(1, 0, 2, 4)),
        (continuous, "NaN or infinite", torch.full((1, 1, 2, 4), torch.nan)),
        (continuous, "has no codes", torch.zeros(1, 2, 3, dtype=torch.int64)),
        (continuous, "torch.bool", torch.zeros(1, 1, 2, 4, dtype=torch.bool)),
        (discrete, r"codes have shape \[1, 3, 2\]; \[B, 2, T\]", torch.zeros(1, 3, 2, dtype=torch.int64)),
        (discrete, "codes span 0 to 400; allowed: 0 to 399", torch.tensor([[[400], [0]]])),
        (discrete, "codes span -1 to 0", torch.tensor([[[-1], [0]]])),
    ]
    for model, message, latents in cases:
        with pytest.raises(ValueError, match=message):
            model.decode(latents)
        if latents.shape == (1, 0, 2, 4):
            assert model.stream_decoder().push(latents).shape == (1, 1, 0)
            continue
        with pytest.raises(ValueError, match=message):
            model.stream_decoder().push(latents)


def test_settings_that_are_refused() -> None:
    model = MODELS["music2latent2"]
    latents = model.encode(sound(model, 100))
    cases: list[tuple[str, dict[str, Any]]] = [
        ("decoding is 'fast'; allowed", {"decoding": "fast"}),
        ("two_step decoding always takes 2", {"steps": 3}),
        ("steps is 0", {"decoding": "autoregressive", "steps": 0}),
        ("steps is -1", {"decoding": "parallel", "steps": -1}),
        ("prompt_time is 2", {"prompt_time": 2}),
        ("length is 1000; 2 chunks hold 0 to 112 samples", {"length": 1000}),
        ("2 seeds for a batch of 1", {"seed": [1, 2]}),
        ("recorded noise", {"noise": iter([])}),
        ("3 generators for a batch of 1", {"noise": [torch.Generator()] * 3}),
    ]
    for message, named in cases:
        with pytest.raises(ValueError, match=message):
            model.decode(latents, **named)
    with pytest.raises(ValueError, match="has no codes"):
        model.encode(sound(model, 100), discrete=True)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"channels": 3}, "channels is 3"),
        ({"dim": 24}, "must equal dim"),
        ({"head_dim": 5}, "head_dim 5 must divide dim 16"),
        ({"strides": ((3, 2),)}, "not a multiple of the frequency strides"),
        ({"strides": ((2, 3),)}, "not a multiple of the time strides"),
        ({"encoder_blocks": (1,)}, "encoder_blocks has 1 entries"),
        ({"fsq_levels": (5, 5)}, "give latent_dim = 4 numbers"),
        ({"layout": "ordered", "num_latents": 4}, "one per time step: 2"),
        ({"layout": "sideways"}, "allowed: summary, ordered"),
        ({"num_latents": 0}, "num_latents is 0"),
        ({"sigma_min": 90.0}, "0 < sigma_min < sigma_max"),
    ],
)
def test_configurations_that_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(MONO, **changes)


# Bottleneck and noise


@pytest.mark.parametrize("levels", [(11, 11, 11, 11), (4, 5, 8)])
def test_fsq_indices_are_a_bijection(levels: tuple[int, ...]) -> None:
    fsq = FSQ(levels)
    count = torch.tensor(levels).prod()
    indices = torch.arange(count)
    codes = fsq.from_indices(indices)
    assert torch.equal(fsq.to_indices(codes), indices)
    assert codes.unique(dim=0).shape[0] == count
    torch.testing.assert_close(fsq.quantize(codes), codes)
    bounded = fsq.bound(10 * torch.randn(500, len(levels)))
    assert fsq.to_indices(bounded).min() >= 0 and fsq.to_indices(bounded).max() < count


def test_fsq_dropout_leaves_a_share_unrounded() -> None:
    fsq = FSQ((5, 5))
    raw = torch.randn(4000, 3, 2, requires_grad=True)
    out = fsq(raw, 0.75)
    unrounded = (out != fsq.quantize(out)).flatten(1).any(1)
    assert 0.7 < unrounded.float().mean() < 0.8
    out.sum().backward()
    assert raw.grad is not None and (raw.grad != 0).all(), "rounding must pass the gradient through"
    assert torch.equal(fsq(raw, 1.0), fsq.bound(raw))
    assert torch.equal(fsq(raw, 0.0), fsq.quantize(fsq.bound(raw)))


def test_gaussian_latents_come_back() -> None:
    latents = torch.randn(2, 3, 8, 4).tanh() * 0.999
    vectors = to_gaussian(latents, 16)
    assert vectors.shape == (2, 3, 2, 16)
    torch.testing.assert_close(from_gaussian(vectors, 4), latents, atol=1e-5, rtol=0)
    assert torch.isfinite(to_gaussian(torch.ones(1, 1, 8, 4))).all()
    with pytest.raises(ValueError, match="must divide the 32 values"):
        to_gaussian(latents, 5)


def test_noise_of_an_item_is_its_own() -> None:
    def generators(*seeds: int) -> list[torch.Generator]:
        return [torch.Generator().manual_seed(seed) for seed in seeds]

    device = torch.device("cpu")
    pair = draw_noise(generators(1, 2), (2, 3, 4), device)
    assert torch.equal(pair[1:], draw_noise(generators(2), (1, 3, 4), device))
    replayed = draw_noise(iter([pair]), (2, 3, 4), device)
    assert torch.equal(replayed, pair)
    with pytest.raises(ValueError, match=r"wanted, but the next one is \[2, 3, 4\]"):
        draw_noise(iter([pair]), (2, 3, 5), device)
