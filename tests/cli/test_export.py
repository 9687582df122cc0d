"""`soundloom export`: what it writes, what it prints, what it refuses and in which words."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
import torch

from soundloom.core.exports_model import EXPORT_KEY
from soundloom.evaluation.classifier import SoundClassifier
from soundloom.evaluation.classifier_module import SoundClassifierModule
from tests.cli.running import refused, run


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A checkpoint of the classifier: every weight of the moving average is 1, of those as trained 0."""
    module = SoundClassifierModule(["dog", "rain"], widths=(2, 2, 2, 2))
    package = {
        "state_dict": {name: torch.ones_like(value) for name, value in module.state_dict().items()},
        "current_model_state": {name: torch.zeros_like(value) for name, value in module.state_dict().items()},
        "hyper_parameters": dict(module.hparams),
        "global_step": 12,
    }
    module.on_save_checkpoint(package)
    assert package[EXPORT_KEY]["module"] == "SoundClassifierModule"
    torch.save(package, tmp_path / "last.ckpt")
    return tmp_path / "last.ckpt"


def export(*words: object) -> int:
    return run("export", *words)


def value(folder: Path) -> float:
    return next(SoundClassifier.from_pretrained(folder).parameters()).flatten()[0].item()


@pytest.mark.parametrize(
    ("option", "kind", "weight"),
    [
        (None, "moving average", 1.0),
        ("--ema", "moving average", 1.0),
        ("--no-ema", "weights as trained", 0.0),
    ],
)
def test_it_writes_a_model_and_says_what(
    checkpoint: Path, capsys: pytest.CaptureFixture[str], option: str | None, kind: str, weight: float
) -> None:
    out = checkpoint.with_name("model")
    assert export(checkpoint, out, *([option] if option else [])) == 0
    assert value(out) == weight
    [line] = capsys.readouterr().out.splitlines()
    assert line.startswith(f"{out}  0.0 MB, 12 steps, {kind}")
    assert "SoundClassifierModule" in line


def test_it_tells_of_a_later_start_of_the_run(checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    later = checkpoint.with_name("last-v1.ckpt")
    shutil.copyfile(checkpoint, later)
    os.utime(checkpoint, (1, 1))
    assert export(later, checkpoint.with_name("new"), "-q") == 0
    assert capsys.readouterr().err == ""
    assert export(checkpoint, checkpoint.with_name("old"), "-q") == 0
    assert f"note: {later} is newer" in capsys.readouterr().err


def test_quiet_prints_nothing_and_force_replaces(
    checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = checkpoint.with_name("model")
    assert export(checkpoint, out, "-q") == 0
    assert capsys.readouterr().out == ""
    message = refused(capsys, "export", checkpoint, out, "-q")
    assert str(out) in message
    assert "--force" in message
    assert export(checkpoint, out, "--no-ema", "--force", "-q") == 0
    assert value(out) == 0.0


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["gone.ckpt", "out"], ["gone.ckpt"]),
        (["text.ckpt", "out"], ["text.ckpt", "truncated or damaged"]),
        (["last.ckpt", "out", "--weights", "int4"], ["--weights", "int4", "int8"]),
        (["last.ckpt", "out", "--weights", "int8"], ["int8", "language models", "float"]),
        (["last.ckpt"], ["OUT"]),
    ],
)
def test_bad_input_is_one_clear_line(
    checkpoint: Path,
    words: list[str],
    parts: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(checkpoint.parent)
    Path("text.ckpt").write_text("no checkpoint")
    message = refused(capsys, "export", *words)
    assert all(part in message for part in parts), message
    assert not Path("out").exists()
