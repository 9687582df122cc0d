"""How often a tagger hears the corpus and recordings of its classes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from soundloom.codecs.seanet.model import SEANetCodec
from soundloom.core.audio import write_audio
from soundloom.evaluation.renderings import evaluate_renderings, recordings_by_class, renderings_lines
from soundloom.evaluation.tags import check_tags
from soundloom.evaluation.yamnet import YAMNet
from soundloom.recipes.foley import CLASSES
from tests.tiny_yamnet import TinySession

RATE = 16000


class Loudness:
    """Hears a dog in what is loud, a hum in what is not, and nothing else."""

    name, sample_rate, tag_names = "loudness", RATE, ["Dog", "Hum", "Rain", "Wind", "Bell", "Piano"]

    def tags(self, audio: Tensor) -> Tensor:
        loud = audio.abs().amax(1) > 0.2
        return torch.stack([loud.float(), 1 - loud.float(), *(torch.full((4, len(loud)), 0.5))], dim=1)


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    """Three recordings of a dog, of which two are for training, and one of rain."""
    lines = ["file_name,sound_class,split", "a.wav,dog,train", "b.wav,dog,train", "c.wav,dog,test"]
    for name, level in (("a", 0.9), ("b", 0.1), ("c", 0.9), ("d", 0.1)):
        write_audio(tmp_path / f"{name}.wav", level * torch.ones(1, RATE // 4), RATE)
    (tmp_path / "metadata.csv").write_text("\n".join([*lines, "d.wav,rain,train"]) + "\n")
    return tmp_path


def test_every_class_has_tags_that_yamnet_knows() -> None:
    tagger = YAMNet(TinySession())
    for sound in CLASSES.values():
        check_tags(tagger, sound.tags)


def test_recordings_are_those_of_the_training_split(recordings: Path) -> None:
    files = recordings_by_class(recordings)
    assert {name: [path.name for path in paths] for name, paths in files.items()} == {
        "dog": ["a.wav", "b.wav"],
        "rain": ["d.wav"],
    }
    (recordings / "a.wav").unlink()
    with pytest.raises(FileNotFoundError, match=r"metadata\.csv names a\.wav"):
        recordings_by_class(recordings)
    (recordings / "metadata.csv").write_text("file_name,text\na.wav,dog\n")
    with pytest.raises(ValueError, match="columns file_name and sound_class"):
        recordings_by_class(recordings)
    with pytest.raises(FileNotFoundError, match="there is no"):
        recordings_by_class(recordings / "gone")


def test_renderings_and_recordings_are_counted(recordings: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tags = {"dog": ("Dog",), "rain": ("Rain", "Piano")}
    for name, right in tags.items():
        monkeypatch.setitem(CLASSES, name, replace(CLASSES[name], tags=right))
    steps: list[tuple[int, int]] = []
    report = evaluate_renderings(
        Loudness(),
        recordings_by_class(recordings),
        per_class=2,
        classes=list(tags),
        seconds=1.0,
        progress=lambda *step: steps.append(step),
    )
    dog, rain = report["classes"]["dog"], report["classes"]["rain"]
    assert dog["recordings"] == {"first": 0.5, "among_five": 0.5, "sounds": 2, "heard": {"Dog": 1, "Hum": 1}}
    assert dog["renderings"]["sounds"] == rain["renderings"]["sounds"] == 2
    assert rain["recordings"]["first"] == 0.0
    assert rain["recordings"]["among_five"] == 1.0
    assert steps == [(i, 7) for i in range(1, 8)]
    lines = renderings_lines(report)
    assert any(line.startswith("dog ") and "50%   50%    2" in line for line in lines)
    assert lines[-1].startswith("mean of 2 classes, recordings: first 25%, among five 75%")
    with pytest.raises(ValueError, match="--per-class is 0"):
        evaluate_renderings(Loudness(), per_class=0)


class Length:
    """Hears a dog in what lasts a second, whatever it is."""

    name, sample_rate, tag_names = "length", 8000, ["Dog", "Hum", "Rain", "Wind", "Bell", "Piano"]

    def tags(self, audio: Tensor) -> Tensor:
        assert float(audio.abs().max()) == 0.0
        long = torch.full((len(audio),), float(audio.shape[-1] == 8000))
        return torch.stack([long, 1 - long, *(torch.full((4, len(audio)), 0.5))], dim=1)


def test_what_goes_through_a_codec_is_what_comes_out_of_it(
    recordings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(CLASSES, "dog", replace(CLASSES["dog"], tags=("Dog",)))
    codec = SEANetCodec(num_codebooks=2, codebook_size=8, n_filters=2, dimension=4, lstm=0, sample_rate=8000)
    for parametrized in codec.fold_weight_norm().decoder.parameters():
        torch.nn.init.zeros_(parametrized)
    report = evaluate_renderings(
        Length(),
        recordings_by_class(recordings),
        per_class=1,
        classes=["dog"],
        seconds=1.0,
        codec=codec.eval(),
    )
    dog = report["classes"]["dog"]
    assert dog["renderings"]["first"] == 1.0
    assert dog["recordings"] == {"first": 0.0, "among_five": 0.0, "sounds": 2, "heard": {"Hum": 2}}


def test_ctrl_c_keeps_what_was_heard(recordings: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("dog", "rain", "wind"):
        monkeypatch.setitem(CLASSES, name, replace(CLASSES[name], tags=("Dog",)))

    def interrupt(done: int, _: int) -> None:
        if done == 4:  # two renderings and a recording of a dog, and a rendering of rain
            raise KeyboardInterrupt

    known = {"dog": [recordings / "a.wav"], "rain": [recordings / "d.wav"]}
    report = evaluate_renderings(
        Loudness(), known, per_class=2, classes=["dog", "rain", "wind"], seconds=0.5, progress=interrupt
    )
    assert report["stopped"]
    assert report["notes"] == ["stopped after 4 of 8 sounds"]
    assert list(report["classes"]) == ["dog", "rain"]
    assert report["classes"]["dog"]["recordings"]["first"] == 1.0
    assert report["classes"]["rain"]["renderings"]["sounds"] == 1
    assert "recordings" not in report["classes"]["rain"]
    assert renderings_lines(report)[-1] == "note: stopped after 4 of 8 sounds"


def test_a_recording_that_cannot_be_read_is_named(recordings: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CLASSES, "dog", replace(CLASSES["dog"], tags=("Dog",)))
    (recordings / "a.wav").write_bytes(b"no sound")
    files = recordings_by_class(recordings)
    report = evaluate_renderings(Loudness(), files, per_class=1, classes=["dog"], seconds=0.5)
    assert report["classes"]["dog"]["recordings"]["sounds"] == 1
    assert [failure["file"] for failure in report["failed"]] == [str(recordings / "a.wav")]
    assert renderings_lines(report)[-2] == "left out: 1"
    with pytest.raises(ValueError, match="none of the 1 sounds can be measured"):
        evaluate_renderings(Silent(), per_class=1, classes=["dog"], seconds=0.5)


class Silent(Loudness):
    """Hears nothing: it fails."""

    def tags(self, audio: Tensor) -> Tensor:
        raise ValueError("deaf")
