"""`soundloom convert` and `--quantization`: what they write, what they say, what they refuse."""

from __future__ import annotations

from pathlib import Path

import pytest

from soundloom.core.audio import read_audio
from tests.cli.running import refused, run

TINY = Path(__file__).resolve().parents[1] / "fixtures" / "audiogen_tiny"


def test_a_converted_model_makes_the_sound_of_the_option(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "small"
    assert run("convert", TINY, out, "--quantization", "int4", "--text-encoder", TINY / "t5") == 0
    line = capsys.readouterr().out
    assert line.startswith(f"{out}  ")
    assert line.rstrip().endswith("MB of weights in int4")
    common = ("--duration", 0.2, "--seed", 1, "--quiet")
    assert run("generate", "a dog", "-o", tmp_path / "a.wav", "--model", out, *common) == 0
    options = ("--model", TINY, "--text-encoder", TINY / "t5", "--quantization", "int4")
    assert run("generate", "a dog", "-o", tmp_path / "b.wav", *options, *common) == 0
    stored, converted = (read_audio(tmp_path / f"{name}.wav")[0] for name in "ab")
    assert stored.shape == (1, 3200)
    assert stored.equal(converted)


def test_what_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "int3" in refused(capsys, "generate", "a dog", "--quantization", "int3")
    assert "auto" in refused(capsys, "convert", "foley", tmp_path / "out", "--quantization", "auto")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    assert "full" in refused(capsys, "convert", "foley", tmp_path / "full")
    assert "nothing-there" in refused(capsys, "convert", tmp_path / "nothing-there", tmp_path / "out")
    assert not (tmp_path / "out").exists()
