"""What a fine-tuning changed: which group a sound is nearest to, and two models beside real recordings."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from soundloom.cli import main
from soundloom.core.audio import write_audio
from soundloom.evaluation import model_comparison as module
from soundloom.evaluation.classifier import SoundClassifier
from soundloom.evaluation.embedders import NamedClassifier
from soundloom.evaluation.evaluate_sounds import Example, folder_examples
from soundloom.evaluation.model_comparison import (
    NearestGroup,
    Sounds,
    compare_models,
    group_of,
    recorded,
    table,
)
from tests.tiny_codecs import seanet

RATE = 16000
GROUPS = ["hum", "hiss"]


def tone(hertz: float, seconds: float = 0.5, rate: int = RATE) -> Tensor:
    return 0.3 * torch.sin(2 * torch.pi * hertz * torch.arange(round(seconds * rate)) / rate)[None]


def hiss(seed: int, seconds: float = 0.5) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 0.2 * torch.randn(1, round(seconds * RATE), generator=generator).clamp(-4, 4)


@pytest.fixture(scope="module")
def classifier() -> NamedClassifier:
    torch.manual_seed(0)
    return NamedClassifier(SoundClassifier(class_names=["a", "b"], widths=(4, 4, 4, 4)).eval(), "tiny")


@pytest.fixture(scope="module")
def nearest(classifier: NamedClassifier) -> NearestGroup:
    rows = [tone(200 + 5 * i) for i in range(4)] + [hiss(i) for i in range(3)] + [tone(3000)]
    captions = ["a low hum"] * 4 + ["A hiss"] * 3 + ["something else"]
    return NearestGroup(GROUPS, Sounds(torch.cat(rows), RATE), captions, classifier)


def test_a_caption_belongs_to_the_first_group_whose_words_it_holds() -> None:
    assert group_of("A User Interface click", ["tabla", "user interface"]) == 1
    assert group_of("a tabla drum loop", ["drum loop", "tabla"]) == 0
    assert group_of("a dog", ["tabla"]) is None


def test_sounds_are_told_apart_by_group_at_any_level_and_rate(nearest: NearestGroup) -> None:
    sounds = torch.cat([tone(210), tone(208) / 50, hiss(8), hiss(9), tone(900)])
    captions = ["a hum", "a faint hum", "a hiss", "a hum", "a dog"]
    report = nearest.report(Sounds(sounds, RATE), captions)
    assert report["groups"] == {
        "hum": {"accuracy": pytest.approx(2 / 3), "sounds": 3},
        "hiss": {"accuracy": 1.0, "sounds": 1},
    }
    assert report["accuracy"] == pytest.approx((2 / 3 + 1) / 2), "each group counts alike"
    assert (report["sounds"], report["chance"]) == (4, 0.5)
    low = Sounds(tone(210, rate=8000), 8000)
    assert nearest.report(low, ["a hum"])["accuracy"] == 1.0
    assert nearest.report(Sounds(torch.zeros(1, 800), RATE), ["a hum"])["sounds"] == 1, "silence has a place"
    with pytest.raises(ValueError, match="none of the 1 captions holds one of hum, hiss"):
        nearest.report(low, ["a dog"])


@pytest.mark.parametrize(
    ("groups", "message"),
    [(["hum"], "wants 2 or more"), (["hum", "dog"], "'dog' holds no known"), (["hum", "low"], "'low' holds")],
)
def test_groups_that_cannot_be_told_apart_are_refused(
    groups: list[str], message: str, classifier: NamedClassifier
) -> None:
    with pytest.raises(ValueError, match=message):
        NearestGroup(groups, Sounds(tone(200).repeat(2, 1), RATE), ["a low hum", "a hum"], classifier)


def test_recordings_get_one_length() -> None:
    examples = [
        Example("short", lambda: (tone(300, 0.1, 32000).repeat(2, 1), 32000)),
        Example("long", lambda: (tone(300), RATE)),
    ]
    sounds = recorded(examples, 0.25, RATE)
    assert sounds.audio.shape == (2, 4000)
    assert sounds.sample_rate == RATE
    assert sounds.audio[0, :1600].abs().max() > 0.2
    assert not sounds.audio[0, 1600:].any()
    torch.testing.assert_close(sounds.audio[1], tone(300)[0, :4000])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three sounds, two hums and a hiss, of 0.2 s."""
    (tmp_path / "sounds").mkdir()
    for name, sound in (("a", tone(200)), ("b", tone(220)), ("c", hiss(1))):
        write_audio(tmp_path / "sounds" / f"{name}.wav", sound[:, :3200], RATE)
        (tmp_path / "sounds" / f"{name}.txt").write_text("a hiss" if name == "c" else "a low hum")
    return tmp_path / "sounds"


def test_two_models_beside_recordings(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture, report = tmp_path / "p.png", tmp_path / "r.json"
    words = ["foley", "foley", folder, "--known", folder, "--groups", *GROUPS, "--duration", "0.3"]
    words += ["--samples", "2"]
    assert main(["compare-models", *map(str, words), "-o", str(picture), "--json", str(report), "-q"]) == 0
    found = json.loads(report.read_text())
    figures = found["figures"]
    assert figures["before"] == figures["after"], "the same model with the same seeds"
    real = figures["recordings"]
    assert real["fad"]["value"] == pytest.approx(0, abs=1e-6)
    assert real["kl"]["value"] == pytest.approx(0, abs=1e-9)
    assert real["nearest_group"]["accuracy"] == 1.0
    assert real["nearest_group"]["sounds"] == 3
    through = figures["recordings through the codec"]
    assert 0 < through["fad_log_mel"]["value"] < figures["before"]["fad_log_mel"]["value"]
    assert (found["subject"]["after"], found["captions"], found["duration"]) == ("foley", 3, 0.3)
    made = figures["after"]
    assert (made["fad"]["sounds"], made["fad"]["reference_sounds"], made["kl"]["pairs"]) == (6, 3, 6)
    assert made["nearest_group"]["sounds"] == 6
    assert picture.read_bytes().startswith(b"\x89PNG")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("| sounds |")
    assert lines[-1].startswith("| recordings | 0.0 | 0.00 | 0.00 | 100 %")


class Ending:
    """Ends after so many sounds, as Ctrl+C does; a model that makes the tone of a caption at once."""

    def __init__(self, after: int) -> None:
        self.left, self.codec = after, seanet()

    def progress(self, done: int, total: int) -> None:
        if done == self.left:
            raise KeyboardInterrupt

    def generate(self, prompts: list[str], *, duration: float, seed: list[int]) -> Any:
        rows = [tone(200 + each, duration) for each in seed]
        return SimpleNamespace(samples=torch.stack(rows), sample_rate=RATE)


@pytest.mark.parametrize(
    ("sounds", "sets"),
    [
        (2, {"recordings": 3}),
        (3 + 2, {"recordings through the codec": 3, "recordings": 3}),
        (3 + 4, {"before": 3, "recordings through the codec": 3, "recordings": 3}),
        (3 + 6 + 4, {"before": 6, "after": 3, "recordings through the codec": 3, "recordings": 3}),
    ],
)
def test_ctrl_c_keeps_what_was_measured_and_never_looks_complete(
    sounds: int, sets: dict[str, int], folder: Path, classifier: NamedClassifier
) -> None:
    examples = folder_examples(str(folder), captions=True)
    ending: Any = Ending(sounds)
    settings: dict[str, Any] = {"duration": 0.2, "samples": 2, "progress": ending.progress}
    found = compare_models(ending, ending, examples, classifier, **settings)
    assert found.stopped
    assert {name: row["fad"]["sounds"] for name, row in found.figures.items()} == sets
    assert found.notes == [f"stopped after {sounds} of 15 sounds"]
    lines = table(found)
    assert lines[-1] == f"note: {found.notes[0]}"
    for line, (name, number) in zip(lines[2:], sets.items(), strict=False):
        assert line.startswith(f"| {name} ({number} sounds) |")


def test_ctrl_c_before_the_first_sound_measures_nothing(
    folder: Path, classifier: NamedClassifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: Any) -> Any:
        raise KeyboardInterrupt

    model: Any = Ending(0)
    monkeypatch.setattr(model.codec, "encode", stop)
    with pytest.raises(KeyboardInterrupt):
        compare_models(model, model, folder_examples(str(folder), captions=True), classifier, duration=0.2)


def test_a_command_that_was_stopped_says_so(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def coded(*_: Any) -> Any:
        yield from torch.zeros(2, 4800)
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "coded", coded)
    picture, report = tmp_path / "p.png", tmp_path / "r.json"
    words = ["foley", "foley", str(folder), "--duration", "0.3", "-o", str(picture), "--json", str(report)]
    assert main(["compare-models", *words, "-q"]) == 130
    assert capsys.readouterr().out.endswith("note: stopped after 2 of 27 sounds\n")
    assert json.loads(report.read_text())["stopped"] is True
    assert not picture.exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--duration", "0"], "--duration is 0"),
        (["--duration", "nan"], "--duration is nan"),
        (["--columns", "0"], "--columns: '0' is not possible"),
        (["--samples", "0"], "--samples: '0' is not possible"),
        (["--limit", "0"], "--limit: '0' is not possible"),
        (["--groups", "hum", "hiss"], "--known and --groups go together"),
        (["-o", "picture.txt"], "must end in .png"),
        (["--json", "there.json"], "--force"),
        (["--known", "sounds", "--groups", "dog", "cat"], "'dog' holds no known"),
        (["--classifier", "foley-jugde"], "foley-classifier"),
    ],
)
def test_bad_input_ends_with_a_message(
    words: list[str],
    message: str,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(folder.parent)
    Path("there.json").write_text("mine")
    try:
        status = main(["compare-models", "foley", "foley", "sounds", *words])
    except SystemExit as stop:  # of the parser
        status = stop.code
    assert status == 2
    assert re.search(message, capsys.readouterr().err)
    assert Path("there.json").read_text() == "mine"
