"""`soundloom draw`."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from soundloom.core.audio import write_audio
from tests.cli.running import run


def test_a_sheet_of_files_and_one_of_classes(tmp_path: Path) -> None:
    write_audio(tmp_path / "a.wav", 0.1 * torch.randn(2, 8000), 16000)
    write_audio(tmp_path / "b.flac", 0.1 * torch.randn(1, 800), 8000)
    for target, words in (
        ("files.png", ["--sounds", tmp_path / "a.wav", tmp_path / "b.flac"]),
        ("classes.svg", ["--classes", "dog", "rain", "--seconds", 0.5, "--columns", 1]),
    ):
        assert run("draw", tmp_path / target, *words) == 0
    assert (tmp_path / "files.png").read_bytes().startswith(b"\x89PNG")
    assert "rain" in (tmp_path / "classes.svg").read_text()


def test_what_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "there.png").write_text("mine")
    for target, words, message in (
        ("a.txt", ["--classes", "dog"], "must end in .png"),
        ("a.png", ["--classes", "dgo"], "unknown classes: dgo"),
        ("a.png", ["--sounds", tmp_path / "gone.wav"], "no such file"),
        ("there.png", ["--classes", "dog"], "--force"),
    ):
        assert run("draw", tmp_path / target, *words) == 2
        assert message in capsys.readouterr().err
    assert (tmp_path / "there.png").read_text() == "mine"
