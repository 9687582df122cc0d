"""Rendering writes what the corpus says, whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from soundloom import cli
from soundloom.recipes.foley import FoleyCorpus
from soundloom.recipes.foley.render_dataset import render_dataset

SETTINGS = {"seconds": 1.0, "sample_rate": 8000, "seed": 7}


def test_files_hold_the_corpus(tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    out = render_dataset(
        tmp_path / "deep" / "set", clips=40, variants=3, progress=lambda *a: calls.append(a), **SETTINGS
    )
    assert sorted(p.name for p in out.iterdir()) == ["audio.npy", "metadata.jsonl"]
    assert [p.name for p in out.parent.iterdir()] == ["set"]  # no temporary folder is left
    assert calls[-1] == (40, 40)
    audio = np.load(out / "audio.npy", mmap_mode="r")
    assert audio.shape == (40, 8000)
    assert audio.dtype == np.int16
    entries = [json.loads(line) for line in (out / "metadata.jsonl").read_text().splitlines()]
    corpus = FoleyCorpus(**SETTINGS)
    for i in (0, 33, 39):
        clip = corpus[i]
        assert np.abs(audio[i] / 32767.0 - clip.audio).max() < 2e-5
        assert entries[i]["caption"] == clip.caption
        assert entries[i]["captions"] == corpus.caption_variants(i, 3)
        assert entries[i]["classes"] == list(clip.classes)
        assert entries[i]["composition"] == clip.composition
        assert entries[i]["counts"] == list(clip.counts)
        assert entries[i]["attributes"] == list(clip.attributes)
        assert (entries[i]["index"], entries[i]["seed"], entries[i]["sample_rate"]) == (i, 7, 8000)


def test_jobs_do_not_change_the_result(tmp_path: Path) -> None:
    one = render_dataset(tmp_path / "one", clips=34, jobs=1, **SETTINGS)
    two = render_dataset(tmp_path / "two", clips=34, jobs=2, **SETTINGS)
    for name in ("audio.npy", "metadata.jsonl"):
        assert (one / name).read_bytes() == (two / name).read_bytes()


def main(words: list[str]) -> Any:
    """The exit status of `soundloom render`."""
    try:
        return cli.main(["render", "--quiet", *words])
    except SystemExit as stop:  # of a word that cannot be
        return stop.code


def test_existing_folder_needs_force(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [
        str(tmp_path / "set"),
        "--clips",
        "2",
        "--seconds",
        "1",
        "--sample-rate",
        "8000",
        "--jobs",
        "1",
    ]
    assert main(arguments) == 0
    before = (tmp_path / "set" / "audio.npy").read_bytes()
    (tmp_path / "set" / "codes.npy").write_bytes(b"old")
    assert main([*arguments, "--seed", "1"]) == 2
    assert "--force" in capsys.readouterr().err
    assert (tmp_path / "set" / "audio.npy").read_bytes() == before
    assert main([*arguments, "--seed", "1", "--force"]) == 0
    assert (tmp_path / "set" / "audio.npy").read_bytes() != before
    assert not (tmp_path / "set" / "codes.npy").exists()


def test_failure_leaves_nothing(tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        render_dataset(tmp_path / "set", clips=2, progress=stop, **SETTINGS)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--clips", "0"], "clips must be 1 or more"),
        (["--clips", "2", "--jobs", "0"], "give a whole number, 1 or more"),
        (["--clips", "2", "--classes", "dgo"], "nearest: dog"),
        (["--clips", "2", "--compositions", "single:x"], "not NAME:WEIGHT"),
        (["--clips", "2", "--compositions", "after:1"], "unknown composition 'after'"),
        (["--clips", "2", "--seconds", "nan"], "0.5..600"),
        (["--clips", "2", "--split", "dev"], "invalid choice"),
        ([], "--clips"),
    ],
)
def test_bad_input(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert main([str(tmp_path / "set"), *arguments]) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_chosen_classes_and_compositions(tmp_path: Path) -> None:
    arguments = [
        "--clips",
        "6",
        "--seconds",
        "1",
        "--jobs",
        "1",
        "--classes",
        "dog, rain",
        "--compositions",
        "then:1",
    ]
    assert main([str(tmp_path / "set"), *arguments]) == 0
    for line in (tmp_path / "set" / "metadata.jsonl").read_text().splitlines():
        entry = json.loads(line)
        assert entry["composition"] == "then"
        assert sorted(entry["classes"]) == ["dog", "rain"]
