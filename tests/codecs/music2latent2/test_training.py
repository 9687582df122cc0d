"""The consistency objective and the module that trains with it."""

from __future__ import annotations

import logging
import math
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import lightning
import pytest
import torch
from diffusers import CMStochasticIterativeScheduler
from torch import Tensor
from torch.utils.data import DataLoader

from soundloom.codecs.music2latent2 import Music2Latent2, Music2Latent2Config
from soundloom.codecs.music2latent2.consistency import (
    ConsistencyObjective,
    NoiseLevels,
    NoiseSchedule,
    pseudo_huber,
)
from soundloom.codecs.music2latent2.module import Mixing
from soundloom.codecs.music2latent2.warmup_ema import WarmupEMA
from soundloom.core.learning_rate_schedule import LearningRateSchedule
from tests.codecs.music2latent2.tiny_training import SAMPLES, TINY, module, tones

FSQ = replace(TINY, fsq_levels=(5, 5, 5, 5), num_registers=1, latents_in_decoder=True)


# The objective


def test_scalings_and_ladder_are_those_of_diffusers() -> None:
    """Its scheduler for consistency models has the same formulas; consistency.py says why it is not used."""
    schedule = NoiseSchedule(TINY)
    for steps in (1, 2, 5):
        reference = CMStochasticIterativeScheduler(
            num_train_timesteps=steps + 1, sigma_min=0.002, sigma_max=80.0, sigma_data=0.5, rho=7.0
        )
        reference.set_timesteps(timesteps=list(range(steps - 1, -1, -1)))
        torch.testing.assert_close(
            torch.tensor(schedule.ladder(steps)), reference.sigmas[:steps], rtol=1e-4, atol=0
        )
        for sigma in reference.sigmas[:steps]:
            skip, out = reference.get_scalings_for_boundary_condition(sigma)
            ours = schedule.scalings(sigma)
            torch.testing.assert_close(ours.skip, torch.as_tensor(skip))
            torch.testing.assert_close(ours.out, torch.as_tensor(out))
            torch.testing.assert_close(ours.in_, 1 / (sigma**2 + 0.5**2) ** 0.5)


def test_clean_input_is_kept() -> None:
    model = Music2Latent2(**asdict(TINY))
    torch.nn.init.normal_(model.consistency.up.conv_out.weight)  # type: ignore[union-attr, arg-type]
    clean = torch.randn(1, 2, TINY.bins, TINY.frames_per_chunk)
    with torch.no_grad():
        context = model.context(torch.zeros(1, 2, 4))
        assert torch.equal(model.denoise(clean, TINY.sigma_min, context)[0], clean)
        assert not torch.allclose(model.denoise(clean, 1.0, context)[0], clean, atol=0.1)


def test_step_size_shrinks_from_start_to_end() -> None:
    objective = ConsistencyObjective(NoiseSchedule(TINY), total_steps=100)
    assert objective.step_size(0) == pytest.approx(0.1)
    assert objective.step_size(50) == pytest.approx(0.01)
    assert objective.step_size(100) == objective.step_size(1000) == pytest.approx(0.001)
    with pytest.raises(ValueError, match="total_steps is 0"):
        ConsistencyObjective(NoiseSchedule(TINY), total_steps=0)


def test_noise_levels_follow_the_wanted_density() -> None:
    """A place t is drawn with the weight of ln sigma(t) under a normal distribution."""
    torch.manual_seed(0)
    schedule = NoiseSchedule(TINY)
    objective = ConsistencyObjective(schedule, total_steps=1)
    times = objective.sample_times(40_000, torch.device("cpu"))
    grid = torch.linspace(0, 1, 2001)
    density = torch.exp(-0.5 * ((schedule.sigma(grid).log() + 1.1) / 2) ** 2)
    for quantile in (0.1, 0.5, 0.9):
        expected = grid[(density.cumsum(0) / density.sum() >= quantile).nonzero()[0, 0]]
        assert times.quantile(quantile) == pytest.approx(float(expected), abs=0.01)


def test_pseudo_huber_is_a_norm_with_a_smooth_foot() -> None:
    zero = torch.zeros(2, 3, 10)
    assert torch.equal(pseudo_huber(zero, zero), torch.zeros(2))
    far = torch.stack((torch.full((3, 10), 2.0), torch.full((3, 10), 5.0)))
    torch.testing.assert_close(pseudo_huber(far, zero), far.flatten(1).norm(dim=1), rtol=1e-2, atol=0)
    knee = 0.00054 * math.sqrt(30)
    near = torch.full((1, 3, 10), 1e-6)
    assert float(pseudo_huber(near, zero[:1])) == pytest.approx(30 * 1e-12 / (2 * knee), rel=0.2)


def test_objective_of_known_networks() -> None:
    torch.manual_seed(0)
    schedule = NoiseSchedule(TINY)
    objective = ConsistencyObjective(schedule, total_steps=10)
    clean = torch.randn(6, 2, 4, 4)
    seen: dict[str, tuple[Tensor, Tensor]] = {}

    def oracle(name: str) -> Any:
        def run(noisy: Tensor, sigma: Tensor) -> Tensor:
            seen[name] = (noisy, sigma)
            assert torch.is_grad_enabled() == (name == "student")
            return clean

        return run

    perfect = objective(oracle("student"), oracle("teacher"), clean, 0)
    assert float(perfect.loss) == 0
    (high, sigma_high), (low, sigma_low) = seen["student"], seen["teacher"]
    assert (sigma_high > sigma_low).all()
    assert sigma_high.unique().numel() == 6, "each chunk has a level of its own"
    noise = (high - clean) / sigma_high.view(-1, 1, 1, 1)
    torch.testing.assert_close(noise, (low - clean) / sigma_low.view(-1, 1, 1, 1), atol=1e-3, rtol=1e-3)

    def off_by_one(noisy: Tensor, sigma: Tensor) -> Tensor:
        return clean + 1

    constant = objective(off_by_one, oracle("teacher"), clean, 0)
    gap = (seen["teacher"][1] - constant.sigma).abs().clamp_min(0.001)
    torch.testing.assert_close(constant.items, pseudo_huber(clean + 1, clean) / gap)


def test_gradient_reaches_encoder_through_the_prediction_only() -> None:
    part = module(FSQ)
    with torch.no_grad():
        for parameter in part.codec.parameters():
            if not parameter.any():
                parameter.normal_(0, 0.1)
    objective = part.build_objective(10)
    part.consistency_loss(tones(2), objective, 0, 0.5)[1].loss.backward()
    idle = [name for name, p in part.named_parameters() if p.grad is None or not p.grad.any()]
    assert idle == []
    expected = {name: p.grad.clone() for name, p in part.named_parameters() if p.grad is not None}
    # The same with everything recomputed in the backward pass.
    part.zero_grad(set_to_none=True)
    part.codec.enable_gradient_checkpointing()
    torch.manual_seed(7)
    state = torch.get_rng_state()
    part.consistency_loss(tones(2), objective, 0, 0.5)[1].loss.backward()
    checkpointed = {name: p.grad.clone() for name, p in part.named_parameters() if p.grad is not None}
    part.zero_grad(set_to_none=True)
    part.codec.disable_gradient_checkpointing()
    torch.set_rng_state(state)
    part.consistency_loss(tones(2), objective, 0, 0.5)[1].loss.backward()
    assert set(checkpointed) == set(expected)
    for name, p in part.named_parameters():
        torch.testing.assert_close(checkpointed[name], p.grad, rtol=1e-4, atol=1e-5)


def test_training_brings_the_output_nearer_to_the_original() -> None:
    part = module(noise=NoiseLevels(mean=-1.0, std=1.0))
    codec = part.codec
    objective = part.build_objective(30)
    optimizer = torch.optim.Adam(part.parameters(), lr=1e-2)
    audio = tones(4)
    clean = codec.representation.to_chunks(codec.representation.analyse(audio))
    noisy = clean + torch.randn(clean.shape, generator=torch.Generator().manual_seed(1))

    def error() -> float:
        with torch.no_grad():
            context = codec.context(codec.bottleneck(codec.encoder(clean)))
            return float((codec.denoise_pair(noisy, 1.0, context) - clean).square().mean())

    before = error()
    for step in range(30):
        torch.manual_seed(step)
        loss = part.consistency_loss(audio, objective, step, 1.0)[1].loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert error() < 0.93 * before


# The module


def test_mixing_adds_another_item() -> None:
    audio = tones(8)
    part = module(mix=0.0)
    assert torch.equal(part.mixed(audio), audio)
    part = module(mix=1.0)
    added = part.mixed(audio) - audio
    distance = (added[:, None] - audio[None]).abs().flatten(2).amax(-1)
    assert sorted(distance.argmin(1).tolist()) == list(range(8)), (
        "what is added is the batch in another order"
    )
    with pytest.raises(ValueError, match=r"mix is 1\.5"):
        module(mix=1.5)


def test_levels_are_drawn_for_each_item() -> None:
    audio = tones(64)
    part = module(mix=Mixing(share=0.0, gain_db=(-20.0, -6.0)))
    changed = part.mixed(audio)
    gains = changed.flatten(1).norm(dim=1) / audio.flatten(1).norm(dim=1)
    torch.testing.assert_close(changed, audio * gains[:, None, None])
    decibels = 20 * gains.log10()
    assert -20 <= float(decibels.min()) < -18
    assert -8 < float(decibels.max()) <= -6
    with pytest.raises(ValueError, match=r"mix\.gain_db is \(0\.0, -6\.0\)"):
        Mixing(gain_db=(0.0, -6.0))


def test_crop_takes_what_two_chunks_need(caplog: pytest.LogCaptureFixture) -> None:
    part = module()
    assert part.crop(tones(2, SAMPLES + 50)).shape == (2, 1, SAMPLES)
    assert part.crop({"audio": tones(2)}).shape == (2, 1, SAMPLES)
    with pytest.raises(
        ValueError, match=f"two chunks want {SAMPLES}: set data.segment_seconds to at least 0.068"
    ):
        part.crop(tones(2, SAMPLES - 1))
    with pytest.raises(ValueError, match="2 channels, the model 1"):
        part.crop(tones(2, channels=2))
    stereo = module(replace(TINY, channels=2))
    with caplog.at_level(logging.WARNING):
        assert stereo.crop(tones(2)).shape == (2, 2, SAMPLES)
        stereo.crop(tones(2))
    assert caplog.text.count("data is mono") == 1


def test_a_gradient_that_is_not_finite_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    part = module()
    optimizer = torch.optim.RAdam(part.parameters())
    before = [p.detach().clone() for p in part.parameters()]
    for p in part.parameters():
        p.grad = torch.full_like(p, torch.nan)
    part.log = lambda *_, **__: None  # type: ignore[method-assign, assignment]
    part._trainer = None
    part.on_before_optimizer_step(optimizer)
    optimizer.step()
    assert "not finite" in caplog.text
    assert all(torch.equal(p, old) for p, old in zip(part.parameters(), before, strict=True))


@pytest.mark.parametrize("config", [TINY, FSQ, replace(TINY, envelope=True)], ids=["tanh", "fsq", "envelope"])
def test_fit_logs_and_exports(tmp_path: Path, config: Music2Latent2Config) -> None:
    part = module(
        config,
        scheduler=LearningRateSchedule(warmup_steps=2, min_lr_ratio=0.01),
        export_to=str(tmp_path / "model"),
        envelope_examples=20,
    )
    loader = DataLoader(list(tones(8)), batch_size=4)  # type: ignore[arg-type]
    logger = lightning.pytorch.loggers.TensorBoardLogger(tmp_path)
    trainer = lightning.Trainer(
        max_steps=3,
        accelerator="cpu",
        logger=logger,
        log_every_n_steps=1,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[WarmupEMA(decay=0.5)],
        default_root_dir=tmp_path,
    )
    trainer.fit(part, loader, loader)
    logged = trainer.logged_metrics
    names = {
        "train/loss",
        "train/latent_saturation",
        "train/gradient_norm",
        "val/loss",
        "val/mel",
        "val/si_sdr",
    }
    names |= {"val/log_spectral_distance", "val/latent_std"}
    if config.envelope:
        names.add("train/envelope")
    if config is FSQ:
        names |= {"val/mel_codes", "val/si_sdr_codes"}
    assert names <= set(logged)
    assert any(name.startswith("train_by_noise/") for name in logged)
    assert all(math.isfinite(float(logged[name])) for name in names - {"val/si_sdr", "val/si_sdr_codes"})
    loaded = Music2Latent2.from_pretrained(tmp_path / "model")
    assert loaded.settings == config
    for name, weight in loaded.state_dict().items():
        assert torch.equal(weight, part.codec.state_dict()[name]), name
    part.save_pretrained(tmp_path / "half", dtype=torch.bfloat16)
    size = {
        kind: (tmp_path / kind / "diffusion_pytorch_model.safetensors").stat().st_size
        for kind in ("model", "half")
    }
    assert size["half"] < 0.7 * size["model"]
    assert Music2Latent2.from_pretrained(tmp_path / "half").dtype == torch.float32


def test_endless_training_needs_a_length(tmp_path: Path) -> None:
    trainer = lightning.Trainer(
        max_epochs=-1, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False
    )
    with pytest.raises(ValueError, match=r"set trainer\.max_steps"):
        trainer.fit(module(), DataLoader(list(tones(2)), batch_size=2))  # type: ignore[arg-type]


def test_ema_forgets_the_start() -> None:
    ema = WarmupEMA(decay=0.9)
    average = ema._kwargs["avg_fn"]
    value = torch.tensor(100.0)
    for update in range(1, 40):
        value = average(value, torch.tensor(1.0), torch.tensor(update))
    assert abs(float(value) - 1) < 0.01, "a constant decay of 0.9 would leave 100 * 0.9 ** 39 = 1.6 too much"
    assert float(average(torch.tensor(0.0), torch.tensor(1.0), 10**6)) == pytest.approx(0.1)
    with pytest.raises(ValueError, match="decay is 1"):
        WarmupEMA(decay=1.0)


def test_the_export_in_int8_loads_as_the_values_that_were_stored(tmp_path: Path) -> None:
    part = module(replace(TINY, envelope=True))
    with torch.no_grad():
        for parameter in part.codec.parameters():
            parameter.normal_()
    for weights in ("float", "int8"):
        (tmp_path / weights).mkdir()
        part.export(tmp_path / weights, weights=weights)
    loaded, exact = (Music2Latent2.from_pretrained(tmp_path / weights) for weights in ("int8", "float"))
    assert loaded.dtype == torch.float32
    for (name, value), other in zip(loaded.named_parameters(), exact.parameters(), strict=True):
        rows = other.flatten(1) if other.ndim > 1 else other
        step = rows.abs().amax(dim=-1, keepdim=True) / 127 if other.ndim > 1 else torch.zeros(1)
        difference = (value - other).flatten(1) if other.ndim > 1 else value - other
        assert (difference.abs() <= 0.51 * step).all(), name
