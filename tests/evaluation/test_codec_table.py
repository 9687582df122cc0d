"""Codecs side by side in one table, and a Music2Latent2 beside what its latents give without its network."""

from __future__ import annotations

import copy
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from soundloom.cli import main
from soundloom.core.audio import write_audio
from soundloom.evaluation.classifier import SoundClassifier
from soundloom.evaluation.codec_table import codecs_table, evaluate_codecs, read_once, without_network
from soundloom.evaluation.embedders import NamedClassifier
from soundloom.evaluation.evaluate_sounds import Example, evaluate_codec
from soundloom.evaluation.reconstruction import Reconstruction
from soundloom.evaluation.report import to_json
from soundloom.evaluation.spectral_distance import reconstruction_metrics
from tests.codecs.music2latent2.small import MODELS
from tests.tiny_codecs import music2latent2, seanet, sound


@pytest.fixture(scope="module")
def classifier() -> NamedClassifier:
    torch.manual_seed(0)
    return NamedClassifier(SoundClassifier(class_names=["dog", "rain"], widths=(4, 4, 4, 4)).eval(), "tiny")


def example(index: int) -> Example:
    return Example(f"sound {index}", lambda: (sound(0.3, 8000, seed=index), 8000))


def test_a_model_without_its_network_puts_out_what_its_latents_say() -> None:
    model = MODELS["envelope"]
    zeroed = without_network(model)
    latents = model.encode(0.3 * torch.randn(1, 1, 300, generator=torch.Generator().manual_seed(0)))
    context = model.context(latents[:, 0])
    noisy = torch.randn(1, 2, model.settings.bins, model.settings.frames_per_chunk)
    level = torch.tensor([[[[3.0]]]])
    scalings = model.schedule.scalings(level, context.scale)
    torch.testing.assert_close(zeroed.denoise(noisy, 3.0, context)[0], scalings.skip * noisy)
    assert not torch.allclose(model.denoise(noisy, 3.0, context)[0], scalings.skip * noisy)
    assert model.consistency.up.conv_out.weight.any(), "the model itself stays"  # type: ignore[union-attr, operator]


def test_rows_are_what_each_codec_alone_has(classifier: NamedClassifier) -> None:
    examples = [example(0), example(1)]
    steps: list[tuple[int, int]] = []
    model = MODELS["envelope"]
    rows = evaluate_codecs(
        {"summary": model, "frames": seanet()},
        examples,
        classifier,
        zeroed=True,
        progress=lambda *step: steps.append(step),
    )
    assert [(row["codec"], row["zeroed"]) for row in rows] == [
        ("summary", False),
        ("summary", True),
        ("frames", False),
    ]
    assert steps == [(count, 6) for count in range(1, 7)]
    alone = evaluate_codec(model, examples, classifier)
    assert to_json({key: rows[0][key] for key in alone}) == to_json(alone)
    assert rows[1]["reconstruction"] != rows[0]["reconstruction"]
    assert "same first tag" not in codecs_table(rows)
    tags = {"same_first": 0.5, "correlation": 0.25}
    lines = codecs_table([{**row, "tags": tags} for row in rows]).splitlines()
    assert lines[0] == "2 sounds:"
    header = [cell.strip() for cell in lines[2].split("|")]
    for name in ("kbit/s", "LSD 512", "LSD 4096", "tonality error", "before onsets", "FAD", "same first tag"):
        assert name in header
    cells = dict(zip(header, (cell.strip() for cell in lines[5].split("|")), strict=True))
    assert cells["codec"] == "summary, network zeroed"
    assert cells["LSD 4096"] == f"{rows[1]['reconstruction']['log_spectral_distance_4096']:.2f}"
    assert cells["same first tag"] == "50 %"
    assert cells["correlation of tags"] == "0.25"


def test_all_distances_in_one_pass() -> None:
    target: Tensor = torch.stack([sound(0.5, 16000, seed=seed) for seed in (0, 1)])
    estimate = target + 0.01 * torch.randn(target.shape, generator=torch.Generator().manual_seed(0))
    collected = Reconstruction(16000)
    collected.update(estimate[:1], target[:1])
    collected.update(estimate[1:], target[1:])
    report = collected.report()
    expected = reconstruction_metrics(estimate, target, 16000)
    assert {key: report[key] for key in expected} == pytest.approx(expected, rel=1e-3)
    assert 0 < report["log_spectral_distance_4096"] != report["log_spectral_distance_512"]
    assert math.isnan(Reconstruction(16000).report()["si_sdr"])


def test_examples_are_read_once() -> None:
    reads: list[int] = []

    def read() -> Any:
        reads.append(1)
        return sound(0.1, 8000), 8000

    (kept,) = read_once([Example("a", read)])
    kept.read()
    kept.read()
    assert len(reads) == 1


def test_the_command_takes_several_codecs_and_a_split(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sounds = tmp_path / "sounds"
    sounds.mkdir()
    for index in range(4):
        write_audio(sounds / f"{index}.wav", sound(0.4, 8000, seed=index), 8000)
    rows = ["file_name,text,split", "0.wav,a,train", "1.wav,b,test", "2.wav,c,Test", "3.wav,d,"]
    (sounds / "metadata.csv").write_text("\n".join(rows) + "\n")
    copy.deepcopy(music2latent2()).save_pretrained(tmp_path / "summary")
    copy.deepcopy(seanet()).save_pretrained(tmp_path / "frames")
    words = [
        "evaluate",
        str(sounds),
        "--codec",
        str(tmp_path / "summary"),
        "--codec",
        str(tmp_path / "frames"),
    ]
    report = tmp_path / "report.json"
    assert main([*words, "--zeroed", "--split", "test", "-q", "-o", str(report)]) == 0
    assert capsys.readouterr().out.startswith("2 sounds:\n\n| codec")
    found = json.loads(report.read_text())
    assert [row["zeroed"] for row in found["rows"]] == [False, True, False]
    assert found["subject"]["split"] == "test"
    assert [row["sounds"] for row in found["rows"]] == [2, 2, 2]
    assert main([*words, "--split", "valid", "-q"]) == 2
    assert "is of the split 'valid'; there are: ['', 'Test', 'test', 'train']" in capsys.readouterr().err
    write_audio(sounds / "4.wav", torch.zeros(1, 8), 8000)
    (sounds / "4.wav").write_bytes(b"no sound")
    assert main([*words, "-q"]) == 1
    assert "left out: 1" in capsys.readouterr().out
