"""`soundloom evaluate`, `compare` and `bench-codecs`: what they print and write, and what they refuse."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from soundloom import __version__, cli
from soundloom.codecs.audio import write_audio
from soundloom.codecs.seanet.model import SEANetCodec
from soundloom.gen.judge import SoundClassifier
from soundloom.gen.pipeline import AudioGen
from soundloom.recipes.foley import FoleyCorpus

RATE = 16000


@pytest.fixture(autouse=True)
def tiny_by_default(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Make `--model foley` the tiny model; every other name is looked up as always."""
    real = AudioGen.from_pretrained

    def load(name: str = "foley", **settings: Any) -> AudioGen:
        return request.getfixturevalue("tiny_model") if name == "foley" else real(name, **settings)

    monkeypatch.setattr(AudioGen, "from_pretrained", load)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny judge of all classes and a tiny codec, both of random weights."""
    folder = tmp_path_factory.mktemp("models")
    torch.manual_seed(0)
    SoundClassifier(class_names=FoleyCorpus().class_names, widths=(4, 4, 4, 4)).save_pretrained(
        folder / "judge"
    )
    SEANetCodec(n_filters=2, dimension=4, lstm=0, codebook_size=8, num_codebooks=2).save_pretrained(
        folder / "codec"
    )
    return folder


@pytest.fixture
def sounds(tmp_path: Path) -> Path:
    folder = tmp_path / "sounds"
    folder.mkdir()
    t = torch.arange(RATE // 2) / RATE
    for index, name in enumerate(("bell", "dog", "rain")):
        write_audio(folder / f"{name}.wav", 0.3 * torch.sin(2 * torch.pi * 200 * (index + 1) * t)[None], RATE)
    (folder / "metadata.csv").write_text(
        "file_name,text\nbell.wav,a church bell\ndog.wav,a dog barks\nrain.wav,heavy rain\n"
    )
    return folder


def run(*words: object) -> int:
    return cli.main([str(word) for word in words])


def refused(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    """Run the command, expect exit status 2, and return the one line that says why."""
    try:
        status = run(*words)
    except SystemExit as stop:
        status = int(stop.code or 0)
    error = capsys.readouterr().err
    assert status == 2 and "Traceback" not in error
    (line,) = (line for line in error.splitlines() if line.startswith("soundloom: error: "))
    return line


def test_a_folder_against_a_reference(
    sounds: Path, models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "report.json"
    words = ("evaluate", sounds, "--reference", sounds, "--judge", models / "judge", "-q")
    assert run(*words, "-o", out) == 0
    report = json.loads(out.read_text())
    assert report["soundloom"] == __version__
    assert report["subject"] == {"sounds": str(sounds), "reference": str(sounds)}
    assert report["fad"]["value"] == pytest.approx(0.0, abs=1e-8)
    expected = {"embedder": "judge", "sample_rate": RATE, "sounds": 3, "reference_sounds": 3, "features": 8}
    assert expected.items() <= report["fad"].items()
    assert report["kl"]["pairs"] == 3 and report["prompt_accuracy"]["clips"] == 3
    printed = capsys.readouterr()
    assert "FAD" in printed.out and "3 sounds (3 pieces) against 3 (3)" in printed.out
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
    settings = ("--judge", models / "judge", "--per-class", 1, "--limit", 4, "--duration", 0.5, "-q")
    assert run("evaluate", "--model", "foley", *settings, "-o", out) == 0
    report = json.loads(out.read_text())
    assert report["subject"] == {"model": "foley", "captions": "held-out Foley, 1 a class"}
    assert report["prompt_accuracy"]["clips"] == report["kl"]["pairs"] == report["sounds"] == 4
    names = FoleyCorpus().class_names
    assert list(report["prompt_accuracy"]["classes"]) == [names[i * len(names) // 4] for i in range(4)]
    assert "judged as its class" in capsys.readouterr().out


def test_a_model_on_own_captions(sounds: Path, models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--judge", models / "judge", "--duration", 0.5, "-q")
    assert run("evaluate", sounds, "--model", "foley", *words) == 0
    assert "3 sounds of 3 classes" in capsys.readouterr().out


def test_a_codec_on_own_sounds(sounds: Path, models: Path, tmp_path: Path) -> None:
    out = tmp_path / "report.json"
    words = ("--codec", models / "codec", "--judge", models / "judge", "-o", out)
    assert run("evaluate", sounds, *words) == 0
    report = json.loads(out.read_text())
    assert report["reconstruction"]["mel_distance"] > 0 and report["bitrate"] == 300
    assert report["accuracy_of_originals"]["clips"] == 3


def test_two_files(sounds: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("compare", sounds / "dog.wav", sounds / "rain.wav", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["mel_distance"] > 1 and found["files"][1]["file"] == str(sounds / "rain.wav")
    assert run("compare", sounds / "dog.wav", sounds / "dog.wav") == 0
    assert "mel distance           0.00 dB" in capsys.readouterr().out


def test_a_bench_prints_and_writes_table_data_and_plot(
    sounds: Path, models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("bench-codecs", sounds, "--codecs", models / "codec", "--judge", models / "judge")
    options = ("--opus", "12,24", "--opus-tool", "libsndfile", "--limit", 2, "--seconds", 0.25)
    out = tmp_path / "bench"
    assert run(*words, *options, "-o", out) == 0
    printed = capsys.readouterr().out
    assert sorted(file.name for file in out.iterdir()) == ["bench.json", "bench.md", "bench.png"]
    assert (out / "bench.md").read_text() in printed
    assert (out / "bench.png").read_bytes()[:4] == b"\x89PNG"
    report = json.loads((out / "bench.json").read_text())
    assert [row["family"] for row in report["rows"]] == [str(models / "codec")] * 2 + ["Opus"] * 2
    assert (report["sounds"], report["seconds"], report["sample_rate"]) == (2, 0.5, RATE)
    for row in report["rows"]:
        assert row["kbps"] > 0 and row["encode_speed"] > 0
        assert set(row["figures"]) == {"mel_distance", "log_spectral_distance", "si_sdr", "fad", "same_class"}
    assert any("libsndfile" in note for note in report["notes"])
    assert "--force" in refused(capsys, *words, *options, "-o", out)


def test_a_bench_at_another_rate_and_without_opus(
    sounds: Path, models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--codecs", f"{models / 'codec'}:0.2", "--judge", models / "judge", "--rate", 24000)
    assert run("bench-codecs", sounds, *words, "--opus", "none", "--limit", 1, "-q") == 0
    printed = capsys.readouterr().out
    assert "compared at 24000 Hz" in printed and "Opus" not in printed
    assert sum(line.startswith("| /") for line in printed.splitlines()) == 1


def test_a_bench_without_opus_tools_says_so(
    sounds: Path, models: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    words = ("--codecs", f"{models / 'codec'}:0.2", "--judge", models / "judge", "--opus-tool", "opusenc")
    assert run("bench-codecs", sounds, *words, "--limit", 1, "-q") == 0
    assert "- Opus was left out: opusenc and opusdec are not installed" in capsys.readouterr().out


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
        (["evaluate", "{sounds}", "--judge", "foley-jugde"], ["foley-jugde", "foley-judge"]),
        (["evaluate", "--codec", "seanet-16kHz"], ["seanet-16kHz", "seanet-16khz"]),
        (["compare", "a.wav", "gone.wav"], ["gone.wav"]),
        (["compare", "a.wav"], ["B"]),
        (["bench-codecs", "gone"], ["gone"]),
        (["bench-codecs", "{sounds}", "--codecs", "a,,b"], ["a,,b"]),
        (["bench-codecs", "{sounds}", "--opus", "6,loud"], ["loud", "kbit/s"]),
        (["bench-codecs", "{sounds}", "--rate", "100"], ["100", "8000"]),
        (["bench-codecs", "{sounds}", "-o", "missing/bench"], ["missing", "mkdir"]),
        (["bench-codecs", "{sounds}", "-o", "old.json"], ["old.json"]),
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
    if words[0] == "bench-codecs" and "--codecs" not in words:
        words += ["--codecs", str(models / "codec")]
    if words[0] != "compare" and "--judge" not in words:
        words += ["--judge", str(models / "judge")]
    message = refused(capsys, *words)
    for part in parts:
        assert part in message
    assert (tmp_path / "old.json").read_text() == "keep me"
    assert not list(tmp_path.rglob("*.part"))


def test_the_help_shows_examples(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("evaluate", "compare", "bench-codecs"):
        with pytest.raises(SystemExit) as stop:
            run(name, "--help")
        assert stop.value.code == 0
        assert f"soundloom {name} " in capsys.readouterr().out
