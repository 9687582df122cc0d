"""`soundloom fit` and `lightning fit`, and who else may be called `lightning`."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import lightning.pytorch  # noqa: F401  # its log keeps the stderr of its import: before any is captured
import pytest
import yaml

from soundloom import cli
from soundloom.cli import training, training_help

RECIPES = sorted((Path(__file__).resolve().parents[2] / "recipes").rglob("*.yaml"))
JUDGE = str(Path(__file__).resolve().parents[2] / "recipes" / "classifier.yaml")
TOY = """\
from lightning.pytorch import LightningDataModule, LightningModule
import torch

class Net(torch.nn.Linear):
    def __init__(self, dim: int = 4) -> None:
        super().__init__(dim, 1)

class Toy(LightningModule):
    def __init__(self, net: Net, dim: int = 4) -> None:
        super().__init__()
        self.net = net
        self.dim = dim
    def training_step(self, batch, index):
        with open("seen.txt", "a") as file:
            file.write(f"{self.dim} {self.net.in_features} {batch[0].shape[1]}\\n")
        return self.net(batch[0]).square().mean()
    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)

class ToyData(LightningDataModule):
    def __init__(self, dim: int = 4) -> None:
        super().__init__()
        self.dim = dim
    def train_dataloader(self):
        data = torch.utils.data.TensorDataset(torch.randn(8, self.dim))
        return torch.utils.data.DataLoader(data, batch_size=2)
"""
TOY_RECIPE = """\
model:
  class_path: toy_recipe.Toy
  init_args:
    dim: 4
    net:
      class_path: toy_recipe.Net
      init_args:
        dim: ${model.init_args.dim}
data:
  class_path: toy_recipe.ToyData
  init_args:
    dim: ${model.init_args.dim}
trainer:
  accelerator: cpu
  fast_dev_run: 2
  enable_progress_bar: false
"""


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "toy_recipe.py").write_text(TOY)
    (tmp_path / "toy.yaml").write_text(TOY_RECIPE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(os.environ, "PL_GLOBAL_SEED", "0")  # written by Lightning; taken back afterwards
    return tmp_path


@pytest.mark.parametrize("command", [cli.lightning, cli.main])
def test_an_override_reaches_every_value_that_depends_on_it(command: Any, toy: Path) -> None:
    assert command(["fit", "--config", "toy.yaml", "--model.dim", "64"]) == 0
    assert (toy / "seen.txt").read_text().splitlines() == ["64 64 64"] * 2


def test_the_seed_of_a_run_is_a_fixed_integer(toy: Path) -> None:
    assert cli.lightning(["fit", "--config", "toy.yaml"]) == 0
    assert os.environ["PL_GLOBAL_SEED"] == "0"


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (
            ["--config", "toy.yaml", "--trainer.max_stepz", "3"],
            ["--trainer.max_stepz", "mean --trainer.max_steps"],
        ),
        (
            ["--config", "toy.yaml", "--trainer.max_step", "3"],  # no abbreviation either
            ["--trainer.max_step 3", "mean --trainer.max_steps"],
        ),
        (["--config", "toy.yaml", "--ckpt_pat", "last"], ["--ckpt_pat", "mean --ckpt_path?"]),
        (["--config", "toy.yaml", "--modell.dim", "3"], ["--modell.dim"]),
        (["--config", JUDGE, "--model.learning_rat", "1"], ["'learning_rat' is not", "mean learning_rate?"]),
        (["--config", "toy.yaml", "--model.dim", "wide"], ["dim", "wide", "int"]),
    ],
    ids=str,
)
@pytest.mark.parametrize("command", ["soundloom", "lightning"])
def test_bad_settings_are_an_error_with_a_hint(
    command: str, words: list[str], parts: list[str], toy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = cli.main if command == "soundloom" else cli.lightning
    with pytest.raises(SystemExit) as stop:
        run(["fit", *words])
    error = capsys.readouterr().err
    assert stop.value.code == 2
    assert error.startswith(f"{command}: error: ")
    assert f"(see: {command} fit --help)" in error
    assert "usage:" not in error
    for part in parts:
        assert part in error
    assert not (toy / "seen.txt").exists()


@pytest.mark.parametrize("name", training.TRAINING_COMMANDS)
def test_the_help_ends_with_examples(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.lightning([name, "--help"]) == 0
    examples = capsys.readouterr().out.split("examples:\n")[1].splitlines()
    assert examples
    assert all(line.startswith(f"  soundloom {name} --config recipes/") for line in examples)


@pytest.mark.parametrize(
    ("name", "part"), [("nothing.yaml", "audiogen_finetune"), ("clasifier", "did you mean classifier?")]
)
def test_a_recipe_that_is_not_there(name: str, part: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.lightning(["fit", "--config", name]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"lightning: error: there is no recipe {name!r}")
    assert part in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--data.batch_size", "abc"], "--data.batch_size is abc; allowed: int"),
        (
            ["--data.foldrs", "x"],
            "'foldrs' is not a setting of AudioDataModule; "
            "`lightning fit --config seanet_finetune --data.help` lists them",
        ),
        (["--model.init_args.settings.rate", "1"], "'settings.rate' is not a setting of SEANetModule; "),
        (["--trainer.precision", "33"], "--trainer.precision is 33; allowed: 64, 32, 16 or "),
    ],
)
def test_a_setting_that_cannot_be_is_one_sentence(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        cli.lightning(["fit", "--config", "seanet_finetune", *words])
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith(f"lightning: error: {said}")
    assert len(lines) <= 3


def test_only_what_is_near_is_suggested() -> None:
    from soundloom.cli.recipe import nearest_setting

    usage = "usage: x [--trainer.max_steps N] [--data CONFIG]"
    assert nearest_setting("unrecognized arguments: --dat 3", usage) == "did you mean --data?\n"
    assert nearest_setting("unrecognized arguments: --volume 3", usage) == ""
    for kind in ("no.such.Class", "soundloom.cli.training"):
        assert (
            nearest_setting(f"Problem with given class_path '{kind}':\n  Option 'x' is not accepted", usage)
            == ""
        )
    assert nearest_setting("Expected a number", usage) == ""


def test_an_unknown_word_goes_to_the_other_lightning_command_or_is_explained(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given = list(sys.argv)
    monkeypatch.setattr(training, "_other_lightning_command", lambda: None)
    assert cli.lightning(["login"]) == 2
    assert "'login'" in (message := capsys.readouterr().err)
    assert cli.lightning(["fti"]) == 2
    assert "did you mean fit?" in capsys.readouterr().err
    assert "fit, validate, test, predict" in message

    seen: list[list[str]] = []
    monkeypatch.setattr(training, "_other_lightning_command", lambda: lambda: seen.append(list(sys.argv)))
    assert cli.lightning(["login", "--now"]) == 0
    assert seen == [["lightning", "login", "--now"]]
    assert sys.argv == given


def test_the_other_lightning_command_is_never_our_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert training._other_lightning_command() is None
    info = tmp_path / "rival-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: rival\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[console_scripts]\nlightning = time:perf_counter\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert training._other_lightning_command() is time.perf_counter


@pytest.mark.parametrize(
    ("recipe", "words", "parts"),
    [
        ("audiogen_finetune", ["--data.folders=[nowhere]"], ["nowhere does not exist"]),
        ("audiogen_finetune", ["--data.folders=[empty]"], ["empty", "no sound"]),
        ("seanet_finetune", ["--data.folders=[]"], ["folders is empty"]),
        ("seanet_finetune", ["--data.batch_size=0"], ["batch_size", "1 or more"]),
        ("seanet_finetune", ["--model.init_from=musci"], ["musci"]),
        ("classifier", ["--data.render_clips=1"], ["render.clips", "got 1"]),
    ],
    ids=str,
)
def test_a_user_s_mistake_is_one_sentence(
    recipe: str,
    words: list[str],
    parts: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PL_GLOBAL_SEED", "0")
    assert cli.main(["fit", "--config", f"recipes/{recipe}.yaml", *words]) == 2
    said = capfd.readouterr().err
    [error] = [line for line in said.splitlines() if line.startswith("soundloom: error: ")]
    assert "Traceback" not in said
    for part in parts:
        assert part in error
    assert not (tmp_path / "runs" / recipe / "model").exists()


@pytest.mark.parametrize("command", ["soundloom", "lightning"])
@pytest.mark.parametrize("words", [[], ["--trainer.max_steps", "3"], ["--data.folders=[mysounds]"]], ids=str)
def test_without_a_recipe_the_recipes_are_named(
    command: str, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    run = cli.main if command == "soundloom" else cli.lightning
    assert run(["fit", *words]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"{command}: error: no recipe is given: add --config NAME, one of ")
    for path in RECIPES:
        assert path.stem in said


def test_a_checkpoint_that_is_not_there_is_refused_before_anything_is_rendered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PL_GLOBAL_SEED", "0")
    for name in ("fit", "validate"):
        assert cli.main([name, "--config", "classifier", "--ckpt_path", "nope.ckpt"]) == 2
        assert "--ckpt_path nope.ckpt: there is no such checkpoint" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_checkpoints_that_lightning_finds_itself_need_no_file(tmp_path: Path) -> None:
    from soundloom.cli.recipe import is_there

    for name in (
        "last",
        "best",
        "hpc",
        "registry",
        "registry:mine:version:1",
        "s3://bucket/x.ckpt",
        tmp_path,
    ):
        assert is_there(str(name))
    assert not is_there(str(tmp_path / "last.ckpt"))


def test_debug_shows_the_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PL_GLOBAL_SEED", "0")
    for words in (["--debug", "fit"], ["fit", "--debug"]):
        assert cli.main([*words, "--config", "classifier", "--data.render_clips", "1"]) == 2
        said = capsys.readouterr().err
        assert "Traceback" in said
        assert "soundloom: error: render.clips must be" in said


def test_the_error_of_a_loading_process_is_its_sentence_alone() -> None:
    from soundloom.core.failures import reason_of

    message = (
        "Caught ValueError in DataLoader worker process 0.\nOriginal Traceback (most recent call last):\n"
        '  File "x.py", line 1, in f\nsoundloom.AudioError: a.wav is cut off; take it out'
    )
    assert reason_of(ValueError(message)) == "a.wav is cut off; take it out"


def test_the_help_is_short_and_names_recipes_and_what_people_change(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.lightning(["fit", "--help"]) == 0
    assert capsys.readouterr().out.startswith("usage: lightning fit ")
    assert cli.main(["fit", "--help"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("usage: soundloom fit ")
    assert "lightning fit" not in said
    assert len(said.splitlines()) < 50
    assert max(map(len, said.splitlines())) <= 130
    for path in RECIPES:
        assert f"  {path.stem} " in said
    options = said.partition("what people change:\n")[2].partition("\n\n")[0].splitlines()
    assert len(options) == 10
    for part in ("--model.help", "--help-all", "--print_config", "--debug"):
        assert part in said
    assert cli.lightning(["--help"]) == 0
    said = capsys.readouterr().out
    assert all(f"  {name} " in said for name in training.TRAINING_COMMANDS)


def test_every_option_of_the_short_help_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PL_GLOBAL_SEED", "0")
    options = " ".join(training_help.OPTIONS).replace("FILE", "x.ckpt").replace("DIR", str(tmp_path))
    words = [word.strip("'") for word in options.replace("accelerator gpu", "accelerator cpu").split()]
    with pytest.raises(SystemExit) as stop:
        cli.lightning(["fit", "--config", "seanet_finetune", *words, "--print_config"])
    assert not stop.value.code, capsys.readouterr().err
    config = yaml.safe_load(capsys.readouterr().out)
    assert config["checkpoint"]["every_n_train_steps"] == 500
    assert config["data"]["init_args"]["folders"] == ["mysounds"]


@pytest.mark.parametrize(
    ("part", "option"), [("model", "--model.init_args.losses.commitment"), ("data", "segment_seconds")]
)
def test_the_settings_of_a_recipe_s_model_and_data_are_shown(
    part: str, option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.lightning(["fit", "--config", "recipes/seanet_finetune.yaml", f"--{part}.help"])
    assert not stop.value.code
    assert option.removeprefix("--model.init_args.") in capsys.readouterr().out


def test_the_whole_help_is_behind_a_flag(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.lightning(["fit", "--help-all"])
    assert not stop.value.code
    said = capsys.readouterr().out
    assert "--trainer.max_time" in said
    assert "--checkpoint.save_top_k" in said
    assert "--board.prompts" in said
