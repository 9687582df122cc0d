"""Files below a folder: links are followed once, circles end, and what cannot be used is named."""

from __future__ import annotations

import logging
import os
import socket
from pathlib import Path
from typing import Any

import pytest

from soundloom.core import walk as module
from soundloom.core.walk import Walk, match, walk


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def tree(*names: str) -> None:
    for name in names:
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)


def files(found: Walk) -> list[str]:
    return [str(path) for path in found.files]


def failures(found: Walk) -> dict[str, str]:
    return {failure.file: failure.reason for failure in found.failures}


@pytest.fixture
def circle() -> None:
    tree("loop/1.wav", "loop/in/2.wav", "other/3.wav")
    for name, target in (("self", "."), ("up", "../loop"), ("in/back", "../../loop"), ("out", "../other")):
        Path("loop", name).symlink_to(target)
    Path("other/home").symlink_to("../loop/in")


@pytest.mark.usefixtures("circle")
def test_linked_folders_are_followed_once_and_circles_end(caplog: pytest.LogCaptureFixture) -> None:
    found = walk("loop")
    assert files(found) == ["loop/1.wav", "loop/in/2.wav", "loop/out/3.wav"]
    assert found.failures == []
    [message] = [record.message for record in caplog.records if record.levelno == logging.WARNING]
    assert message.startswith("not followed")
    assert "loop/in/back" in message
    assert "and 1 more" in message


@pytest.mark.usefixtures("circle")
@pytest.mark.parametrize(
    "pattern", ["loop/**/*.wav", "loop/**", "./loop/**/**/*.wav", "l*/**/*.wav", "loop/**/*"]
)
def test_patterns_over_a_circle_end(pattern: str) -> None:
    assert files(match(pattern)) == ["loop/1.wav", "loop/in/2.wav", "loop/out/3.wav"]


@pytest.mark.usefixtures("circle")
def test_patterns_match_as_the_standard_librarys() -> None:
    tree("s/a.wav", "s/t/b.wav", "s/t/u/b.wav", "s/.hidden/c.wav", "s/[x]/d.wav")
    for pattern, expected in {
        "s/*.wav": ["s/a.wav"],
        "s/**/b.wav": ["s/t/b.wav", "s/t/u/b.wav"],
        "s/**/u/*.wav": ["s/t/u/b.wav"],
        "s/**/t/**/b.wav": ["s/t/b.wav", "s/t/u/b.wav"],
        "s/.hidden/*.wav": ["s/.hidden/c.wav"],
        "s/**/.hidden/*.wav": ["s/.hidden/c.wav"],
        "s/**/[[]x]/*": ["s/[x]/d.wav"],
        "**/d.wav": ["s/[x]/d.wav"],
        "s/t/b.*": ["s/t/b.wav"],
        "none/**/*.wav": [],
    }.items():
        assert files(match(pattern)) == expected, pattern


def test_a_folder_goes_by_its_own_path_if_it_has_one() -> None:
    tree("in/z/a.wav")
    Path("in/a-link").symlink_to("z")
    assert files(walk("in")) == ["in/z/a.wav"]
    Path("all").symlink_to("in")
    assert files(walk("all")) == ["all/z/a.wav"]


def test_what_is_no_file_is_named(here: Path) -> None:
    tree("in/a.wav", "in/.hidden.wav", "in/.git/b.wav")
    Path("in/gone.wav").symlink_to("nowhere.wav")
    Path("in/itself.wav").symlink_to("itself.wav")
    Path("in/folder").symlink_to("../no/folder")
    Path("in/notes.txt").symlink_to("gone.txt")
    Path("in/.b.wav").symlink_to("gone")
    Path("in/link.wav").symlink_to("a.wav")
    os.mkfifo("in/pipe.wav")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("in/s.wav")
    found = walk("in")
    assert files(found) == ["in/a.wav", "in/link.wav"]
    reasons = failures(found)
    assert sorted(reasons) == [
        f"in/{name}" for name in ("folder", "gone.wav", "itself.wav", "notes.txt", "pipe.wav", "s.wav")
    ]
    assert reasons["in/gone.wav"] == "a broken link: it leads to nowhere.wav, which is not there"
    assert "no/folder" in reasons["in/folder"]
    assert "named pipe" in reasons["in/pipe.wav"]
    assert "socket" in reasons["in/s.wav"]
    assert "in/itself.wav" in reasons
    assert [f.file for f in found.failures_of({".txt"})] == ["in/folder", "in/notes.txt"]
    assert failures(match("in/*.wav")) == {name: reasons[name] for name in reasons if name.endswith(".wav")}


@pytest.mark.parametrize("locked", ["in/locked.d", "in"])
def test_a_folder_that_may_not_be_entered_is_named(locked: str, monkeypatch: pytest.MonkeyPatch) -> None:
    tree("in/a.wav", "in/locked.d/b.wav", "in/z/c.wav")
    real = os.scandir

    def refuse(path: Any) -> Any:
        if str(path) == locked:
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(module.os, "scandir", refuse)
    found = walk("in")
    assert failures(found) == {locked: "this folder cannot be entered (Permission denied)"}
    assert found.failures_of({".wav"}) == found.failures
    assert files(found) == ([] if locked == "in" else ["in/a.wav", "in/z/c.wav"])
