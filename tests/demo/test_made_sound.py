"""Sounds of a session: kept, forgotten when there are too many, written to a zip."""

from __future__ import annotations

import json
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from soundloom.demo import made_sound
from soundloom.demo.made_sound import MadeSound, added, keep, wanted, write_zip


def sound(name: str, folder: Path) -> MadeSound:
    file = folder / f"{name}.wav"
    file.write_bytes(name.encode())
    return MadeSound(
        name=name,
        file=file,
        prompt=f"<b>{name}</b>",
        seed=7,
        settings={"duration": 1.0},
        source=str(folder / "private" / "start.wav"),
        seconds=1.0,
        sample_rate=16000,
        model="foley",
    )


def test_the_oldest_that_nobody_keeps_go_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(made_sound, "MOST", 2)
    a, b, c = (sound(name, tmp_path) for name in "abc")
    history = keep(added([], [a]), "a")
    assert history[0].kept
    history = added(added(history, [b]), [c])
    assert [each.name for each in history] == ["c", "a"]
    assert not keep(history, "a")[1].kept  # pressed again
    hash(a)  # gradio compares the state of a session by hashes


def test_a_zip_holds_what_is_kept_and_tells_how_it_was_made(tmp_path: Path) -> None:
    a, b, c = (
        replace(sound(name, tmp_path), made=made) for name, made in (("a", 1.0), ("b", 2.0), ("c", 3.0))
    )
    assert wanted([b, a]) == [b, a]
    assert wanted([replace(b, kept=True), a]) == [replace(b, kept=True)]
    c.file.unlink()  # its hour is over
    path = write_zip([c, b, a], tmp_path / "all.zip")
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == ["01-a.wav", "02-b.wav", "sounds.json"]
        assert archive.read("02-b.wav") == b"b"
        told = json.loads(archive.read("sounds.json"))
    assert [(each["file"], each["prompt"], each["seed"]) for each in told] == [
        ("01-a.wav", "<b>a</b>", 7),
        ("02-b.wav", "<b>b</b>", 7),
    ]
    assert str(tmp_path) not in json.dumps(told)
    assert not {"name", "made"} & {*told[0]}


def test_variations_lie_in_a_zip_as_they_stand_side_by_side(tmp_path: Path) -> None:
    first = replace(sound("first", tmp_path), made=1.0)
    one, two = (replace(sound(name, tmp_path), made=2.0) for name in ("one", "two"))
    with zipfile.ZipFile(write_zip(added([first], [one, two]), tmp_path / "all.zip")) as archive:
        assert archive.namelist() == ["01-first.wav", "02-one.wav", "03-two.wav", "sounds.json"]


def test_what_is_said_of_a_sound(tmp_path: Path) -> None:
    plain = replace(sound("a", tmp_path), source=None)
    assert plain.facts() == "1.00 s · seed 7"
    scored = replace(plain, cut_short=True, score=-0.5, settings={"candidates": 4})
    assert scored.facts() == ("1.00 s, cut short · seed 7 · best of 4, score -0.50")
