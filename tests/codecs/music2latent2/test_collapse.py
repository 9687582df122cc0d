"""Collapsed latents are seen and said, and end a training; a tiny stereo training does not collapse."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightning
import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from soundloom.codecs.music2latent2.collapse import (
    CollapseError,
    CollapseGuard,
    effective_dimensions,
    saturation,
)
from soundloom.codecs.music2latent2.consistency import NoiseLevels
from soundloom.core.learning_rate_schedule import LearningRateSchedule
from tests.codecs.music2latent2.tiny_training import TINY, module, tones

# As the stereo recipe is made: what it begins with are principal components.
STEREO = replace(TINY, channels=2, num_latents=4, envelope=True)


def normal(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def test_saturation_is_the_share_of_values_near_the_ends() -> None:
    assert saturation(torch.tensor([[0.98, -0.99], [0.5, 0.9]])) == 0.5


def test_effective_dimensions_count_directions_of_equal_variance() -> None:
    values = torch.zeros(4000, 2, 4)
    assert effective_dimensions(values) == 0, "all chunks alike"
    assert effective_dimensions(values + normal(2, 4)) == 0
    values[:, 0, :3] = normal(4000, 3)
    assert effective_dimensions(values) == pytest.approx(3, rel=0.01)
    assert effective_dimensions(values[..., [0, 0, 0, 0]]) == pytest.approx(1)
    assert effective_dimensions(normal(4000, 2, 4)) == pytest.approx(8, rel=0.02)
    assert effective_dimensions(normal(2, 2, 4)) == pytest.approx(1), "at most n - 1"


def look(guard: CollapseGuard, step: int, latents: Tensor) -> list[float]:
    """Give a guard a step's latents; what it logs."""
    logged: list[float] = []
    strategy = SimpleNamespace(reduce_boolean_decision=lambda decision, all: decision)
    trainer: Any = SimpleNamespace(global_step=step, strategy=strategy)
    part: Any = SimpleNamespace(log=lambda name, value: logged.append(value))
    guard.on_train_batch_end(trainer, part, {"latents": latents}, None, 0)
    return logged


def test_a_guard_warns_and_then_ends_the_training(caplog: pytest.LogCaptureFixture) -> None:
    guard = CollapseGuard(after=20, every=10, patience=2, chunks=64)
    healthy, collapsed = normal(64, 2, 4).tanh(), (5 * normal(64, 2, 4)).sign()
    assert look(guard, 7, healthy) == [], "not the time to look"
    assert look(guard, 10, collapsed) == [pytest.approx(8, rel=0.2)]
    assert caplog.text == "", "before `after` nothing is said"
    look(guard, 20, collapsed)
    said = "step 20: 100% of the latent values lie beyond 0.97, and latents differ in"
    assert said in caplog.text
    look(guard, 30, healthy)
    look(guard, 40, collapsed)
    with pytest.raises(
        CollapseError, match=r"step 50: the latents have collapsed: .*of 8\. Go back to a check"
    ):
        look(guard, 50, collapsed)


def test_few_dimensions_are_a_collapse_too_and_patience_may_be_endless(
    caplog: pytest.LogCaptureFixture,
) -> None:
    guard = CollapseGuard(dimensions=2.0, after=0, every=1, patience=0, chunks=64)
    flat = 0.3 * normal(64, 1, 1).tanh().expand(64, 2, 4)
    with caplog.at_level(logging.WARNING):
        for step in range(1, 20):
            look(guard, step, flat)
    assert caplog.text.count("1.0 effective dimensions of 8: they are collapsing") == 1


@pytest.mark.parametrize(
    ("settings", "said"),
    [({"saturation": 0.0}, "saturation is 0"), ({"every": 0}, "every is 0"), ({"chunks": 1}, "chunks is 1")],
)
def test_settings_that_make_no_guard_are_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        CollapseGuard(**settings)


def noises(count: int, samples: int) -> Tensor:
    """Stereo sounds of many kinds `[count, 2, N]`: tones and noise of other levels in either channel."""
    noise = (
        normal(count, 2, samples) * torch.rand(count, 2, 1, generator=torch.Generator().manual_seed(1)) * 0.3
    )
    return (tones(count, samples, channels=2) * torch.linspace(0, 1, count)[:, None, None] + noise).clamp(
        -1, 1
    )


def train(
    folder: Path, steps: int, guard: CollapseGuard, learning_rate: float = 3e-3, **settings: Any
) -> Any:
    """Train a tiny stereo model; the module, whose trainer has the last logs."""
    size = 2 * STEREO.chunk_samples + STEREO.edge
    part = module(
        STEREO,
        optimizer=lambda parameters: torch.optim.RAdam(parameters, lr=learning_rate),
        scheduler=LearningRateSchedule(warmup_steps=10, min_lr_ratio=0.1),
        noise=NoiseLevels(schedule="ect"),
        envelope_examples=40,
        **settings,
    )
    trainer = lightning.Trainer(
        max_steps=steps,
        accelerator="cpu",
        logger=lightning.pytorch.loggers.CSVLogger(folder),
        log_every_n_steps=guard.every,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        limit_val_batches=0,
        callbacks=[guard],
        default_root_dir=folder,
    )
    trainer.fit(part, DataLoader(list(noises(32, size)), batch_size=4))  # type: ignore[arg-type]
    return part


def check_health(part: Any, guard: CollapseGuard) -> None:
    health = guard.health()
    assert not guard.collapsed(health), health
    assert health.saturation < 0.1
    assert health.dimensions > 8
    assert float(part.trainer.logged_metrics["train/latent_dimensions"]) == pytest.approx(health.dimensions)


def test_a_tiny_stereo_training_keeps_its_latents_alive(tmp_path: Path) -> None:
    guard = CollapseGuard(dimensions=8, after=20, every=10, patience=1, chunks=128)
    check_health(train(tmp_path, 40, guard), guard)


@pytest.mark.slow
def test_a_stereo_training_of_some_hundred_steps_does_not_collapse(tmp_path: Path) -> None:
    guard = CollapseGuard(dimensions=8, after=100, every=50, patience=1)
    part = train(tmp_path, 250, guard)
    check_health(part, guard)
    half = STEREO.chunk_samples
    audio = noises(4, 2 * half)[..., : 2 * half - STEREO.edge]
    latents = part.codec.encode(audio)
    left, right = (part.codec.encode(audio[:, [channel, channel]]) for channel in (0, 1))
    assert float((latents - left).abs().mean()) > 0.01, "the channels are told apart"
    assert float((left - right).abs().mean()) > 0.01


def test_a_training_whose_latents_saturate_is_ended(tmp_path: Path) -> None:
    """Far too large steps drive the tanh to its ends; without the guard the training would go on."""
    guard = CollapseGuard(after=10, every=5, patience=2, chunks=64)
    with pytest.raises(CollapseError, match=r"step \d+: the latents have collapsed: 100%"):
        train(tmp_path, 60, guard, learning_rate=0.3)


def test_every_training_has_a_guard(tmp_path: Path) -> None:
    def guards(*callbacks: lightning.Callback) -> list[CollapseGuard]:
        trainer = lightning.Trainer(
            fast_dev_run=1,
            accelerator="cpu",
            callbacks=list(callbacks),
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=tmp_path,
        )
        trainer.fit(module(), DataLoader(list(tones(2)), batch_size=2))  # type: ignore[arg-type]
        return [one for one in trainer.callbacks if isinstance(one, CollapseGuard)]  # type: ignore[attr-defined]

    own = CollapseGuard(patience=0)
    assert guards(own) == [own]
    assert [guard.patience for guard in guards()] == [5]
