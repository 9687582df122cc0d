"""`soundloom augment` on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from soundloom.evaluation.prompts import read_prompts
from soundloom.recipes.data.paraphrases import comparable
from tests.cli.running import refused, run
from tests.tiny_codecs import seanet, write_sound


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    seanet().save_pretrained(tmp_path / "codec")
    rows = ["file_name,text,split,quality"]
    for number in range(12):
        name = f"sounds/horse{number}.wav"
        write_sound(tmp_path / name, 0.5, 8000)
        split, quality = ("test" if number > 9 else "train"), ("weak" if number > 7 else "good")
        rows.append(f"horse{number}.wav,a horse neighs,{split},{quality}")
    (tmp_path / "sounds" / "metadata.csv").write_text("\n".join(rows) + "\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


WORDS = ("--codec", "codec", "--seconds", "1", "--clips", "40", "--device", "cpu", "--jobs", "1")


def test_it_writes_a_folder_and_says_what_is_in_it(
    workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("augment", "sounds", "-o", "mix", *WORDS, "--where", "quality=good", "--captions", "9") == 0
    assert "wrote mix: 40 clips of 1 classes, from 40 (horse) to 40 (horse)" in capsys.readouterr().out
    lines = (workplace / "mix" / "metadata.jsonl").read_text().splitlines()
    entries = [json.loads(line) for line in lines]
    used = {entry["file_name"] for entry in entries}
    assert used <= {f"horse{number}.wav" for number in range(8)}
    captions = {comparable(text) for entry in entries for text in entry["captions"]}
    prompts = {comparable(row.prompt) for row in read_prompts()}
    assert "horse neighing" in prompts
    assert not captions & prompts
    assert len(captions) > 8


def test_recordings_as_they_are_for_measuring(workplace: Path) -> None:
    words = ("--plain", "--split", "test", "--part", "all", "--seconds", "1", "--sample-rate", "8000", "-q")
    assert run("augment", "sounds", "-o", "test", *words) == 0
    assert np.load(workplace / "test" / "audio.npy").shape == (2, 8000)
    entries = [json.loads(line) for line in (workplace / "test" / "metadata.jsonl").read_text().splitlines()]
    assert [entry["file_name"] for entry in entries] == ["horse10.wav", "horse11.wav"]
    assert [entry["classes"] for entry in entries] == [["horse"], ["horse"]]


def test_what_it_refuses(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "--clips is not given" in refused(capsys, "augment", "sounds", "-o", "x")
    assert "--clips is not given" in refused(capsys, "augment", "sounds", "-o", "x")
    assert "give it as COLUMN=VALUE" in refused(
        capsys, "augment", "sounds", "-o", "x", *WORDS, "--where", "a"
    )
    assert "no table has a column 'a'" in refused(
        capsys, "augment", "sounds", "-o", "x", *WORDS, "--where", "a=b"
    )
    assert "renderings is 3.0" in refused(capsys, "augment", "sounds", "-o", "x", *WORDS, "--renderings", "3")
    assert not (workplace / "x").exists()
