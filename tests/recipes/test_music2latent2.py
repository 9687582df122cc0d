"""The Music2Latent2 recipes: sizes as their headers say, and two steps of training with a smaller model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from soundloom.cli import lightning as lightning_command
from soundloom.cli.recipe_files import read_recipe
from soundloom.codecs.music2latent2 import Music2Latent2, Music2Latent2Config
from soundloom.codecs.music2latent2.collapse import CollapseGuard
from soundloom.codecs.music2latent2.consistency import NoiseLevels
from soundloom.codecs.music2latent2.convert import config_from_published
from soundloom.core.audio import write_audio

RECIPES = Path(__file__).resolve().parents[2] / "recipes"
# Recipe -> audio samples to a latent value, and millions of weights.
SIZES = {
    "music2latent2_44khz": (64, (140, 150)),
    "music2latent2_44khz_stereo": (128, (140, 150)),
    "codicodec_48khz_stereo": (128, (145, 150)),
    "music2latent2_small": (64, (4, 5)),
    "music2latent2_16khz": (64, (6, 7)),
    "music2latent2_44khz_stereo_small": (128, (22, 23)),
}
SMALLER = {
    "hop": 16,
    "base_channels": 4,
    "dim": 32,
    "head_dim": 16,
    "noise_dim": 16,
    "encoder_layers": 1,
    "upsampler_layers": 1,
    "decoder_layers": 1,
    "encoder_blocks": [1, 1, 1, 1],
    "decoder_blocks": [1, 1, 1, 1],
}


# The small recipe is made otherwise: three stages, of which the middle one has blocks.
SMALLER_ENVELOPE = {
    **SMALLER,
    "hop": 32,
    "multipliers": [1, 4, 8],
    "encoder_blocks": [0, 1, 0],
    "decoder_blocks": [0, 1, 0],
}


def arguments(name: str) -> dict[str, Any]:
    return read_recipe(RECIPES / f"{name}.yaml")


@pytest.mark.parametrize("name", SIZES)
def test_sizes(name: str) -> None:
    recipe = arguments(name)
    settings = Music2Latent2Config(**recipe["model"]["init_args"]["settings"])
    compression, (least, most) = SIZES[name]
    assert settings.compression == compression
    with torch.device("meta"):
        model = Music2Latent2(**recipe["model"]["init_args"]["settings"])
    assert least < sum(weight.numel() for weight in model.parameters()) / 1e6 < most
    data = recipe["data"]["init_args"]
    assert data["sample_rate"] == "${model.init_args.settings.sample_rate}"
    wanted = 2 * settings.chunk_samples + settings.edge
    assert wanted <= round(data["segment_seconds"] * settings.sample_rate) < 1.03 * wanted
    if name.startswith("codicodec"):
        assert settings == config_from_published({})


def test_the_small_recipe_has_an_ordered_twin() -> None:
    """The ablation of its header: as many values, nearly as many weights."""
    settings = arguments("music2latent2_small")["model"]["init_args"]["settings"]
    header = (
        (RECIPES / "music2latent2_small.yaml").read_text(encoding="utf-8").partition("\nseed_everything")[0]
    )
    wider = {"layout": "ordered", "mlp_ratio": 14}
    assert all(f"--model.settings.{key} {value}" in header for key, value in wider.items())
    with torch.device("meta"):
        sizes = [
            sum(weight.numel() for weight in Music2Latent2(**{**settings, **changes}).parameters())
            for changes in ({}, wider)
        ]
    assert abs(sizes[0] - sizes[1]) < 0.03 * sizes[0]


@pytest.mark.parametrize("name", ["music2latent2_16khz", "music2latent2_44khz_stereo_small"])
def test_small_recipes_are_tuned_by_stages_and_guarded(name: str) -> None:
    recipe = arguments(name)
    assert NoiseLevels(**recipe["model"]["init_args"]["noise"]).schedule == "ect"
    latents = Music2Latent2Config(**recipe["model"]["init_args"]["settings"])
    (settings,) = (
        one["init_args"] for one in recipe["trainer"]["callbacks"] if "CollapseGuard" in one["class_path"]
    )
    assert CollapseGuard(**settings).dimensions < latents.num_latents * latents.latent_dim / 4


@pytest.mark.parametrize("name", [name for name in SIZES if not name.endswith(("_16khz", "stereo_small"))])
def test_two_steps(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    recipe = arguments(name)
    smaller = SMALLER_ENVELOPE if name == "music2latent2_small" else SMALLER
    rate = recipe["model"]["init_args"]["settings"]["sample_rate"]
    sounds = tmp_path / "sounds"
    sounds.mkdir()
    for index in range(2):
        write_audio(sounds / f"{index}.wav", 0.3 * torch.randn(1, rate // 4), rate)
    settings = Music2Latent2Config(**{**recipe["model"]["init_args"]["settings"], **smaller})
    seconds = (2 * settings.chunk_samples + settings.edge) / rate + 0.001
    changes = {f"model.settings.{key}": value for key, value in smaller.items()}
    changes |= {
        "data.folders": [str(sounds)],
        "data.segment_seconds": seconds,
        "data.batch_size": 2,
        "data.samples_per_epoch": 4,
        "data.val_samples": 2,
        "data.num_workers": 0,
        "trainer.accelerator": "cpu",
        "trainer.precision": "32-true",
        "trainer.fast_dev_run": 2,
    }
    words = [word for key, value in changes.items() for word in (f"--{key}", str(value))]
    assert lightning_command(["fit", "--config", str(RECIPES / f"{name}.yaml"), *words]) == 0
