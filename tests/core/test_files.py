"""Sources and destinations: what cannot be read or written is said before any work."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from soundloom.core import files
from soundloom.core.files import check_file_destination, check_folder_destination, open_input, open_output


@pytest.mark.parametrize(
    ("source", "kind", "message"),
    [
        ("gone.loom", FileNotFoundError, "no such file: gone.loom"),
        (".", IsADirectoryError, "give the path of one .loom file"),
        (None, TypeError, "None is no .loom file; give a path"),
        (io.StringIO("text"), TypeError, "open the .loom file with mode 'rb'"),
    ],
)
def test_sources_that_cannot_be_read(
    source: object, kind: type[Exception], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(kind, match=message), open_input(source):
        pass


def test_files_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "report.json"
    assert check_file_destination(target) == target
    target.write_text("{}")
    with pytest.raises(FileExistsError, match="report.json already exists.*--force"):
        check_file_destination(target)
    assert check_file_destination(target, force=True) == target
    with pytest.raises(FileNotFoundError, match="mkdir -p"):
        check_file_destination(tmp_path / "no" / "x.json")
    with pytest.raises(IsADirectoryError, match=r"for example .*sound\.loom"):
        check_file_destination(tmp_path, example="sound.loom", force=True)
    monkeypatch.setattr(files.os, "access", lambda path, mode: False)  # root may write everywhere
    with pytest.raises(PermissionError, match="is not writable; choose another one"):
        check_file_destination(target, force=True)


def test_folders_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    new = tmp_path / "a" / "b"
    assert check_folder_destination(new) == new
    assert not new.exists()
    assert check_folder_destination(tmp_path) == tmp_path  # it is empty
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(FileExistsError, match="is not empty; .*--force"):
        check_folder_destination(tmp_path)
    assert check_folder_destination(tmp_path, force=True) == tmp_path
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileExistsError, match="is not empty"):
        check_folder_destination(".")
    assert check_folder_destination("new") == Path("new")
    for target in (file, file / "below"):
        with pytest.raises(NotADirectoryError, match="is a file"):
            check_folder_destination(target, force=True)
    monkeypatch.setattr(files.os, "access", lambda path, mode: False)
    with pytest.raises(PermissionError, match="is not writable"):
        check_folder_destination(new)


def test_an_output_is_whole_or_not_there_and_never_its_source(tmp_path: Path) -> None:
    source, target = tmp_path / "a", tmp_path / "b"
    source.write_bytes(b"old")
    with open_output(target, source, force=False) as (name, stream):
        stream.write(b"new")
        assert name == str(target)
        assert not target.exists()
    assert target.read_bytes() == b"new"
    os.link(source, tmp_path / "same")
    with (
        pytest.raises(FileExistsError, match="is the source itself"),
        open_output(tmp_path / "same", source, force=True),
    ):
        pass
    pipe = io.BytesIO()
    with open_output(pipe, source, force=False) as (name, stream):
        assert stream is pipe
        assert name == "the stream"
