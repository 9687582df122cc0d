"""Latents between, exchanged and averaged; and the features that they are read from."""

from __future__ import annotations

import pytest
import torch

from soundloom.codecs.music2latent2.latent_arithmetic import average, interpolate, swap
from soundloom.core.errors import ArgumentError
from tests.codecs.music2latent2.small import MODELS, every_model, sound

A, B = (torch.rand(1, 3, 2, 4, generator=torch.Generator().manual_seed(seed)) * 1.8 - 0.9 for seed in (0, 1))


def test_the_ends_are_the_sounds_and_equal_steps_are_equal_before_the_tanh() -> None:
    torch.testing.assert_close(interpolate(A, B, 0.0), A)
    torch.testing.assert_close(interpolate(A, B, 1.0), B)
    quarters = torch.stack([interpolate(A, B, t).atanh() for t in (0.0, 0.25, 0.5, 0.75, 1.0)])
    steps = quarters.diff(dim=0)
    torch.testing.assert_close(steps, (B.atanh() - A.atanh()).expand_as(steps) / 4, atol=1e-4, rtol=1e-4)
    assert float(interpolate(torch.ones(1, 1, 2, 4), -torch.ones(1, 1, 2, 4), 0.5).abs().max()) == 0


def test_every_chunk_may_lie_elsewhere_between() -> None:
    mixed = interpolate(A, B, torch.tensor([0.0, 0.5, 1.0]))
    for chunk, t in enumerate((0.0, 0.5, 1.0)):
        torch.testing.assert_close(mixed[:, chunk], interpolate(A, B, t)[:, chunk])
    with pytest.raises(ArgumentError, match="t has 2 values"):
        interpolate(A, B, torch.tensor([0.0, 1.0]))


def test_swapped_embeddings_come_from_the_other_sound() -> None:
    first, second = swap(A, B, [1])
    assert torch.equal(first, torch.stack((A[:, :, 0], B[:, :, 1]), dim=2))
    assert torch.equal(second, torch.stack((B[:, :, 0], A[:, :, 1]), dim=2))
    assert all(torch.equal(x, y) for x, y in zip(swap(A, B, []), (A, B), strict=True))
    with pytest.raises(ArgumentError, match="no embedding 2; they are 0 to 1"):
        swap(A, B, [2])


def test_averages_are_means_before_the_tanh() -> None:
    torch.testing.assert_close(average([A, B]), interpolate(A, B, 0.5))
    torch.testing.assert_close(average([A, B], [3, 1]), interpolate(A, B, 0.25))
    torch.testing.assert_close(average([A]), A)
    for weights in ([1.0], [-1.0, 2.0], [0.0, 0.0]):
        with pytest.raises(ArgumentError, match="weights are"):
            average([A, B], weights)
    with pytest.raises(ArgumentError, match="no latents"):
        average([])


def test_sounds_of_other_lengths_and_codes_are_refused() -> None:
    with pytest.raises(ArgumentError, match=r"\[1, 3, 2, 4\] and .*\[1, 2, 2, 4\] do not go together"):
        interpolate(A, B[:, :2], 0.5)
    with pytest.raises(ArgumentError, match="int64"):
        average([A, torch.zeros(1, 3, 2, 4, dtype=torch.int64)])


@every_model
def test_features_are_what_latents_are_read_from(name: str) -> None:
    model = MODELS[name]
    audio = sound(model, 200, batch=2)
    features = model.features(audio)
    latents = model.encode(audio, discrete=False)
    settings = model.settings
    width = settings.dim * (settings.frequency_tokens if settings.layout == "ordered" else 1)
    assert features.shape == (*latents.shape[:3], width)
    torch.testing.assert_close(model.features(audio[1:]), features[1:], atol=1e-4, rtol=1e-4)
    if model.encoder.envelope is None:
        raw = model.encoder.head(features)
        torch.testing.assert_close(model.bottleneck(raw), latents, atol=1e-5, rtol=1e-4)
    else:
        assert features.std() > 0
    torch.testing.assert_close(model.features(audio, chunks_at_once=2), features, atol=1e-4, rtol=1e-4)
    with pytest.raises(ValueError, match="chunks_at_once is 0"):
        model.features(audio, chunks_at_once=0)
