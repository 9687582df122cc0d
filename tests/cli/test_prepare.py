"""`soundloom prepare` on the command line: exit status, words, and what it refuses before it works."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from soundloom.recipes.data import prepare_folder as recipe
from tests.cli.running import refused, run

TINY = Path(__file__).resolve().parents[1] / "fixtures" / "audiogen_tiny"


def prepare(*words: object) -> int:
    return run("prepare", *words)


def tone(path: Path, level: float = 0.5) -> None:
    soundfile.write(path, level * np.sin(np.arange(8000) / 5), 16000)


@pytest.fixture
def sounds(tmp_path: Path) -> Path:
    folder = tmp_path / "sounds"
    folder.mkdir()
    for number in range(3):
        tone(folder / f"{number}.wav", 0.1 + number / 10)
    (folder / "metadata.csv").write_text(
        "file_name,text\n" + "".join(f"{n}.wav,tone {n}\n" for n in range(3))
    )
    return folder


def test_a_clean_folder_is_status_0(sounds: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert prepare(sounds) == 0
    assert capsys.readouterr().out == f"{sounds}: 3 of 3 sounds usable, 0.0 minutes\n"


def test_problems_are_status_1_and_listed(
    sounds: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (sounds / "1.wav").write_text("no sound")
    tone(sounds / "extra.wav", 0.9)
    assert prepare(sounds, "--report", tmp_path / "report.json") == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith("2 of 4 sounds usable, 0.0 minutes")
    assert lines[1] == "no caption: 1"
    assert lines[2].startswith("  extra.wav  (")
    assert lines[3] == "unreadable: 1"
    assert lines[4].startswith("  1.wav  (")
    assert json.loads((tmp_path / "report.json").read_text())["counts"] == {"no caption": 1, "unreadable": 1}
    assert prepare(sounds, "--no-captions", "-q") == 1
    (sounds / "1.wav").unlink()
    (sounds / "metadata.csv").unlink()
    assert prepare(sounds, "--no-captions", "-q") == 0
    assert capsys.readouterr().out == ""


def test_nothing_usable_is_status_2(sounds: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (sounds / "metadata.csv").unlink()
    assert prepare(sounds) == 2
    assert "no caption: 3" in capsys.readouterr().out


def test_codes_and_captions_are_written(
    sounds: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert prepare(sounds, "-o", out, "--codec", TINY, "--text-encoder", TINY / "t5", "--device", "cpu") == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"wrote {out}"
    assert np.load(out / "codes.npy").shape == (3, 4, 25)
    prepared = json.loads((out / "prepared.json").read_text())
    assert prepared["codec"] == str(TINY)
    assert prepared["text_encoder"] == str(TINY / "t5")
    assert np.load(out / "text.npy").shape[1] == prepared["text_dim"]
    assert prepare(sounds, "-o", out, "--shards", "--shard-size", "0.01", "--force", "-q") == 0
    assert sorted(path.name for path in out.glob("*.tar")) == [f"shard-00000{n}.tar" for n in range(3)]


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["--codec", "x"], ["--codec", "-o"]),
        (["--shards"], ["--shards", "-o"]),
        (["-o", "new"], ["--codec", "--shards"]),
        (["-o", "new", "--shards", "--text-encoder", "x"], ["--text-encoder", "--codec"]),
        (["-o", "new", "--shards", "--tail-seconds", "1"], ["--tail-seconds", "--codec"]),
        (["-o", "new", "--shards", "--shard-size", "0"], ["--shard-size", "0"]),
        (["-o", "full", "--shards"], ["full", "--force"]),
        (["-o", "full", "--shards", "--force"], ["full", "keep.txt"]),
        (["-o", "sounds/new", "--shards"], ["among the sounds"]),
        (["-o", "new", "--codec", "seanet-16"], ["seanet-16"]),
        (["-o", "new", "--codec", "x", "--device", "toaster"], ["toaster"]),
        (["--min-seconds", "-1"], ["min_seconds", "-1"]),
        (["--jobs", "0"], ["--jobs", "0"]),
        (["--shards", "-o", "new", "--shard-size", "inf"], ["--shard-size", "inf"]),
        (["--report", "full/keep.txt"], ["keep.txt exists", "--force"]),
        (["--report", "gone/report.json"], ["gone", "mkdir"]),
    ],
)
def test_bad_input_is_one_clear_line(
    words: list[str],
    parts: list[str],
    sounds: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(sounds.parent)
    Path("full").mkdir()
    Path("full/keep.txt").write_text("mine")
    message = refused(capsys, "prepare", "sounds", *words)
    for part in parts:
        assert part in message
    assert not Path("new").exists()
    assert Path("full/keep.txt").read_text() == "mine"


def test_a_missing_folder_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert prepare(tmp_path / "none") == 2
    assert "no such folder" in capsys.readouterr().err


def test_the_output_is_checked_before_the_work(sounds: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recipe, "load_codec", lambda *_, **__: pytest.fail("the codec was loaded"))
    assert prepare(sounds, "-o", sounds / "out", "--codec", "seanet-16khz") == 2


@pytest.mark.parametrize("words", [["--codec", "seanet-16"], ["--codec", TINY, "--text-encoder", "t6-base"]])
def test_codec_and_text_encoder_are_loaded_before_the_work(
    words: list[str], sounds: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    message = refused(capsys, "prepare", sounds, "-o", tmp_path / "out", *words)
    assert str(words[-1]) in message
    assert prepare(sounds, "-o", tmp_path / "out", *words) == 2
    assert capsys.readouterr().out == ""
