"""The scripts in benchmarks/ find what they import; they are run from there, not from the package."""

from __future__ import annotations

import json
import math
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import torch

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"


@pytest.mark.parametrize("script", sorted(file.name for file in BENCHMARKS.glob("*.py")))
def test_a_benchmark_imports_what_there_is(script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    before = set(sys.modules)
    found = runpy.run_path(str(BENCHMARKS / script))
    assert "main" in found or script in ("foley_searches.py", "machine.py")
    for name in {"foley_searches", "machine"} & (set(sys.modules) - before):
        del sys.modules[name]


def test_quantized_models_are_timed_and_their_bytes_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    found = runpy.run_path(str(BENCHMARKS / "quantization.py"))
    found["main"].__globals__["read_bandwidth"] = lambda: 1e9
    threads = torch.get_num_threads()
    report = tmp_path / "report.json"
    models = ["float32", "bf16", "int8", "int4"]
    words = ["--size", "tiny", "--models", *models, "--steps", "4", "--runs", "1", "--json", str(report)]
    found["main"](words)
    assert torch.get_num_threads() == threads
    values = json.loads(report.read_text(encoding="utf-8"))
    assert [one["name"] for one in values["models"]] == models
    # Two layers of 3 + 1 + 1 + 1 + 4 + 4 squares of the width, and the heads.
    layers, heads = 2 * 14 * 64 * 64, 4 * 64 * 64
    sizes = [one["weight_bytes"] for one in values["models"]]
    assert sizes[:2] == [4 * (layers + heads), 2 * layers + 4 * heads]
    assert sizes[2] == layers + heads + 4 * (2 * 11 * 64 + 4 * 64)  # 11 widths of outputs
    assert sizes[3] == layers * 5 // 8 + heads + 4 * 4 * 64
    for one in values["models"]:
        assert one["share"] == pytest.approx(one["weight_bytes"] * one["steps_per_second"] / 1e7)
    assert len(values["first_sound_seconds"]) == 1
    shown = capsys.readouterr().out
    assert "first sound of a stream, int4" in shown
    assert all(name in shown for name in models)


def test_goals_are_told_beside_what_was_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    found = runpy.run_path(str(BENCHMARKS / "goals.py"))
    answers = {
        "quantization.py": {
            "machine": {"transformers": "5.0"},
            "models": [
                {"name": name, "steps_per_second": speed, "share": 50.0}
                for name, speed in (("huggingface bf16", 4.0), ("bf16", 4.0), ("int8", 8.8), ("int4", 13.0))
            ],
            "first_sound_seconds": [2.0, 9.0, 2.4],
        },
        "busy.py": {"cells": [{"neighbours": 0, "ratio": 1.0}, {"neighbours": 1, "ratio": 0.4}]},
        "memory.py": {"command_peak": 350.0},
    }

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        Path(command[-1]).write_text(json.dumps(answers[Path(command[1]).name]), encoding="utf-8")
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(subprocess, "run", run)
    report = tmp_path / "goals.json"
    found["main"](["--only", "lm", "busy", "memory", "--json", str(report)])
    told = {one["figure"]: one for one in json.loads(report.read_text(encoding="utf-8"))["goals"]}
    reached = {figure: one["reached"] for figure, one in told.items()}
    assert reached == {
        "AudioGen-medium's sizes, bf16, of the bandwidth": False,
        "AudioGen-medium's sizes, int8, 8.80 steps/s": True,
        "AudioGen-medium's sizes, int8, of the bandwidth": False,
        "AudioGen-medium's sizes, int4, 13.00 steps/s": False,
        "AudioGen-medium's sizes, int4, of the bandwidth": True,
        "the same in int4, first sound": True,
        "foley beside a neighbour, of its idle speed": False,
        "soundloom generate, memory at its peak": True,
    }
    assert told["AudioGen-medium's sizes, int4, 13.00 steps/s"]["value"] == pytest.approx(3.25)
    shown = capsys.readouterr().out
    assert "transformers 5.0, bf16: 4.00 steps/s" in shown
    assert "40 %" in shown

    def fail(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, 3, "", "no such model")

    monkeypatch.setattr(subprocess, "run", fail)
    with pytest.raises(SystemExit, match="no such model"):
        found["main"](["--only", "memory", "--json", str(report)])
    assert len(json.loads(report.read_text(encoding="utf-8"))["goals"]) == 8  # not replaced by a part


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells of a process's memory on Linux only")
def test_a_loaded_model_takes_its_weights_and_little_more(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    command = [sys.executable, str(BENCHMARKS / "memory.py"), "--seconds", "0.5", "--json", str(report)]
    subprocess.run(command, check=True, capture_output=True)
    values = json.loads(report.read_text(encoding="utf-8"))
    stages = {stage["name"]: stage for stage in values["stages"]}
    before, loaded = stages["import soundloom.gen.pipeline"], stages["from_pretrained"]
    weights = sum(values["weights"].values())
    assert 0.9 * weights < loaded["anonymous"] - before["anonymous"] < 1.15 * weights
    # On the way: besides, the largest of the files that are read, and libraries.
    assert loaded["peak"] - before["resident"] < 1.4 * weights


def test_what_two_models_predict_is_compared_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    compare = runpy.run_path(str(BENCHMARKS / "quantized_quality.py"))["compare"]
    expected = torch.tensor([[[[0.5, 0.5], [0.25, 0.75]]]]).log()  # [1, 1, 2, 2]
    found = torch.tensor([[[[0.25, 0.75], [0.75, 0.25]]]]).log()
    codes, mask = torch.tensor([[[0, 1]]]), torch.tensor([[[True, True]]])
    divergence, same, loss = compare(expected, found, codes, mask)
    by_hand = [
        0.5 * math.log(2) + 0.5 * math.log(2 / 3),
        0.25 * math.log(1 / 3) + 0.75 * math.log(3),
    ]
    torch.testing.assert_close(divergence, torch.tensor(by_hand))
    torch.testing.assert_close(loss, torch.full((2,), math.log(4)))
    assert same.tolist()[1] is False
    assert compare(expected, found, codes, torch.tensor([[[False, True]]]))[0].shape == (1,)


def test_codecs_of_both_sides_are_the_same_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    found = runpy.run_path(str(BENCHMARKS / "codecs.py"))
    models = found["main"].__globals__["MODELS"]
    small = {"num_filters": 4, "hidden_size": 8, "codebook_size": 16, "upsampling_ratios": [4, 2]}
    for name, bandwidth in (("encodec-24khz", 24.0), ("encodec-48khz", 120.0), ("audiogen", 16.0)):
        monkeypatch.setitem(models, name, models[name] | small | {"target_bandwidths": [bandwidth]})
    models["encodec-48khz"]["codebook_size"] = 1024  # two codes hold the loudness of a segment
    report = tmp_path / "report.json"
    found["main"](["--seconds", "2.5", "--repeats", "1", "--cpu-time", "--json", str(report)])
    values = json.loads(report.read_text(encoding="utf-8"))
    assert len(values["rows"]) == 3 * 4
    for row in values["rows"]:
        assert row["ratio"] == row["ours"] / row["theirs"] > 0
        # Codes are those of the nearest vectors, which rounding decides between two that are as near.
        assert row["differs"] < (2e-3 if row["work"].startswith("encode") else 1e-4), row
