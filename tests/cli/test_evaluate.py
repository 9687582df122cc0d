"""`soundloom evaluate` and `compare`: what they print and write, and what they refuse."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from soundloom import __version__
from soundloom.core.audio import write_audio
from soundloom.evaluation.yamnet import YAMNet
from soundloom.recipes.foley import CLASSES, FoleyCorpus
from tests.cli.running import refused, run
from tests.tiny_yamnet import TinySession

RATE = 16000  # of the sounds in conftest.py


def test_a_folder_against_a_reference(
    sounds: Path, models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "report.json"
    words = ("evaluate", sounds, "--reference", sounds, "--classifier", models / "classifier", "-q")
    assert run(*words, "-o", out) == 0
    report = json.loads(out.read_text())
    assert report["soundloom"] == __version__
    assert report["subject"] == {"sounds": str(sounds), "reference": str(sounds)}
    assert report["fad"]["value"] == pytest.approx(0.0, abs=1e-8)
    expected = {
        "embedder": "classifier",
        "sample_rate": RATE,
        "sounds": 3,
        "reference_sounds": 3,
        "features": 8,
    }
    assert expected.items() <= report["fad"].items()
    assert report["kl"]["pairs"] == 3
    assert report["prompt_accuracy"]["clips"] == 3
    printed = capsys.readouterr()
    assert "FAD" in printed.out
    assert "3 sounds (3 pieces) against 3 (3)" in printed.out
    assert "note: Frechet audio distance: only 3 pieces" in printed.out
    assert printed.err == ""
    assert "--force" in refused(capsys, *words, "-o", out)
    assert run(*words, "-o", out, "--force", "--embedder", "log-mel", "--limit", 2) == 0
    report = json.loads(out.read_text())
    assert (report["fad"]["embedder"], report["fad"]["sounds"], report["fad"]["reference_sounds"]) == (
        "log-mel",
        2,
        3,
    )


def test_a_model_on_held_out_captions(
    models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "report.json"
    settings = (
        "--classifier",
        models / "classifier",
        "--per-class",
        1,
        "--limit",
        4,
        "--duration",
        0.5,
        "-q",
    )
    assert run("evaluate", "--model", "foley", *settings, "-o", out) == 0
    report = json.loads(out.read_text())
    assert report["subject"] == {"model": "foley", "captions": "held-out Foley, 1 a class"}
    assert report["prompt_accuracy"]["clips"] == report["kl"]["pairs"] == report["sounds"] == 4
    names = FoleyCorpus().class_names
    assert list(report["prompt_accuracy"]["classes"]) == [names[i * len(names) // 4] for i in range(4)]
    assert "heard as its class" in capsys.readouterr().out


def test_a_model_on_own_captions(sounds: Path, models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--classifier", models / "classifier", "--duration", 0.5, "-q")
    assert run("evaluate", sounds, "--model", "foley", *words) == 0
    assert "3 sounds of 3 classes" in capsys.readouterr().out


def test_a_codec_on_own_sounds(sounds: Path, models: Path, tmp_path: Path) -> None:
    out = tmp_path / "report.json"
    words = ("--codec", models / "codec", "--classifier", models / "classifier", "-o", out)
    assert run("evaluate", sounds, *words) == 0
    report = json.loads(out.read_text())
    assert report["reconstruction"]["mel_distance"] > 0
    assert report["bitrate"] == 300
    assert report["accuracy_of_originals"]["clips"] == 3


@pytest.fixture
def tiny_yamnet(monkeypatch: pytest.MonkeyPatch) -> list[str | None]:
    """A stand-in for YAMNet; the list holds the names under which it was asked for."""
    asked: list[str | None] = []

    def load(name: str | None = None) -> YAMNet:
        asked.append(name)
        return YAMNet(TinySession())

    monkeypatch.setattr(YAMNet, "from_pretrained", load)
    return asked


def test_a_codec_with_yamnet(
    sounds: Path,
    models: Path,
    tmp_path: Path,
    tiny_yamnet: list[str | None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "report.json"
    words = (
        "--codec",
        models / "codec",
        "--classifier",
        models / "classifier",
        "--embedder",
        "yamnet:some/file.onnx",
    )
    assert run("evaluate", sounds, *words, "-o", out, "-q") == 0
    assert tiny_yamnet == ["some/file.onnx"]
    report = json.loads(out.read_text())
    assert report["fad"]["embedder"] == report["kad"]["embedder"] == report["tags"]["tagger"] == "yamnet"
    assert report["tags"]["pairs"] == 3
    assert report["tags"]["tags"] == 521
    printed = capsys.readouterr().out
    for part in ("KAD", "same first tag", "correlation of tags", "yamnet, 16000 Hz, 3 pairs"):
        assert part in printed


def test_prompts_with_yamnet(
    sounds: Path,
    models: Path,
    tmp_path: Path,
    tiny_yamnet: list[str | None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "report.json"
    words = (
        "--classifier",
        models / "classifier",
        "--duration",
        0.3,
        "--embedder",
        "yamnet",
        "-q",
        "-o",
        out,
    )
    assert run("evaluate", "--prompts", "--limit", 3, *words) == 0
    report = json.loads(out.read_text())
    assert tiny_yamnet == [None]
    assert report["subject"] == {"model": "foley", "prompts": "those that ship"}
    assert len(report["prompts"]) == report["wanted_tags"]["sounds"] == 3
    assert report["fad"] is None
    assert "among the first five" in capsys.readouterr().out
    table = tmp_path / "mine.csv"
    table.write_text("prompt,tags\na dog,Dog;Bark\na bell,Bell\n")
    assert (
        run("evaluate", sounds, "--model", "foley", "--prompts", table, "--candidates", 2, "-f", *words) == 0
    )
    report = json.loads(out.read_text())
    assert [row["prompt"] for row in report["prompts"]] == ["a dog", "a bell"]
    assert report["subject"]["prompts"] == str(table)
    assert report["candidates"] == 2
    assert report["fad"]["reference_sounds"] == 3


def test_renderings_with_yamnet(
    tmp_path: Path,
    tiny_yamnet: list[str | None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("soundloom.evaluation.renderings.CLASSES", {"dog": CLASSES["dog"]})
    out = tmp_path / "report.json"
    words = ("--renderings", "--per-class", 2, "--embedder", "yamnet", "-q", "-o", out)
    assert run("evaluate", *words) == 0
    report = json.loads(out.read_text())
    assert report["subject"] == {"renderings": "Foley corpus", "recordings": None, "codec": None}
    assert report["classes"]["dog"]["renderings"]["sounds"] == 2
    assert "mean of 1 classes, renderings" in capsys.readouterr().out


def test_two_files(sounds: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("compare", sounds / "dog.wav", sounds / "rain.wav", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["mel_distance"] > 1
    assert found["files"][1]["file"] == str(sounds / "rain.wav")
    assert run("compare", sounds / "dog.wav", sounds / "dog.wav") == 0
    assert "mel distance           0.00 dB" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["evaluate"], ["FOLDER", "--model", "--codec"]),
        (["evaluate", "--model", "a", "--codec", "b"], ["--codec", "--model"]),
        (["evaluate", "{sounds}", "--model", "foley", "--reference", "x"], ["--reference"]),
        (["evaluate", "{sounds}", "--reference", "gone"], ["gone"]),
        (["evaluate", "gone"], ["gone"]),
        (["evaluate", "{sounds}", "--limit", "0"], ["limit", "0", "1 or more"]),
        (["evaluate", "--model", "foley", "--per-class", "0"], ["--per-class", "0"]),
        (["evaluate", "{sounds}", "-o", "missing/r.json"], ["missing", "mkdir"]),
        (["evaluate", "{sounds}", "-o", "old.json"], ["old.json", "--force"]),
        (["evaluate", "{sounds}", "--seconds", "0"], ["--seconds", "0"]),
        (["evaluate", "{sounds}", "--seconds", "nan"], ["--seconds", "nan"]),
        (["evaluate", "{sounds}", "--classifier", "foley-jugde"], ["foley-jugde", "foley-classifier"]),
        (["evaluate", "--codec", "seanet-16kHz"], ["seanet-16kHz", "seanet-16khz"]),
        (
            ["evaluate", "{sounds}", "--embedder", "yament"],
            ["yament", "classifier, log-mel, yamnet", "yamnet:NAME"],
        ),
        (["evaluate", "{sounds}", "--embedder", "yamnet:gone.onnx"], ["gone.onnx", "SOUNDLOOM_YAMNET"]),
        (["evaluate", "--renderings"], ["--renderings", "--embedder yamnet:FILE.onnx"]),
        (["evaluate", "--renderings", "--model", "foley"], ["--renderings", "--model"]),
        (["evaluate", "--prompts"], ["--prompts", "--embedder yamnet:FILE.onnx"]),
        (["evaluate", "--prompts", "--codec", "x", "--embedder", "yamnet"], ["--prompts", "--codec"]),
        (["compare", "a.wav", "gone.wav"], ["gone.wav"]),
        (["compare", "a.wav"], ["B"]),
    ],
)
def test_bad_input_is_one_clear_line(
    words: list[str],
    parts: list[str],
    sounds: Path,
    models: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "old.json").write_text("keep me")
    write_audio(tmp_path / "a.wav", torch.zeros(1, 100), RATE)
    words = [word.replace("{sounds}", str(sounds)) for word in words]
    if words[0] == "evaluate" and "--classifier" not in words:
        words += ["--classifier", str(models / "classifier")]
    message = refused(capsys, *words)
    for part in parts:
        assert part in message
    assert (tmp_path / "old.json").read_text() == "keep me"
    assert not list(tmp_path.rglob("*.part"))
