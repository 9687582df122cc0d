"""The command line: what it writes, what it refuses and in which words."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from soundloom import __version__, cli
from soundloom.codecs.audio import WRITE_FORMATS
from soundloom.gen.pipeline import AudioGen


@pytest.fixture(autouse=True)
def tiny_by_default(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Make `--model foley` the tiny model; every other name is looked up as always."""
    real = AudioGen.from_pretrained

    def load(name: str = "foley", **settings: Any) -> AudioGen:
        return request.getfixturevalue("tiny_model") if name == "foley" else real(name, **settings)

    monkeypatch.setattr(AudioGen, "from_pretrained", load)


def generate(*words: object) -> int:
    return cli.main(["generate", *map(str, words)])


def refused(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    """Run `soundloom generate`, expect exit status 2, and return the one line that says why."""
    try:
        status = generate(*words)
    except SystemExit as stop:
        status = int(stop.code or 0)
    error = capsys.readouterr().err
    assert status == 2
    assert "Traceback" not in error
    lines = [line for line in error.splitlines() if line.startswith("soundloom: error: ")]
    assert len(lines) == 1, error
    return lines[0]


def test_generate_writes_the_length_asked_for_and_repeats_with_the_seed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("one.wav", "two.wav"):
        assert generate("a dog barks", "-o", tmp_path / name, "--duration", 1.5, "--seed", 7) == 0
    first, rate = soundfile.read(tmp_path / "one.wav")
    second, _ = soundfile.read(tmp_path / "two.wav")
    assert len(first) == 1.5 * rate
    assert np.abs(first).max() > 0
    np.testing.assert_array_equal(first, second)
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == f"{tmp_path / 'one.wav'}  1.50 s, seed 7"


def test_the_printed_seed_makes_the_same_sound_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    generate("rain", "-o", tmp_path / "a.wav", "--duration", 0.5, "--num-samples", 1)
    seed = capsys.readouterr().out.split("seed ")[1].strip()
    generate("rain", "-o", tmp_path / "b.wav", "--duration", 0.5, "--seed", seed)
    np.testing.assert_array_equal(*(soundfile.read(tmp_path / name)[0] for name in ("a.wav", "b.wav")))


@pytest.mark.parametrize("suffix", sorted(WRITE_FORMATS))
def test_every_format_is_written_and_named_in_the_help(
    suffix: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert generate("wind", "-o", tmp_path / f"x{suffix}", "--duration", 0.5, "-q") == 0
    samples, rate = soundfile.read(tmp_path / f"x{suffix}")
    assert abs(len(samples) / rate - 0.5) < 0.1  # mp3 pads to whole frames
    assert capsys.readouterr().out == ""
    with pytest.raises(SystemExit):
        cli.main(["generate", "--help"])
    assert suffix in capsys.readouterr().out


def test_several_prompts_fill_a_folder(tmp_path: Path) -> None:
    assert (
        generate("A dog!", "a dog", "", "-o", tmp_path, "--num-samples", 2, "--duration", 0.2, "--seed", 1)
        == 0
    )
    files = {"a-dog.wav", "a-dog-2.wav", "a-dog-3.wav", "a-dog-4.wav", "sound.wav", "sound-2.wav"}
    assert {file.name for file in tmp_path.iterdir()} == files


def test_without_an_output_the_file_is_named_after_the_prompt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert generate("Heavy rain, then thunder", "--duration", 0.2) == 0
    assert [file.name for file in tmp_path.iterdir()] == ["heavy-rain-then-thunder.wav"]


def test_continuation_is_longer_than_what_it_continues(tmp_path: Path) -> None:
    generate("a bell", "-o", tmp_path / "a.wav", "--duration", 0.5, "--seed", 1)
    words = ("a bell", "-o", tmp_path / "b.wav", "--continue-from", tmp_path / "a.wav", "--seed", 1)
    assert generate(*words, "--duration", 1) == 0
    samples, rate = soundfile.read(tmp_path / "b.wav")
    assert len(samples) == rate


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["-o", "missing/x.wav"], ["missing", "mkdir"]),
        (["-o", "x.xyz"], [".xyz", ".wav", ".flac"]),
        (["-o", "x"], ["x", ".wav"]),
        (["-o", "old.wav"], ["old.wav", "--force"]),
        (["a cat", "-o", "new.wav"], ["2 sounds", "folder", "new.wav"]),
        (["--num-samples", "0"], ["--num-samples", "0", "1 or more"]),
        (["--duration", "0"], ["duration", "0"]),
        (["--duration", "-1"], ["duration", "-1", "3600"]),
        (["--duration", "0.01"], ["duration", "0.01", "0.02"]),
        (["--duration", "nan"], ["duration", "nan"]),
        (["--duration", "3601"], ["duration", "3601", "3600"]),
        (["--duration", "long"], ["--duration", "long"]),
        (["--guidance-scale", "-1"], ["guidance_scale", "-1"]),
        (["--guidance-scale", "nan"], ["guidance_scale", "nan"]),
        (["--temperature", "-1"], ["temperature", "-1"]),
        (["--top-k", "-1"], ["top_k", "-1"]),
        (["--top-k", "100000"], ["top_k", "100000"]),
        (["--top-p", "2"], ["top_p", "2"]),
        (["--seed", "-1"], ["seed", "-1"]),
        (["--model", "folly"], ["folly"]),
        (["--device", "toaster"], ["toaster", "cpu"]),
        (["--continue-from", "gone.wav"], ["gone.wav"]),
        (["--continue-from", "text.wav"], ["text.wav", "wav, flac"]),
        (["--volume", "11"], ["--volume"]),
    ],
)
def test_bad_input_is_one_clear_line(
    words: list[str],
    parts: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "old.wav").write_bytes(b"keep me")
    (tmp_path / "text.wav").write_text("no sound")
    output = [] if "-o" in words else ["-o", "x.wav"]
    message = refused(capsys, "a dog", *words, *output)
    for part in parts:
        assert part in message
    assert not (tmp_path / "x.wav").exists()
    assert (tmp_path / "old.wav").read_bytes() == b"keep me"


def test_outputs_are_checked_before_the_model_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(AudioGen, "from_pretrained", lambda *_, **__: pytest.fail("the model was loaded"))
    assert "mkdir" in refused(capsys, "a dog", "-o", tmp_path / "missing" / "x.wav")


def test_force_replaces(tmp_path: Path) -> None:
    (tmp_path / "x.wav").write_bytes(b"old")
    assert generate("a dog", "-o", tmp_path / "x.wav", "--duration", 0.2, "--force") == 0
    assert soundfile.info(tmp_path / "x.wav").frames > 0


@pytest.mark.parametrize("prompt", ["", "   ", "🐕🌧️", "ein Hund bellt", "собака лает", "a dog " * 1667])
def test_unusual_prompts_make_a_sound(prompt: str, tmp_path: Path) -> None:
    assert generate(prompt, "-o", tmp_path, "--duration", 0.2, "--seed", 1) == 0
    (file,) = tmp_path.iterdir()
    assert soundfile.info(file).frames > 0
    assert len(file.name) < 80


def test_debug_shows_the_traceback(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert generate("a dog", "-o", tmp_path / "x.wav", "--duration", 0, "--debug") == 2
    assert "Traceback" in capsys.readouterr().err


def test_an_unforeseen_error_is_named_and_an_interrupt_is_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    def fail(error: BaseException) -> None:
        raise error

    assert cli.run_guarded(lambda: fail(RuntimeError("odd")), debug=False) == 2
    assert "soundloom: error: RuntimeError: odd (run again with --debug" in capsys.readouterr().err
    assert cli.run_guarded(lambda: fail(KeyboardInterrupt()), debug=False) == 130


def run_cold(*code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "\n".join(code)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )


def test_help_and_version_import_nothing_heavy() -> None:
    heavy = {"torch", "gradio", "lightning", "numpy", "transformers"}
    code = (
        "import sys, time; start = time.perf_counter()",
        "from soundloom.cli import main",
        "try: main([WORD])",
        "except SystemExit as stop: assert not stop.code",
        f"assert not {heavy} & set(sys.modules)",
        "print(time.perf_counter() - start)",
    )
    for word, expected in (("--help", "soundloom generate"), ("--version", f"soundloom {__version__}")):
        printed = run_cold(*(line.replace("WORD", repr(word)) for line in code)).stdout
        assert expected in printed
        assert float(printed.splitlines()[-1]) < 0.5


def test_generating_imports_neither_gradio_nor_lightning_nor_matplotlib() -> None:
    run_cold(
        "import sys",
        "import soundloom.gen.pipeline",
        "found = {'gradio', 'lightning', 'matplotlib', 'torchmetrics', 'encodec'} & set(sys.modules)",
        "assert not found, found",
    )


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
        open("seen.txt", "a").write(f"{self.dim} {self.net.in_features} {batch[0].shape[1]}\\n")
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


def test_a_missing_recipe_is_an_error(toy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.lightning(["fit", "--config", "nothing.yaml"])
    assert stop.value.code == 2
    assert "nothing.yaml" in capsys.readouterr().err


def test_an_unknown_word_goes_to_the_other_lightning_command_or_is_explained(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given = list(sys.argv)
    monkeypatch.setattr(cli, "_other_lightning_command", lambda: None)
    assert cli.lightning(["login"]) == 2
    assert "'login'" in (message := capsys.readouterr().err)
    assert "fit, validate, test, predict" in message

    seen: list[list[str]] = []
    monkeypatch.setattr(cli, "_other_lightning_command", lambda: lambda: seen.append(list(sys.argv)))
    assert cli.lightning(["login", "--now"]) == 0
    assert seen == [["lightning", "login", "--now"]]
    assert sys.argv == given


def test_the_other_lightning_command_is_never_our_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cli._other_lightning_command() is None
    info = tmp_path / "rival-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: rival\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[console_scripts]\nlightning = time:perf_counter\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert cli._other_lightning_command() is time.perf_counter
