"""`soundloom bench-codecs`: what it prints and writes, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.running import refused, run

RATE = 16000  # of the sounds in conftest.py


def test_a_bench_prints_and_writes_table_data_and_plot(
    sounds: Path, models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("bench-codecs", sounds, "--codecs", models / "codec", "--classifier", models / "classifier")
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
        assert row["kbps"] > 0
        assert row["encode_speed"] > 0
        assert set(row["figures"]) == {"mel_distance", "log_spectral_distance", "si_sdr", "fad", "same_class"}
    assert any("libsndfile" in note for note in report["notes"])
    assert "--force" in refused(capsys, *words, *options, "-o", out)


def test_a_bench_at_another_rate_and_without_opus(
    sounds: Path, models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--codecs", f"{models / 'codec'}:0.2", "--classifier", models / "classifier", "--rate", 24000)
    assert run("bench-codecs", sounds, *words, "--opus", "none", "--limit", 1, "-q") == 0
    printed = capsys.readouterr().out
    assert "compared at 24000 Hz" in printed
    assert "Opus" not in printed
    assert sum(line.startswith("| /") for line in printed.splitlines()) == 1


def test_a_bench_without_opus_tools_says_so(
    sounds: Path, models: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    words = (
        "--codecs",
        f"{models / 'codec'}:0.2",
        "--classifier",
        models / "classifier",
        "--opus-tool",
        "opusenc",
    )
    assert run("bench-codecs", sounds, *words, "--limit", 1, "-q") == 0
    assert "- Opus was left out: opusenc and opusdec are not installed" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["gone"], ["gone"]),
        (["{sounds}", "--codecs", "a,,b"], ["a,,b"]),
        (["{sounds}", "--opus", "6,loud"], ["loud", "kbit/s"]),
        (["{sounds}", "--rate", "100"], ["100", "8000"]),
        (["{sounds}", "-o", "missing/bench"], ["missing", "mkdir"]),
        (["{sounds}", "-o", "old.json"], ["old.json"]),
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
    words = [word.replace("{sounds}", str(sounds)) for word in words]
    if "--codecs" not in words:
        words += ["--codecs", str(models / "codec")]
    message = refused(capsys, "bench-codecs", *words, "--classifier", models / "classifier")
    for part in parts:
        assert part in message
    assert (tmp_path / "old.json").read_text() == "keep me"
    assert not list(tmp_path.rglob("*.part"))
