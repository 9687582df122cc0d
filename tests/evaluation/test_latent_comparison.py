"""Models and ways of decoding side by side: every row hears the same, and is what the model gives."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from soundloom.cli import main
from soundloom.codecs import Music2Latent2
from soundloom.evaluation.classifier import SoundClassifier
from soundloom.evaluation.embedders import NamedClassifier
from soundloom.evaluation.evaluate_sounds import Example
from soundloom.evaluation.held_out_examples import held_out_examples
from soundloom.evaluation.latent_comparison import HELD_OUT, compare_latents, load_models, table
from soundloom.evaluation.spectral_distance import reconstruction_metrics
from tests.tiny_codecs import music2latent2, seanet, sound, write_sound


@pytest.fixture(scope="module")
def classifier() -> NamedClassifier:
    torch.manual_seed(0)
    return NamedClassifier(SoundClassifier(class_names=["dog", "rain"], widths=(4, 4, 4, 4)).eval(), "tiny")


@pytest.fixture(scope="module")
def loud() -> Music2Latent2:
    """A model whose output depends on its noise: layers that start at zero get random weights."""
    model = Music2Latent2(**{**music2latent2().config, "layout": "ordered"}).eval()
    torch.manual_seed(1)
    with torch.no_grad():
        for weight in model.parameters():
            if not weight.any():
                weight.normal_(0, 0.2)
    return model


def test_rows_are_what_each_model_gives_in_each_way(classifier: NamedClassifier, loud: Music2Latent2) -> None:
    reads = []

    def example(index: int) -> Example:
        def read() -> Any:
            reads.append(index)
            return sound(0.2, 8000, seed=index), 8000

        return Example(f"sound {index}", read)

    steps: list[tuple[int, int]] = []
    rows = compare_latents(
        {"silent": music2latent2(), "loud": loud},
        {"made": [example(0), example(1)]},
        classifier,
        steps=(3,),
        seed=5,
        progress=lambda *step: steps.append(step),
    )
    assert [(row["model"], row["decoding"]) for row in rows] == [
        (name, way) for name in ("silent", "loud") for way in ("1 step", "two-step", "3 steps")
    ]
    assert steps == [(count, 12) for count in range(1, 13)]
    assert reads == [0, 1], "a sound is read, or rendered, once"
    assert [row["layout"] for row in rows[::3]] == ["summary", "ordered"]
    assert all(row["latents"] == "2 x 4" and row["values_per_second"] == 250 for row in rows)
    assert rows[0]["parameters"] == sum(weight.numel() for weight in music2latent2().parameters())
    ways: list[dict[str, Any]] = [
        {"decoding": "autoregressive", "steps": 1},
        {"decoding": "two_step"},
        {"decoding": "autoregressive", "steps": 3},
    ]
    audio = [sound(0.2, 8000, seed=index)[None] for index in (0, 1)]
    for row, way in zip(rows[3:], ways, strict=True):
        decoded = [loud.decode(loud.encode(x), 1600, seed=5 + i, **way) for i, x in enumerate(audio)]
        expected = reconstruction_metrics(torch.cat(decoded), torch.cat(audio), 8000)
        for key in ("mel_distance", "log_spectral_distance", "si_sdr"):
            assert row["reconstruction"][key] == pytest.approx(expected[key], abs=1e-3)
        assert row["fad"]["sounds"] == row["kl"]["pairs"] == 2
    text = table(rows)
    assert "made, 2 sounds:" in text
    assert text.count("| loud ") == 3
    assert f"{rows[4]['reconstruction']['mel_distance']:.2f}" in text


def test_a_model_with_codes_is_compared_by_its_latents(classifier: NamedClassifier) -> None:
    model = music2latent2(discrete=True)
    (row, *_) = compare_latents(
        {"m": model}, {"s": [Example("a", lambda: (sound(0.2, 8000), 8000))]}, classifier
    )
    assert row["bitrate"] == 250 * 16
    assert row["fad"] is None
    assert "needs 2 sounds" in table([row]), "one sound has no FAD"


def test_held_out_sounds(classifier: NamedClassifier) -> None:
    examples = [replace(example, label=None) for example in held_out_examples(1, seconds=0.5)[:2]]
    rows = compare_latents({"tiny": music2latent2()}, {HELD_OUT: examples}, classifier, steps=(1,))
    assert [row["decoding"] for row in rows] == ["1 step", "two-step"]
    assert all(row["sounds"] == 2 and 0 <= row["kl"]["same_class"] <= 1 for row in rows)


def test_the_command(tmp_path: Path, classifier: NamedClassifier, capsys: pytest.CaptureFixture[str]) -> None:
    music2latent2().save_pretrained(tmp_path / "model")
    classifier.classifier.save_pretrained(tmp_path / "classifier")
    for index in range(3):
        write_sound(tmp_path / "sounds" / f"{index}.wav", 0.3)
    words = [
        "compare-latents",
        str(tmp_path / "model"),
        "--real",
        str(tmp_path / "sounds"),
        "--per-class",
        "0",
    ]
    words += [
        "--classifier",
        str(tmp_path / "classifier"),
        "--limit",
        "2",
        "--seconds",
        "0.2",
        "--steps",
        "1",
        "-q",
    ]
    words += ["--json", str(tmp_path / "out.json")]
    assert main([*words, "--zeroed"]) == 0
    assert " two-step |" in capsys.readouterr().out
    written = json.loads((tmp_path / "out.json").read_text())
    assert [row["decoding"] for row in written["rows"]] == ["1 step", "two-step", "network zeroed"]
    assert [row["sounds"] for row in written["rows"]] == [2, 2, 2]
    assert written["seed"] == 0
    for more, message in (
        ([], "out.json already exists"),
        (["--force", "--real", str(tmp_path / "none")], "none"),
        (["--force", "--per-class", "-1"], "--per-class is -1"),
    ):
        assert main([*words, *more]) == 2
        assert message in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([*words, "--force", "--steps", "0"])
    assert "--steps: '0' is not possible" in capsys.readouterr().err


def test_models_that_are_refused(tmp_path: Path) -> None:
    seanet().save_pretrained(tmp_path / "seanet")
    with pytest.raises(ValueError, match="is a SEANetCodec; a Music2Latent2"):
        load_models([str(tmp_path / "seanet")])
    music2latent2().save_pretrained(tmp_path / "model")
    with pytest.raises(ValueError, match="there twice"):
        load_models([str(tmp_path / "model")] * 2)
