"""AudioGen's recipes: sizes and settings of the paper, and fine-tuning from a user's folder to a model."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from soundloom import cli
from soundloom.cli.recipe_files import read_recipe
from soundloom.codecs.seanet.model import SEANetCodec
from soundloom.gen.model.lm import AudioLM
from soundloom.gen.model.lora import LoRASettings, add_lora
from soundloom.gen.pipeline import AudioGen
from soundloom.gen.text.loader import load_text_encoder

ROOT = Path(__file__).resolve().parents[2]
TINY_T5 = ROOT / "tests" / "fixtures" / "audiogen_tiny" / "t5"
T5_WIDTHS = {"t5-base": 768, "t5-large": 1024}
SIZES = {"base": 239_781_120, "large": 966_286_080, "medium": 1_839_131_136}


def recipe(name: str) -> tuple[str, dict[str, Any]]:
    path = ROOT / "recipes" / f"audiogen_{name}.yaml"
    return path.read_text(encoding="utf-8"), read_recipe(path)


@pytest.mark.parametrize(("name", "parameters"), SIZES.items())
def test_the_language_model_has_the_size_that_the_recipe_states(name: str, parameters: int) -> None:
    text, config = recipe(name)
    settings = config["model"]["init_args"]
    with torch.device("meta"):
        lm = AudioLM(text_dim=T5_WIDTHS[settings["text"]["encoder"]], **settings["lm"])
    assert sum(value.numel() for value in lm.parameters()) == parameters
    assert f"# Size:      {parameters:,} parameters" in text


@pytest.mark.parametrize("name", SIZES)
def test_optimisation_is_that_of_audiogen(name: str) -> None:
    _, config = recipe(name)
    settings, trainer = config["model"]["init_args"], config["trainer"]
    assert settings["optimizer"] == {
        "class_path": "torch.optim.AdamW",
        "init_args": {"lr": 5e-4, "betas": [0.9, 0.95], "weight_decay": 0.1},
    }
    assert settings["scheduler"] == {"kind": "inverse_sqrt", "warmup_steps": 3000}
    assert settings["objective"] == {"caption_dropout": 0.1}
    assert trainer["gradient_clip_val"] == 1.0
    assert trainer["max_steps"] == 100 * 2000
    assert trainer["precision"] == "bf16-mixed"
    average = trainer["callbacks"][0]
    assert average["class_path"] == "soundloom.gen.training.ema.ExponentialMovingAverage"
    assert average["init_args"] == {"decay": 0.99, "every_n_steps": 10}
    mixing = {"probability": 0.5, "keep": 0.5}
    assert config["data"]["init_args"]["mixing"] == (None if name == "medium" else mixing)
    assert config["data"]["init_args"]["segment"] == {"seconds": 10.0}


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of sounds as a user has it, and a small model to start from."""
    torch.manual_seed(0)
    codec = SEANetCodec(num_codebooks=8, codebook_size=16, n_filters=2, dimension=8, lstm=0).eval()
    text_encoder = load_text_encoder(TINY_T5)
    lm = AudioLM(
        num_codebooks=8, codebook_size=16, dim=32, num_layers=2, num_heads=2, text_dim=text_encoder.dim
    )
    AudioGen(lm, text_encoder, codec, max_seconds=1.0).save_pretrained(tmp_path / "start")
    rng = np.random.default_rng(0)
    sounds = tmp_path / "mysounds"
    sounds.mkdir()
    rows = []
    for number in range(10):
        rate = (8000, 22050, 44100)[number % 3]
        sound = 0.1 * rng.standard_normal((rate * (1 + number % 2), 1 + number % 2))
        soundfile.write(sounds / f"sound{number}.wav", sound, rate)
        rows.append({"file_name": f"sound{number}.wav", "text": f"a hiss, number {number}"})
    with open(sounds / "metadata.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["file_name", "text"])
        writer.writeheader()
        writer.writerows(rows)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PL_GLOBAL_SEED", "0")  # written by Lightning; taken back afterwards
    return tmp_path


SMALL = [
    "--model.init_from=start",
    "--data.folders=[mysounds]",
    "--data.segment_seconds=0.5",
    "--data.batch_size=3",
    "--trainer.max_steps=4",
    "--trainer.val_check_interval=2",
    "--trainer.log_every_n_steps=1",
    "--trainer.precision=32-true",
    "--trainer.enable_progress_bar=false",
    "--trainer.enable_model_summary=false",
]


@pytest.mark.parametrize("full", [False, True])
def test_fine_tuning_goes_from_a_folder_to_a_model(workplace: Path, full: bool) -> None:
    path = ROOT / "recipes" / "audiogen_finetune.yaml"
    words = ["--model.lora=null", "--model.learning_rate=2e-4"] if full else []
    assert cli.main(["fit", "--config", str(path), *SMALL, *words]) == 0

    run = workplace / "runs" / "audiogen_finetune"
    tuned, start = AudioGen.from_pretrained(run / "model"), AudioGen.from_pretrained("start")
    assert tuned.max_seconds == 1.0
    changed = {
        name
        for (name, value), old in zip(tuned.lm.named_parameters(), start.lm.parameters(), strict=True)
        if not torch.equal(value, old)
    }

    if not full:
        named = add_lora(start.lm, LoRASettings())
        assert changed == {f"{name}.weight" for name in named}
    else:
        assert changed == dict(tuned.lm.named_parameters()).keys()
    assert tuned.generate("a hiss", duration=0.4, seed=1).samples.shape[-1] > 0

    checkpoint = run / "checkpoints" / "last.ckpt"
    names = torch.load(checkpoint, weights_only=True)["state_dict"].keys()
    assert all(".lora_" in name for name in names) != full
    assert cli.main(["export", str(checkpoint), "again", "-q"]) == 0
    again = AudioGen.from_pretrained("again")
    for (name, value), other in zip(tuned.lm.named_parameters(), again.lm.parameters(), strict=True):
        assert torch.equal(value, other), name
