"""Files and folders that have their name only when they are whole."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from soundloom.core.atomic import atomic_folder, atomic_path, atomic_write


def test_the_name_comes_with_the_whole(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"old")
    with atomic_write(path) as file:
        file.write(b"new")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_block_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"old")
    with pytest.raises(OSError, match="full"), atomic_write(path) as file:
        file.write(b"ne")
        raise OSError("full")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_durable_file_clears_away_what_killed_writers_left(tmp_path: Path) -> None:
    path, other = tmp_path / "x", tmp_path / "y"
    left = []
    for target in (path, path, other):
        with pytest.raises(OSError, match="killed"), atomic_path(target) as partial:
            left.append(partial.with_name(partial.name.replace(".part", "-killed.part")))
            left[-1].write_bytes(b"half")
            raise OSError("killed")
    for old in (left[0], left[2]):
        os.utime(old, (1, 1))
    with atomic_write(path, durable=True) as file:
        file.write(b"new")
    assert sorted(tmp_path.iterdir()) == sorted([path, left[1], left[2]])  # what is new may still be written


@pytest.mark.parametrize("existing", ["replace", "merge", "keep"])
def test_a_folder_comes_whole(tmp_path: Path, existing: str) -> None:
    path = tmp_path / "deep" / "folder"
    with atomic_folder(path, existing=existing, key_file="config") as partial:
        (partial / "config").write_text("1")
        assert not path.exists()
    assert (path / "config").read_text() == "1"
    (path / "notes").write_text("mine")
    (path / "old.weights").write_text("old")
    with pytest.raises(OSError, match="full"), atomic_folder(path, existing=existing) as partial:
        (partial / "config").write_text("half")
        raise OSError("full")
    assert (path / "config").read_text() == "1"
    with atomic_folder(path, existing=existing, key_file="config", outdated=("*.weights",)) as partial:
        (partial / "part").mkdir()
        (partial / "part" / "x").write_text("2")
        (partial / "config").write_text("2")
    found = {str(file.relative_to(path)): file.read_text() for file in path.rglob("*") if file.is_file()}
    assert (
        found
        == {
            "replace": {"config": "2", "part/x": "2"},
            "merge": {"config": "2", "part/x": "2", "notes": "mine"},
            "keep": {"config": "1", "notes": "mine", "old.weights": "old"},
        }[existing]
    )
    assert list(tmp_path.rglob(".*")) == []
    assert path.stat().st_mode & 0o777 == tmp_path.joinpath("deep").stat().st_mode & 0o777
