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
from safetensors.torch import save_file

from soundloom import cli
from soundloom.cli import recipe as recipe_command
from soundloom.cli.recipe_files import read_recipe
from soundloom.codecs.music2latent2 import Music2Latent2
from soundloom.codecs.seanet.model import SEANetCodec
from soundloom.core.audio import write_audio
from soundloom.gen.model.lm import AudioLM
from soundloom.gen.pipeline import AudioGen
from soundloom.gen.text.loader import load_text_encoder
from soundloom.recipes.distil_sentences import SENTENCES_FILE, VECTORS_FILE
from soundloom.recipes.foley.render_dataset import render_dataset

ROOT = Path(__file__).resolve().parents[2]
RECIPES = sorted((ROOT / "recipes").rglob("*.yaml"))
TINY_T5 = ROOT / "tests" / "fixtures" / "audiogen_tiny" / "t5"

# Sizes of networks, by the names that recipes use for them.
SMALL_MODEL = {
    "base_channels": 8,
    "codebook_size": 16,
    "decoder_layers": 1,
    "dim": 64,
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
    "seconds": 2.0,
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
    if "encoder" in settings.get("text", {}) and "AudioGen" in config["model"]["class_path"]:
        words += [f"--model.text.encoder={TINY_T5}", "--model.text.settings=null"]
    if config["model"]["class_path"].endswith("SentenceModule"):  # its table is made by a command
        words.append("--model.text.encoder=foley")
    if "codec" in settings and isinstance(settings["codec"], str):  # of a language model: a name
        words.append("--model.codec=data/codec")
    if "init_from" in settings:
        kind = config["model"]["class_path"]
        name = "start" if "AudioGen" in kind else "summary" if "Music2Latent2" in kind else "codec"
        words.append(f"--model.init_from=data/{name}")
    return words


def make_models() -> None:
    """Make the models that `overrides` names: codecs, and an AudioGen to start from."""
    size = SMALL_MODEL["codebook_size"]
    spectral = {"ratios": [2], "transform": "spectral", "transform_hop": 160, "causal": True, "norm": "none"}
    few, many = (
        SEANetCodec(num_codebooks=k, codebook_size=size, n_filters=2, dimension=8, lstm=0, **spectral).eval()
        for k in (4, 8)
    )
    few.save_pretrained("data/codec")
    stages = {
        "multipliers": (1, 8),
        "encoder_blocks": (0, 1),
        "decoder_blocks": (0, 1),
        "strides": ((32, 4),),
    }
    layers = {"encoder_layers": 1, "upsampler_layers": 1, "decoder_layers": 1}
    widths = {
        "base_channels": 8,
        "dim": 64,
        "head_dim": 16,
        "noise_dim": 16,
        "num_latents": 2,
        "latent_dim": 8,
    }
    summary = Music2Latent2(
        sample_rate=16000, channels=1, hop=256, overlap=4, frames_per_chunk=32, **stages, **layers, **widths
    )
    summary.save_pretrained("data/summary")
    text_encoder = load_text_encoder(TINY_T5)
    sizes = {"codebook_size": size, "dim": 16, "num_layers": 1, "num_heads": 2, "text_dim": text_encoder.dim}
    AudioGen(AudioLM(num_codebooks=8, **sizes), text_encoder, many).save_pretrained("data/start")


def as_list(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value or [])


def sample_rate_of(config: dict[str, Any]) -> int:
    """Hz of the sound that a recipe wants; that of a new model is given there."""
    rate = config["data"]["init_args"].get("sample_rate", 16000)
    if isinstance(rate, int):
        return rate
    assert rate.startswith("${model."), "the data follows the model"
    found: Any = config
    for key in rate[2:-1].split("."):
        found = found[key]
    return int(found)


def make_data(config: dict[str, Any]) -> None:
    """Make the folders that a recipe names, below the current one."""
    data = config["data"]["init_args"]
    if config["data"]["class_path"].endswith("CaptionedSoundDataModule"):
        for folder in data["folders"]:
            make_captioned(Path(folder))
        return
    for key in RENDERED:
        for folder in as_list(data.get(key)):
            render_dataset(
                folder,
                clips=10,
                split="train" if key in ("train_dir", "folders") else "validation",
                seconds=1.0,
                sample_rate=sample_rate_of(config),
                compositions={"single": 1.0},
            )
    model = config["model"]["init_args"]
    if config["model"]["class_path"].endswith("SentenceModule"):
        make_sentences(Path(data["folder"]))
        return
    if data.get("render", {}).get("codec"):
        num_codebooks = model["lm"]["num_codebooks"]
    elif config["model"]["class_path"].endswith("TextEncoderModule"):
        num_codebooks = model["num_codebooks"]
    else:
        return
    for name in (*data["folders"], *data["val_folders"]):  # of codes
        make_codes(Path(name), num_codebooks)


def make_sentences(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / SENTENCES_FILE).write_text("".join(f"sound {n}\n" for n in range(12)), encoding="utf-8")
    save_file({"vectors": torch.eye(12, 256).half()}, folder / VECTORS_FILE)


def make_captioned(folder: Path) -> None:
    folder.mkdir(parents=True)
    rows = ["file_name,text,sound_class,split"]
    for n in range(8):
        samples = torch.randn(1, 16000, generator=torch.Generator().manual_seed(n)) / 10
        write_audio(folder / f"{n}.wav", samples, 16000)
        rows.append(f"{n}.wav,sound {n},class{n % 2},{'train' if n < 5 else 'validation'}")
    (folder / "metadata.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")


def make_codes(folder: Path, num_codebooks: int) -> None:
    rng = np.random.default_rng(0)
    codes = rng.integers(0, SMALL_MODEL["codebook_size"], (6, num_codebooks, 30))
    np.save(folder / "codes.npy", codes.astype(np.int16))
    (folder / "audio.npy").unlink()
    lines = [json.dumps({"caption": f"sound {n}", "captions": [f"sound {n}", "a sound"]}) for n in range(6)]
    (folder / "metadata.jsonl").write_text("\n".join(lines) + "\n")


def test_there_are_recipes() -> None:
    assert RECIPES


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.relative_to(ROOT / "recipes").as_posix())
def test_the_recipe_begins_with_what_it_trains_and_how_it_is_run(recipe: Path) -> None:
    text = recipe.read_text(encoding="utf-8")
    starts = ("\nseed_everything:", "\nmodel:", "\nextends:")
    header = text[: min(n for key in starts if (n := text.find(key)) >= 0)]
    name = recipe.relative_to(ROOT).as_posix()
    assert header.startswith("# Trains ")
    for part in ("# Command:", f"lightning fit --config {name}"):
        assert part in header
    for part in ("debug run", "hardware"):
        assert part in header.lower()
    assert isinstance(read_recipe(recipe)["seed_everything"], int)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.relative_to(ROOT / "recipes").as_posix())
def test_a_stopped_run_finds_its_last_checkpoint_again(recipe: Path) -> None:
    """The checkpoints lie where the command puts them, in the run's folder."""
    config = read_recipe(recipe)
    assert "dirpath" not in config["checkpoint"]
    own = [call["class_path"] for call in config["trainer"].get("callbacks", [])]
    assert not [name for name in own if name.endswith("Checkpoint")]
    assert config["trainer"]["default_root_dir"] == f"runs/{recipe.stem}"


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.relative_to(ROOT / "recipes").as_posix())
def test_one_option_moves_all_that_a_run_writes(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--trainer.default_root_dir", "elsewhere", "--print_config"]
    with pytest.raises(SystemExit) as stop:
        cli.lightning(["fit", "--config", str(recipe), *words])
    assert not stop.value.code
    settings = dict(leaves(yaml.safe_load(capsys.readouterr().out)))
    assert settings["model.init_args.export_to"] == "elsewhere/model"
    assert not [name for name, value in settings.items() if "runs" in str(value)]
    assert settings["trainer.logger"] is None  # the command's own, in the run's folder


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.relative_to(ROOT / "recipes").as_posix())
def test_the_recipe_trains_two_steps_on_a_cpu(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = read_recipe(recipe)
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


def small_run(name: str, monkeypatch: pytest.MonkeyPatch, folder: Path) -> list[str]:
    """Make what a recipe needs below `folder`; return the words that run two steps of it."""
    recipe = ROOT / "recipes" / f"{name}.yaml"
    config = read_recipe(recipe)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PL_GLOBAL_SEED", "0")
    make_data(config)
    make_models()
    words = [word for word in overrides(config) if "fast_dev_run" not in word]
    if name == "audiogen_foley":  # codes of the tiny codec
        words.append("--model.export.codec=data/codec")
    if name == "music2latent2_small":
        words.append("--model.envelope_examples=80")
    if name == "classifier":  # so few clips would have other classes for validation
        words.append("--data.val_dir=data/foley-classifier/train")
    return [
        "--config",
        str(recipe),
        *words,
        "--trainer.max_steps=2",
        "--trainer.default_root_dir=elsewhere",
        "--trainer.enable_progress_bar=true",
    ]


def logged(folder: Path) -> dict[str, set[str]]:
    """Kind of what is on the board of a run -> its tags."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    [events] = folder.glob("version_0/events.*")
    board = EventAccumulator(str(events), size_guidance={"images": 0, "audio": 0})
    board.Reload()
    tags = board.Tags()
    return {kind: set(tags[kind]) for kind in ("scalars", "images", "audio")}


@pytest.mark.parametrize(
    ("name", "sounds"),
    [
        ("seanet_finetune", {"original", "decoded"}),
        ("music2latent2_small", {"original", "decoded"}),
        ("audiogen_foley", {"original", "generated"}),
        ("classifier", {"original"}),
        ("audio_text", {"original"}),
    ],
)
def test_a_short_run_validates_and_shows_and_keeps_what_it_made(
    name: str,
    sounds: set[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = small_run(name, monkeypatch, tmp_path)
    capsys.readouterr()
    assert cli.lightning(["fit", *words]) == 0
    said = capsys.readouterr()
    assert "training: step 2 of 2 (100 %)" in said.err
    assert "\r" not in said.err
    assert "the model is in elsewhere/model" in said.out
    assert "soundloom " in said.out
    run = tmp_path / "elsewhere"
    assert (run / "model" / "config.json").is_file()
    assert (run / "checkpoints" / "last.ckpt").is_file()
    assert {path.name for path in tmp_path.iterdir()} <= {"data", "elsewhere"}
    found = logged(run)
    assert [tag for tag in found["scalars"] if tag.startswith("val/")]
    assert {tag.rpartition("/")[2] for tag in found["audio"]} == sounds
    assert "examples/0/spectrogram" in found["images"]

    # Again into the same folder: refused, and nothing is touched.
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*") if path.is_file()}
    assert cli.lightning(["fit", *words]) == 2
    error = capsys.readouterr().err
    assert "elsewhere holds an earlier run" in error
    assert "--ckpt_path last" in error
    assert "--trainer.default_root_dir elsewhere-2" in error
    assert "Traceback" not in error
    assert {path: path.stat().st_mtime_ns for path in before} == before

    if name != "classifier":  # going on is what was asked for; test and predict read what was kept
        assert cli.lightning(["fit", *words, "--trainer.max_steps=3", "--ckpt_path=last"]) == 0
        assert "training: step 3 of 3" in capsys.readouterr().err
    last = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    assert last["global_step"] == (2 if name == "classifier" else 3)
    assert not list((run / "checkpoints").glob("last-*"))
    averaged = name in ("seanet_finetune", "music2latent2_small")
    assert (
        "current_model_state" in last
    ) == averaged  # the moving average of a codec, and the weights beside it
    checkpoint = f"--ckpt_path={run / 'checkpoints' / 'last.ckpt'}"
    evaluated = [word for word in words if "max_steps" not in word]
    assert cli.lightning(["test", *evaluated, checkpoint]) == 0
    assert "test/" in capsys.readouterr().out
    assert cli.lightning(["predict", *evaluated, checkpoint]) == 0
    assert "elsewhere/predictions" in capsys.readouterr().out
    assert {path.stem.partition("-")[2] for path in (run / "predictions").glob("*.wav")} == sounds
    rows = (run / "predictions" / "metadata.csv").read_text().splitlines()
    assert rows[0].startswith("file_name")
    assert len(rows) == 1 + len(list((run / "predictions").glob("*.wav")))


@pytest.mark.parametrize(
    ("name", "change"),
    [  # every kind of model and of data that holds sound
        ("audiogen_base", "sample_rate=24000"),
        ("audiogen_base", "channels=2"),
        ("codicodec_48khz_stereo", "sample_rate=24000"),
        ("codicodec_48khz_stereo", "channels=1"),
        ("audio_text", "sample_rate=24000"),
        ("classifier", "sample_rate=24000"),
        ("music2latent2_small", "channels=2"),
        ("seanet_finetune", "sample_rate=24000"),
        ("seanet_finetune", "channels=2"),
    ],
)
def test_data_that_the_model_does_not_take_is_refused(
    name: str,
    change: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    recipe = ROOT / "recipes" / f"{name}.yaml"
    config = read_recipe(recipe)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PL_GLOBAL_SEED", "0")
    if {"codec", "init_from"} & config["model"]["init_args"].keys():
        make_models()
    for key in RENDERED:  # refused before they are read
        for folder in as_list(config["data"]["init_args"].get(key)):
            Path(folder).mkdir(parents=True, exist_ok=True)
    words = [*overrides(config), f"--data.{change}"]
    if config["data"]["class_path"].endswith("AudioGenDataModule"):
        words.append("--data.mixing=null")
        render_dataset("data/mysounds", clips=10, seconds=1.0, compositions={"single": 1.0})
        words.append("--data.folders=[data/mysounds]")
    assert cli.lightning(["fit", "--config", str(recipe), *words]) == 2
    [error] = [line for line in capsys.readouterr().err.splitlines() if line.startswith("lightning: error")]
    assert change.partition("=")[2] in error
    assert f"set --data.{change.partition('=')[0]}" in error or "render it with" in error


def test_the_rate_of_the_model_reaches_its_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = small_run("music2latent2_small", monkeypatch, tmp_path)
    assert cli.lightning(["fit", *words, "--model.settings.sample_rate=24000"]) == 2
    error = capsys.readouterr().err
    assert "is rendered at 16000 Hz, wanted 24000 Hz" in error
    assert not (tmp_path / "elsewhere" / "model").exists()
    assert cli.lightning(["fit", *words, "--data.segment_seconds=0.1"]) == 2
    assert "set --data.segment_seconds" in capsys.readouterr().err
