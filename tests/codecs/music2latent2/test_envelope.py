"""The envelope: principal components, expected sizes, and the process that they scale."""

from __future__ import annotations

import math
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from soundloom.codecs.music2latent2 import Music2Latent2, Music2Latent2Config
from soundloom.codecs.music2latent2.consistency import NoiseSchedule
from soundloom.codecs.music2latent2.envelope import (
    EnvelopeReader,
    EnvelopeWriter,
    envelope_loss,
    fit_principal_components,
    log_modulus,
    scale_of,
)
from soundloom.codecs.registry import load_codec

from .small import MONO, sound

CONFIGS = {
    "summary": replace(MONO, envelope=True),
    "ordered": replace(MONO, envelope=True, layout="ordered"),
    "stereo": replace(MONO, envelope=True, channels=2),
}
every_layout = pytest.mark.parametrize("name", CONFIGS)


def examples(config: Music2Latent2Config, count: int, components: int) -> Tensor:
    """Logarithms `[count, C, F, M]` whose groups of frames vary in few directions."""
    reader = EnvelopeReader(config)
    generator = torch.Generator().manual_seed(1)
    directions = torch.randn(components, len(reader.mean), generator=generator)
    amounts = torch.randn(count, reader.groups, components, generator=generator)
    return reader.join(amounts @ directions * 0.2 - 2)


@every_layout
def test_fitted_maps_restore_what_has_few_components(name: str) -> None:
    config = CONFIGS[name]
    reader, writer = EnvelopeReader(config), EnvelopeWriter(config)
    logarithm = examples(config, 60, components=3)
    fit_principal_components(reader, writer, logarithm)
    raw = reader(logarithm)
    assert raw.shape == (60, config.num_latents, config.latent_dim)
    finest = torch.zeros(60, config.base_channels, config.bins, config.frames_per_chunk)
    torch.testing.assert_close(writer(raw.tanh(), finest), logarithm, atol=2e-3, rtol=0)


@every_layout
def test_each_latent_gets_strong_and_weak_components(name: str) -> None:
    config = CONFIGS[name]
    reader, writer = EnvelopeReader(config), EnvelopeWriter(config)
    logarithm = examples(config, 200, components=8)
    fit_principal_components(reader, writer, logarithm)
    spread = reader(logarithm).std(0)
    assert spread.max() < 0.5  # well within a tanh
    share = writer.weight.norm(dim=1).view(config.num_latents // reader.groups, config.latent_dim)
    assert (share.amax(1) / share.amax()).min() > 0.3
    assert (share.argmax(1) == 0).all()


def test_too_few_examples_are_refused() -> None:
    config = CONFIGS["summary"]
    with pytest.raises(ValueError, match="8 examples are not enough for 8 principal components"):
        fit_principal_components(
            EnvelopeReader(config), EnvelopeWriter(config), examples(config, 8, components=2)
        )


def test_ordered_maps_see_their_own_frames_only() -> None:
    config = CONFIGS["ordered"]
    reader, writer = EnvelopeReader(config), EnvelopeWriter(config)
    logarithm = examples(config, 60, components=8)
    fit_principal_components(reader, writer, logarithm)
    changed = logarithm.clone()
    changed[..., -config.frames_per_chunk // reader.groups :] += 1
    same = (reader(changed) == reader(logarithm)).all(-1).all(0)
    assert same.tolist() == [True] * (config.num_latents - 1) + [False]


def test_sizes_are_those_of_both_parts() -> None:
    scale = scale_of(torch.tensor([-8.0, 0.0, 1.0]).view(1, 1, 3, 1))
    assert scale.shape == (1, 2, 3, 1)
    assert (scale[:, 0] == scale[:, 1]).all()
    torch.testing.assert_close(scale[0, 0, :, 0], torch.tensor([5e-4, 0.997, math.e - 0.003]))


def test_logarithm_of_silence_is_finite() -> None:
    assert log_modulus(torch.zeros(1, 4, 3, 2)).shape == (1, 2, 3, 2)
    torch.testing.assert_close(log_modulus(torch.zeros(1, 2, 1, 1)).item(), math.log(0.003))


@pytest.mark.parametrize("deviation", [0.05, 1.0, 7.0])
def test_loss_is_least_at_the_standard_deviation(deviation: float) -> None:
    clean = deviation * torch.randn(1, 2, 100, 100, generator=torch.Generator().manual_seed(2))
    tried = [deviation * factor for factor in (0.8, 0.9, 1.0, 1.1, 1.25)]
    losses = [
        envelope_loss(torch.full((1, 1, 100, 100), math.log(size + 0.003)), clean).item() for size in tried
    ]
    assert losses[2] == min(losses)


def test_without_a_network_the_process_is_exact_for_normal_values() -> None:
    """Noise of any level comes out with the sizes told, and a clean value stays as it is."""
    schedule = NoiseSchedule(MONO)
    scale = torch.tensor([0.01, 0.3, 5.0])[:, None]
    noise = torch.randn(2, 3, 20_000, generator=torch.Generator().manual_seed(3))
    for level in (0.1, 2.0, 80.0):
        noisy = scale * noise[0] + level * noise[1]
        clean = schedule.scalings(torch.tensor(level), scale).skip * noisy
        torch.testing.assert_close(clean.std(1, keepdim=True), scale, rtol=0.03, atol=0)
    at_rest = schedule.scalings(torch.tensor(schedule.min), scale)
    assert (at_rest.skip == 1).all()
    assert (at_rest.out == 0).all()


@every_layout
def test_a_new_model_decodes_noise_of_the_fitted_envelope(name: str) -> None:
    """Before any training the networks add nothing: the maps alone make the sound."""
    config = CONFIGS[name]
    torch.manual_seed(4)
    model = Music2Latent2(**asdict(config)).eval()
    audio = torch.cat([sound(model, 8000, seed=seed) * 0.1 for seed in range(4)])
    audio[..., 4000:] *= 0.05
    chunks = model.representation.to_chunks(model.representation.analyse(audio))
    assert model.encoder.envelope is not None
    assert model.upsampler.envelope is not None
    fit_principal_components(model.encoder.envelope, model.upsampler.envelope, log_modulus(chunks))
    with torch.no_grad():
        decoded = model.decode(model.encode(audio), 8000, decoding="autoregressive", steps=1)
    for half in (slice(200, 3800), slice(4200, 7800)):
        torch.testing.assert_close(decoded[..., half].std(), audio[..., half].std(), rtol=0.25, atol=0)


def test_save_and_load(tmp_path: Path) -> None:
    torch.manual_seed(5)
    model = Music2Latent2(**asdict(CONFIGS["summary"])).eval()
    assert model.encoder.envelope is not None
    assert model.upsampler.envelope is not None
    chunks = examples(CONFIGS["summary"], 60, components=8)
    fit_principal_components(model.encoder.envelope, model.upsampler.envelope, chunks)
    model.save_pretrained(tmp_path)
    loaded = load_codec(tmp_path)
    audio = sound(model, 500)
    assert (loaded.encode(audio) == model.encode(audio)).all()
