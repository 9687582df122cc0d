"""Every YAML recipe, wherever it lies under recipes/, says how it is run and trains two steps on a CPU.

A recipe is used as it is, except for its size: numbers that decide how large the network is are made small,
and the folders that it names hold a few short clips or random codes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from soundloom import cli
from soundloom.cli import recipe as recipe_command
from soundloom.codecs.seanet.model import SEANetCodec
from soundloom.gen.lm import AudioLM
from soundloom.gen.pipeline import AudioGen
from soundloom.gen.text import load_text_encoder
from soundloom.recipes.foley.render import render_dataset

ROOT = Path(__file__).resolve().parents[2]
RECIPES = sorted((ROOT / "recipes").rglob("*.yaml"))
TINY_T5 = ROOT / "tests" / "fixtures" / "audiogen_tiny" / "t5"

# Sizes of networks, by the names that recipes use for them.
SMALL_MODEL = {
    "base_channels": 8,
    "codebook_size": 16,
    "decoder_layers": 1,
    "dim": 64,
    "discriminator_filters": 2,
    "encoder_layers": 1,
    "ffn_dim": 32,
    "head_dim": 16,
    "n_filters": 2,
    "noise_dim": 16,
    "num_filters": 2,
    "num_heads": 2,
    "num_layers": 1,
    "reconstructions": 1,
    "upsampler_layers": 1,
}
ONE_EACH = ("encoder_blocks", "decoder_blocks")  # lists of how often each stage is repeated
SMALL_DATA = {
    "batch_size": 2,
    "num_workers": 0,
    "samples_per_epoch": 8,
    "val_samples": 2,
    "frames": 20,
    "segment_seconds": 2.0,
}
SMALL_TRAINER = {
    "fast_dev_run": 2,
    "accelerator": "cpu",
    "devices": 1,
    "num_nodes": 1,
    "strategy": "auto",
    "precision": "32-true",
    "enable_progress_bar": "false",
    "enable_model_summary": "false",
}
RENDERED = ("train_dir", "val_dir", "folders", "val_folders")
ENCODED = ("train_dirs", "val_dirs")


def leaves(tree: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (dotted path, value) of everything in nested dicts that is no dict."""
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{path}{key}.")
        else:
            yield f"{path}{key}", value


def overrides(config: dict[str, Any]) -> list[str]:
    """Return command-line words that make a recipe small."""
    words = [f"--trainer.{key}={value}" for key, value in SMALL_TRAINER.items()]
    for part, small in (("model", SMALL_MODEL), ("data", SMALL_DATA)):
        for path, value in leaves(config[part]):
            key = path.split(".")[-1]
            # What refers to another value (${…}) follows that one; what is smaller already stays.
            if key in small and isinstance(value, int | float) and value > small[key]:
                words.append(f"--{part}.{path}={small[key]}")
            elif key in ONE_EACH:
                words.append(f"--{part}.{path}={[min(1, blocks) for blocks in value]}")
            elif key == "multipliers":  # the last stage is as wide as the transformers
                words.append(
                    f"--{part}.{path}={[*value[:-1], SMALL_MODEL['dim'] // SMALL_MODEL['base_channels']]}"
                )
    settings = config["model"].get("init_args", {})
    if "text_encoder" in settings:
        words += [f"--model.text_encoder={TINY_T5}", "--model.text_encoder_settings=null"]
    if "codec" in settings and isinstance(settings["codec"], str):  # of a language model: a name
        words.append("--model.codec=data/codec")
    if "init_from" in settings:
        words.append("--model.init_from=data/start")
    return words


def make_models() -> None:
    """Make the models that `overrides` names: a codec, and an AudioGen to start from."""
    size = SMALL_MODEL["codebook_size"]
    codec = SEANetCodec(num_codebooks=4, codebook_size=size, n_filters=2, dimension=8, lstm=0).eval()
    codec.save_pretrained("data/codec")
    text_encoder = load_text_encoder(TINY_T5)
    lm = AudioLM(codebook_size=size, dim=16, num_layers=1, num_heads=2, text_dim=text_encoder.dim)
    AudioGen(lm, text_encoder, codec).save_pretrained("data/start")


def as_list(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value or [])


def make_data(config: dict[str, Any]) -> None:
    """Make the folders that a recipe names, below the current one."""
    data = config["data"]["init_args"]
    for key in RENDERED:
        for folder in as_list(data.get(key)):
            render_dataset(
                folder,
                clips=10,
                split="train" if key in ("train_dir", "folders") else "validation",
                seconds=1.0,
                sample_rate=data.get("sample_rate", 16000),
                compositions={"single": 1.0},
            )
    model = config["model"]["init_args"]
    rng = np.random.default_rng(0)
    for key in ENCODED:
        for folder in map(Path, as_list(data.get(key))):
            folder.mkdir(parents=True, exist_ok=True)
            codes = rng.integers(0, SMALL_MODEL["codebook_size"], (6, model.get("num_codebooks", 4), 30))
            np.save(folder / "codes.npy", codes.astype(np.int16))
            lines = [
                json.dumps({"caption": f"sound {n}", "captions": [f"sound {n}", "a sound"]}) for n in range(6)
            ]
            (folder / "metadata.jsonl").write_text("\n".join(lines) + "\n")


def test_there_are_recipes() -> None:
    assert RECIPES


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.relative_to(ROOT / "recipes").as_posix())
def test_the_recipe_begins_with_what_it_trains_and_how_it_is_run(recipe: Path) -> None:
    text = recipe.read_text(encoding="utf-8")
    header = text[: min(n for key in ("\nseed_everything:", "\nmodel:") if (n := text.find(key)) >= 0)]
    name = recipe.relative_to(ROOT).as_posix()
    assert header.startswith("# Trains ")
    for part in ("# Command:", f"lightning fit --config {name}"):
        assert part in header
    for part in ("debug run", "hardware"):
        assert part in header.lower()
    assert isinstance(yaml.safe_load(text)["seed_everything"], int)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.relative_to(ROOT / "recipes").as_posix())
def test_a_stopped_run_finds_its_last_checkpoint_again(recipe: Path) -> None:
    """Without a folder of its own, `--ckpt_path last` looks in that of the new run, and starts anew."""
    trainer = yaml.safe_load(recipe.read_text(encoding="utf-8"))["trainer"]
    [writer] = [call for call in trainer["callbacks"] if call["class_path"].endswith(".ModelCheckpoint")]
    assert writer["init_args"]["dirpath"] == "${trainer.default_root_dir}/checkpoints"
    assert writer["init_args"]["save_last"] is True


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.relative_to(ROOT / "recipes").as_posix())
def test_the_recipe_trains_two_steps_on_a_cpu(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = yaml.safe_load(recipe.read_text(encoding="utf-8"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PL_GLOBAL_SEED", "0")  # written by Lightning; taken back afterwards
    make_data(config)
    if {"codec", "init_from"} & config["model"]["init_args"].keys():
        make_models()
    runs: list[Any] = []

    class Recorder(recipe_command.RecipeCLI):
        def before_fit(self) -> None:
            super().before_fit()
            runs.append((self, [parameter.detach().clone() for parameter in self.model.parameters()]))

    monkeypatch.setattr(recipe_command, "RecipeCLI", Recorder)
    assert cli.lightning(["fit", "--config", str(recipe), *overrides(config)]) == 0

    ((run, before),) = runs
    after = list(run.model.parameters())
    assert run.trainer.global_step >= 2
    assert all(bool(torch.isfinite(parameter).all()) for parameter in after)
    if len(before) == len(after):  # otherwise the network was only built when the data was known
        assert any(not torch.equal(old, new) for old, new in zip(before, after, strict=True))
    outside = [path.name for path in tmp_path.iterdir() if path.name not in ("data", "runs")]
    assert not outside, "what a recipe writes belongs into runs/ or data/"
    assert not list(tmp_path.rglob("*.ckpt")), "a debug run leaves no checkpoint"
