"""Pairs of chunks and the ways of decoding: what sees what, how often, in how much memory."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from soundloom.codecs.music2latent2.chunk_decoders import ParallelDecoder
from soundloom.codecs.music2latent2.music2latent2_config import Decoding
from soundloom.codecs.music2latent2.networks import Context
from tests.codecs.music2latent2.small import DECODINGS, MODELS, VARIANTS, every_model, sound


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
        def __init__(self, **parts: Any) -> None:
            super().__init__(**parts)
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
