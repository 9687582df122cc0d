"""Refinement: decodings as two-step decoding makes them, compared by a distance that keeps noise noise."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning
import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from soundloom.codecs.music2latent2.chunk_decoders import TwoStepDecoder
from soundloom.codecs.music2latent2.consistency import NoiseLevels, Refinement
from soundloom.codecs.music2latent2.refinement import (
    RefinementLoss,
    SpectralDistance,
    decode_pairs,
)
from tests.codecs.music2latent2.small import VARIANTS, build, every_model, sound
from tests.codecs.music2latent2.tiny_training import TINY, module, tones

WINDOWS = (64, 128)


def noise(count: int, seed: int = 0) -> Tensor:
    return 0.1 * torch.randn(count, 1, 2048, generator=torch.Generator().manual_seed(seed))


def test_the_distance_is_zero_for_the_sound_itself_and_sees_level_and_pitch() -> None:
    distance = SpectralDistance((256, 1024))
    audio = noise(3)
    assert float(distance(audio, audio).max()) == pytest.approx(1e-3), "the square root's foot"
    louder, much_louder = distance(2 * audio, audio), distance(4 * audio, audio)
    torch.testing.assert_close(
        louder, torch.full((3,), 0.602 + 1), rtol=2e-2, atol=0
    )  # 6.02 dB, and once too much
    assert (much_louder > louder).all()
    time = torch.arange(2048) / 8000
    low, high = (torch.sin(2 * torch.pi * pitch * time).view(1, 1, -1) for pitch in (440, 660))
    assert float(distance(low, high)) > 1


class Absolute(torch.nn.Module):
    """Mean absolute difference."""

    def forward(self, estimate: Tensor, target: Tensor) -> Tensor:
        return (estimate - target).abs().flatten(1).mean(1)


def test_the_energy_distance_wants_noise_where_the_plain_distance_wants_its_mean() -> None:
    """Normal values: E|x - y| is 2 / sqrt(pi), and sqrt(2 / pi) where y is always zero."""
    plain, energy = (RefinementLoss(Refinement(repulsion=r, windows=(256,)), 256) for r in (0.0, 1.0))
    plain.distance = energy.distance = Absolute()  # type: ignore[assignment]
    original, fresh = 10 * noise(64), 10 * torch.stack((noise(64, seed=1), noise(64, seed=2)))
    mean = torch.zeros_like(fresh)
    assert float(plain._energy(fresh[:1], original)) == pytest.approx(1.128, abs=0.01)
    assert float(plain._energy(mean[:1], original)) == pytest.approx(0.798, abs=0.01)
    assert float(energy._energy(fresh, original)) == pytest.approx(0.564, abs=0.01)
    assert float(energy._energy(mean, original)) == pytest.approx(0.798, abs=0.01)


@every_model
def test_pairs_are_decoded_as_the_two_step_decoder_does(name: str) -> None:
    codec = build(VARIANTS[name])
    size = 2 * codec.settings.chunk_samples + codec.settings.edge
    chunks = codec.representation.to_chunks(codec.representation.analyse(sound(codec, size, batch=3)))
    with torch.no_grad():
        context = codec.context(codec.bottleneck(codec.encoder(chunks).float()))
        shape = (3, *chunks.shape[1:])
        torch.manual_seed(5)
        recorded: Iterator[Tensor] = iter([torch.randn(shape) for _ in range(3)])
        torch.manual_seed(5)
        first, both = decode_pairs(codec, context, 3, 1)
        decoder = TwoStepDecoder(
            codec, recorded, shape, chunks.device, prompt_time=codec.settings.prompt_time
        )
        left, right = torch.arange(3), torch.arange(3, 6)
        assert decoder.push(context.take(left)) == []
        assert decoder.previous is not None
        torch.testing.assert_close(decoder.previous[0], first)
        done = decoder.push(context.take(right))
        torch.testing.assert_close(
            torch.cat((done[0], decoder.previous[0]), dim=-1), both, rtol=1e-4, atol=1e-5
        )


def test_several_decodings_of_a_pair_differ_by_their_noise_alone() -> None:
    codec = build(VARIANTS["envelope"])
    size = 2 * codec.settings.chunk_samples + codec.settings.edge
    chunks = codec.representation.to_chunks(codec.representation.analyse(sound(codec, size, batch=2)))
    with torch.no_grad():
        context = codec.context(codec.bottleneck(codec.encoder(chunks).float()))
        _, both = decode_pairs(codec, context, 2, 2)
    assert both.shape == (4, *chunks.shape[1:-1], 2 * chunks.shape[-1])
    assert not torch.allclose(both[:2], both[2:])


@pytest.mark.parametrize("repulsion", [0.0, 1.0])
@pytest.mark.parametrize("silent", [False, True])
def test_every_part_of_the_model_learns_of_it_also_from_silence(repulsion: float, silent: bool) -> None:
    torch.manual_seed(0)
    codec = build(replace(TINY, envelope=True)).train()
    loss = RefinementLoss(Refinement(repulsion=repulsion, windows=WINDOWS), 224)
    audio = tones(2) * (0.0 if silent else 1.0)
    chunks = codec.representation.to_chunks(codec.representation.analyse(audio))
    value = loss(codec, audio, codec.context(codec.bottleneck(codec.encoder(chunks).float())))
    value.backward()
    for part in (codec.encoder, codec.upsampler, codec.consistency):
        gradients = [p.grad for p in part.parameters() if p.grad is not None]
        assert all(torch.isfinite(gradient).all() for gradient in gradients)
        assert any(gradient.any() for gradient in gradients)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"start": -0.1}, "refinement.start is -0.1"),
        ({"repulsion": 2}, "refinement.repulsion is 2"),
        ({"windows": ()}, "refinement.windows is empty"),
    ],
)
def test_settings_that_make_no_refinement_are_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Refinement(**settings)


def test_a_window_longer_than_a_chunk_is_refused() -> None:
    with pytest.raises(ValueError, match=r"refinement.windows has 4096; a chunk gives 224 samples"):
        module(noise=NoiseLevels(refinement=Refinement(start=0.5)))


def test_it_takes_the_place_of_the_consistency_loss_from_its_start_on(tmp_path: Path) -> None:
    part = module(noise=NoiseLevels(refinement=Refinement(start=0.5, windows=WINDOWS)))
    trainer = lightning.Trainer(
        max_steps=4,
        accelerator="cpu",
        logger=lightning.pytorch.loggers.CSVLogger(tmp_path, name=None),
        log_every_n_steps=1,
        limit_val_batches=0,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
    )
    before = {name: value.clone() for name, value in part.codec.state_dict().items()}
    trainer.fit(part, DataLoader(list(tones(16)), batch_size=4))  # type: ignore[arg-type]
    with open(Path(trainer.logger.log_dir) / "metrics.csv", newline="") as lines:  # type: ignore[arg-type, union-attr]
        rows = list(csv.DictReader(lines))
    assert [bool(row["train/refinement"]) for row in rows] == [False, False, True, True]
    assert any(not torch.equal(before[name], value) for name, value in part.codec.state_dict().items())
