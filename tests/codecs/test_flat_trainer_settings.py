"""Recipes and options of codecs that were written when the trainers' settings were flat."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import yaml

from soundloom.cli.recipe_files import RECIPES, present_words, read_recipe, under_present_names
from soundloom.codecs.seanet.model import SEANetCodec
from soundloom.core.audio import write_audio
from tests.cli.running import run
from tests.codecs.seanet.tiny import TINY

SEANET = """\
seed_everything: 1
model:
  class_path: soundloom.codecs.seanet.module.SEANetModule
  init_args:
    init_from: codec
    learning_rate: 0.01
    betas: [0.8, 0.99]
    warmup_steps: 2
    decay_steps: ${trainer.max_steps}
    gradient_clip: 5.0
    weights: {likelihood: 2.0, mel: 1.0}
    mel_floor: 0.001
    commitment_weight: 0.25
    quantizer_start: 1
    codebook_choices: [1, 3]
    discriminator_filters: 2
    discriminator_ffts: [64]
    discriminator_start: 1
    export_to: out
data:
  class_path: soundloom.recipes.data.AudioDataModule
  init_args:
    folders: [sounds]
    val_folders: [sounds]
    segment_seconds: 0.1
    batch_size: 2
    samples_per_epoch: 8
    sample_rate: 16000
trainer: {max_steps: 3, accelerator: cpu, logger: false, default_root_dir: runs/old}
"""
MUSIC2LATENT2 = """\
model:
  class_path: soundloom.codecs.music2latent2.module.Music2Latent2Module
  init_args:
    learning_rate: 1.0e-3
    final_learning_rate: 2.0e-5
    step_exponent: 2.0
    noise_mean: 0.5
    mix: 0.1
"""


def test_an_old_recipe_still_trains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    codec = SEANetCodec(**TINY).train()
    codec.describe(0.1 * torch.randn(8, 1, 320))
    codec.eval().save_pretrained("codec")
    Path("sounds").mkdir()
    write_audio("sounds/a.wav", 0.1 * torch.randn(1, 8000), 16000)
    Path("old.yaml").write_text(SEANET)
    assert run("fit", "--config", "old.yaml", "--model.learning_rate", "0.02") == 0
    trained = SEANetCodec.from_pretrained("out")
    assert not torch.equal(trained.encoder.model[0].conv.weight, codec.encoder.model[0].conv.weight)


def test_settings_go_where_they_are_today() -> None:
    found = under_present_names(yaml.safe_load(SEANET))["model"]["init_args"]
    assert found == {
        "init_from": "codec",
        "gradient_clip": 5.0,
        "export_to": "out",
        "optimizer": {"class_path": "torch.optim.Adam", "init_args": {"lr": 0.01, "betas": [0.8, 0.99]}},
        "scheduler": {"warmup_steps": 2, "total_steps": "${trainer.max_steps}", "min_lr_ratio": 0.1},
        "losses": {
            "weights": {"likelihood": 2.0, "mel": 1.0},
            "mel_floor": 0.001,
            "commitment": 0.25,
            "quantizer_start": 1,
            "codebook_choices": [1, 3],
        },
        "discriminator": {"n_filters": 2, "n_ffts": [64], "start": 1},
    }
    found = under_present_names(yaml.safe_load(MUSIC2LATENT2))["model"]["init_args"]
    assert found == {
        "mix": 0.1,
        "optimizer": {"class_path": "torch.optim.RAdam", "init_args": {"lr": 0.001, "betas": [0.9, 0.999]}},
        "scheduler": {"warmup_steps": 10_000, "min_lr_ratio": pytest.approx(0.02)},
        "noise": {"step_exponent": 2.0, "mean": 0.5},
    }


def test_what_has_todays_names_is_left_alone() -> None:
    for recipe in RECIPES.glob("*.yaml"):
        found = read_recipe(recipe)
        assert under_present_names(found) == found


def test_words_of_the_command_line(tmp_path: Path) -> None:
    words = ["--model.learning_rate=1", "--model.codec.dim", "3", "--data.seed", "1"]
    for text in (SEANET, MUSIC2LATENT2):
        recipe = tmp_path / "recipe.yaml"
        recipe.write_text(text)
        first = ["fit", "--config", str(recipe)]
        found = present_words([*first, *words])
        assert found[3:6] == ["--model.optimizer.init_args.lr=1", "--model.codec.dim", "3"]
    assert present_words(["fit", *words]) == ["fit", *words]
