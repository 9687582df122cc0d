"""`soundloom info`, `test` and `generate --again`: what files say, whether they are whole, and once more."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from soundloom.cli.generate_again import _model
from soundloom.core.audio import read_audio, write_audio
from soundloom.core.sound_tags import GENERATED, read_tags
from soundloom.gen.origin import Record
from tests.cli.running import refused, run

SOUND = torch.linspace(-0.5, 0.5, 8000)[None]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def generate(*words: object) -> None:
    assert run("generate", "--duration", 0.3, "--seed", 7, "-q", *words) == 0


AGAIN = ("generate", "--model", "foley", "--again")  # the tiny model has a name that finds none


def info(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    capsys.readouterr()
    assert run("info", *words) == 0
    return capsys.readouterr().out


def test_info_tells_how_a_sound_was_made(capsys: pytest.CaptureFixture[str]) -> None:
    generate("a dog\nbarks", "-o", "a.wav")
    said = info(capsys, "a.wav")
    assert r"prompt  a dog\nbarks" in said
    assert "seed  7" in said
    assert "samples  as they were made" in said
    samples, rate = read_audio("a.wav")
    write_audio("b.wav", samples * 0.5, rate, tags=read_tags("a.wav"))
    assert "changed since they were made" in info(capsys, "b.wav")
    first, second = (json.loads(line) for line in info(capsys, "a.wav", "b.wav", "--json").splitlines())
    assert (first["as_made"], second["as_made"]) == (True, False)
    assert first["origin"]["prompt"] == "a dog\nbarks"
    assert first["generated"] is True


def test_info_of_other_sounds(capsys: pytest.CaptureFixture[str]) -> None:
    write_audio("a.flac", SOUND, 8000, tags={"title": "x\x1b]0;evil\x07", "comment": "nice"})
    said = info(capsys, "a.flac")
    assert "\x1b" not in said
    assert r"title   x\x1b]0;evil\x07" in said
    assert "comment nice" in said
    assert "generated" not in said
    write_audio("b.wav", SOUND, 8000, tags={"comment": f"{GENERATED} {{"})
    assert "makes no sense" in info(capsys, "b.wav")
    assert json.loads(info(capsys, "b.wav", "--json"))["generated"] is True
    Path("c.txt").write_text("no")
    assert "c.txt" in refused(capsys, "info", "c.txt")


@pytest.mark.parametrize("model", [None, "foley"])
@pytest.mark.parametrize(
    ("stored", "given", "wanted"),
    [
        ("int8", None, {"quantization": "int8"}),
        ("bf16", "int4", {"quantization": "int4"}),
        ("bfloat16", None, {"dtype": torch.bfloat16}),
        ("bfloat16", "int8", {"quantization": "int8"}),
        ("float32", None, {}),
        ("complex64", None, {}),
    ],
)
def test_again_loads_the_weights_as_they_were(
    stored: str, given: str | None, wanted: dict[str, Any], model: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, Any] = {}

    def load(name: str, **options: Any) -> str:
        asked.update(options, name=name)
        return "model"

    monkeypatch.setattr("soundloom.gen.pipeline.AudioGen.from_pretrained", load)
    options = argparse.Namespace(model=model, text_encoder=None, device="cpu", quantization=given, lora=[])
    record = Record(model="foley", runtime={"dtype": stored})
    assert str(_model(options, record, "a.wav")) == "model"
    common = {"name": "foley", "text_encoder": None, "device": "cpu"}
    assert asked == {**common, "local_files_only": model is None, **wanted}


def test_again(capsys: pytest.CaptureFixture[str]) -> None:
    generate("a dog", "-o", "a.wav", "--subtype", "PCM_24", "--sample-rate", 22050, "--loudness", -30)
    assert run(*AGAIN, "a.wav", "-o", "b.wav") == 0
    assert "seed 7, the same samples" in capsys.readouterr().out
    assert Path("a.wav").read_bytes() == Path("b.wav").read_bytes()
    assert run(*AGAIN, "a.wav", "-q") == 0
    assert Path("a-dog.wav").read_bytes() == Path("a.wav").read_bytes()
    assert "already exists" in refused(capsys, *AGAIN, "a.wav")
    assert "leave out --duration" in refused(capsys, *AGAIN, "a.wav", "--duration", 3, "-f")
    write_audio("c.wav", SOUND, 8000)
    assert "c.wav does not say how it was made" in refused(capsys, *AGAIN, "c.wav")


def test_again_of_a_stream_and_of_a_compressed_file(capfdbinary: Any) -> None:
    generate("a dog", "-o", "-", "--stream")
    Path("s.wav").write_bytes(capfdbinary.readouterr().out)
    assert run(*AGAIN, "s.wav", "-o", "t.wav", "-q") == 0
    assert torch.equal(read_audio("s.wav")[0], read_audio("t.wav")[0])
    generate("a dog", "-o", "a.wav")
    assert run("encode", "a.wav", "a.loom", "-q", "--no-level") == 0
    assert run(*AGAIN, "a.loom", "-o", "b.wav", "-q") == 0
    assert Path("a.wav").read_bytes() == Path("b.wav").read_bytes()


def test_again_fetches_no_model_that_a_file_names(capsys: pytest.CaptureFixture[str]) -> None:
    generate("a dog", "-o", "a.wav")
    tags = read_tags("a.wav")
    for name in ("someone/else", "../../etc", "/etc"):
        other = tags | {"comment": tags["comment"].replace('"foley"', "").replace("audiogen_tiny", name)}
        write_audio("b.wav", SOUND, 16000, tags=other, force=True)
        assert "--model NAME or FOLDER" in refused(capsys, "generate", "--again", "b.wav", "-o", "c.wav")


def test_test_names_what_is_not_whole(capsys: pytest.CaptureFixture[str]) -> None:
    write_audio("a.wav", SOUND, 8000)
    assert run("encode", "a.wav", "a.loom", "--verify", "--no-level") == 0
    assert "verified" in capsys.readouterr().out
    assert run("test", "a.loom") == 0
    assert "a.loom  1.00 s, whole, decoded" in capsys.readouterr().out
    assert run("test", "a.loom", "-q") == 0
    assert capsys.readouterr().out == ""
    data = Path("a.loom").read_bytes()
    Path("cut.loom").write_bytes(data[:-20])
    Path("flip.loom").write_bytes(data[:150] + b"?" + data[151:])
    Path("text.loom").write_text("no")
    words = ("test", "cut.loom", "a.loom", "flip.loom", "gone.loom", "text.loom", "a.wav", "--no-decode")
    assert run(*words) == 2
    shown = capsys.readouterr()
    assert "a.loom  1.00 s, whole, not decoded" in shown.out
    for name in ("cut.loom", "flip.loom", "gone.loom", "text.loom", "a.wav"):
        assert name in shown.err
    assert "5 of 6 files are not whole" in shown.err
    assert "3 of 4 files" in refused(capsys, "test", ".", "--no-decode", "--jobs", 2)


def test_test_with_a_recipe_is_lightnings(capsys: pytest.CaptureFixture[str]) -> None:
    assert "gone.yaml" in refused(capsys, "test", "--config", "gone.yaml")
    assert run("test") == 2
    assert "FILE" in capsys.readouterr().err
    assert run("test", "--help") == 0
    assert "lightning test" in capsys.readouterr().out
