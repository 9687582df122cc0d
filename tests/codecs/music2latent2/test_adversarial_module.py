"""The last stage of Music2Latent2's training, against an adversary."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import lightning
import pytest
import torch
from torch.utils.data import DataLoader

from soundloom.codecs.adversary import AdversarySettings
from soundloom.codecs.music2latent2 import Music2Latent2
from soundloom.codecs.music2latent2.adversarial_module import Music2Latent2AdversarialModule
from soundloom.codecs.music2latent2.consistency import NoiseLevels, Refinement
from soundloom.core.learning_rate_schedule import LearningRateSchedule

from .tiny_training import TINY, tones

LONG = replace(TINY, frames_per_chunk=48, envelope=True)
SAMPLES = 2 * LONG.chunk_samples + LONG.edge


def make_module(**settings) -> Music2Latent2AdversarialModule:
    torch.manual_seed(0)
    defaults = {
        "settings": LONG,
        "adversary": AdversarySettings(start=1, ramp=1, widths=(2, 2, 2, 2)),
        "noise": NoiseLevels(refinement=Refinement(start=0.0, windows=(64, 256))),
        "optimizer": partial(torch.optim.Adam, lr=1e-3),
        "scheduler": LearningRateSchedule(warmup_steps=0, min_lr_ratio=0.1),
        "envelope_examples": 20,
    }
    return Music2Latent2AdversarialModule(**{**defaults, **settings})


def fit(module, tmp_path, steps: int, channels: int = 1, **settings) -> lightning.Trainer:
    trainer = lightning.Trainer(
        default_root_dir=tmp_path,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        max_steps=2 * steps,  # those of both networks count
        **settings,
    )
    trainer.fit(module, DataLoader(tones(24, SAMPLES, channels), batch_size=3))
    return trainer


@pytest.mark.parametrize("channels", [1, 2])
def test_both_networks_learn_and_the_model_is_exported(tmp_path, channels):
    module = make_module(settings=replace(LONG, channels=channels), export_to=str(tmp_path / "model"))
    before = {name: value.clone() for name, value in module.state_dict().items()}
    trainer = fit(module, tmp_path, 3, channels)
    assert module.steps_taken == 3
    moved = {name for name, value in module.state_dict().items() if not torch.equal(value, before[name])}
    assert any(name.startswith("adversary.discriminator") for name in moved)
    assert any(name.startswith("codec.consistency") for name in moved)
    assert any(name.startswith("codec.encoder") for name in moved)
    figures = trainer.callback_metrics
    assert {"train/refinement", "train/adversarial", "train/features", "train/envelope"} <= set(figures)
    model = Music2Latent2.from_pretrained(tmp_path / "model")
    audio = tones(1, 4000, channels)
    assert torch.isfinite(model.decode(model.encode(audio), 4000)).all()


def test_it_goes_on_where_it_was_and_its_checkpoint_is_a_model(tmp_path):
    trainer = fit(make_module(), tmp_path, 2)
    trainer.save_checkpoint(tmp_path / "two.ckpt")
    checkpoint = torch.load(tmp_path / "two.ckpt", weights_only=True)
    assert checkpoint["steps_taken"] == 2
    assert len(checkpoint["optimizer_states"]) == 2
    rest = make_module()
    rest.on_load_checkpoint(checkpoint)
    assert rest.steps_taken == 2
    again = Music2Latent2AdversarialModule.from_checkpoint(checkpoint)
    assert again.codec.settings == LONG
