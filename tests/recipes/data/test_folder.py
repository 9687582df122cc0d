"""Folders of recordings: every layout is found, what is wrong is named, parts are read as they sound."""

from __future__ import annotations

import io
import json
import logging
import os
import unicodedata
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from soundloom.core.audio import AudioError
from soundloom.recipes.data.folder import (
    BAD_CAPTIONS,
    MAX_SIDE_CAR_BYTES,
    MISSING_FILE,
    UNREADABLE,
    list_folder,
    read_folder,
    read_part,
    side_car_captions,
)

RATE = 8000


def sound(
    path: Path, seconds: float = 0.5, hertz: float = 440.0, rate: int = RATE, channels: int = 1
) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    t = np.arange(round(seconds * rate)) / rate
    wave = 0.5 * np.sin(2 * np.pi * hertz * t)
    soundfile.write(path, np.stack([wave] * channels, axis=1), rate)
    return path


def found(folder: Path) -> dict[str, tuple[str, ...]]:
    return {recording.name: recording.captions for recording in list_folder(folder).recordings}


def test_a_table_in_csv(tmp_path: Path) -> None:
    sound(tmp_path / "a.wav")
    sound(tmp_path / "deep" / "b.FLAC")
    sound(tmp_path / "c.ogg")
    (tmp_path / "metadata.csv").write_text(
        'file_name,text,licence\na.wav,"a dog, barking",CC0\ndeep/b.FLAC,rain,\na.wav,hound,\na.wav,hound,\n',
        encoding="utf-8-sig",  # as spreadsheets write it
    )
    assert found(tmp_path) == {
        "a.wav": ("a dog, barking", "hound"),
        "c.ogg": (),
        "deep/b.FLAC": ("rain",),
    }
    assert list_folder(tmp_path).problems == []


def test_tables_in_jsonl_count_from_their_own_folder(tmp_path: Path) -> None:
    sound(tmp_path / "train" / "a.wav")
    sound(tmp_path / "test" / "a.wav")
    rows = [{"file_name": "a.wav", "text": ["rain", "a shower"]}]
    (tmp_path / "train" / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n\n")
    (tmp_path / "test" / "metadata.csv").write_text("file_name,tags\na.wav,Dog|Bark\n")
    assert found(tmp_path) == {"test/a.wav": ("dog bark",), "train/a.wav": ("rain", "a shower")}


def test_side_cars(tmp_path: Path) -> None:
    for name in ("a", "b", "c", "d", "e"):
        sound(tmp_path / f"{name}.wav")
    (tmp_path / "a.json").write_text(json.dumps({"description": "a dog", "keywords": "x", "key": "C"}))
    (tmp_path / "a.txt").write_text("not this one")
    (tmp_path / "b.txt").write_text("rain\n\n a  shower \n")
    (tmp_path / "c.json").write_text(json.dumps({"title": None}))
    (tmp_path / "c.txt").write_text("from the second best")
    (tmp_path / "d.txt").write_text("not this one either")
    (tmp_path / "metadata.csv").write_text("file_name,text\nd.wav,from the table\n")
    assert found(tmp_path) == {
        "a.wav": ("a dog",),
        "b.wav": ("rain", "a shower"),
        "c.wav": ("from the second best",),
        "d.wav": ("from the table",),
        "e.wav": (),
    }


def test_hidden_files_and_folders_are_passed_over(tmp_path: Path) -> None:
    sound(tmp_path / "a.wav")
    for name in ("._a.wav", ".cache/b.wav", "deep/.old/c.wav"):
        sound(tmp_path / name)
    assert list(found(tmp_path)) == ["a.wav"]


def test_what_is_wrong_with_captions_is_listed(tmp_path: Path) -> None:
    for name in ("a", "b", "c", "d"):
        sound(tmp_path / f"{name}.wav")
    (tmp_path / "metadata.csv").write_text(
        "file_name,text\ngone.wav,x\n../secret.wav,x\n/etc/passwd,x\nnotes.pdf,x\n,x\na.wav,fine\n"
    )
    (tmp_path / "b.json").write_text("{broken")
    (tmp_path / "c.txt").write_bytes(b"caf\xe9")
    (tmp_path / "d.json").write_text("[1]")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "metadata.jsonl").write_text('{"file_name": "a.wav"}\nnonsense\n')
    problems = {problem.file: problem for problem in list_folder(tmp_path).problems}
    for file, kind, detail in (
        ("gone.wav", MISSING_FILE, "line 2: no such sound file"),
        ("../secret.wav", MISSING_FILE, "line 3: outside the folder"),
        ("/etc/passwd", MISSING_FILE, "line 4: outside the folder"),
        ("notes.pdf", MISSING_FILE, "known: .wav"),
        ("metadata.csv", BAD_CAPTIONS, "line 6: it lacks file_name"),
        ("b.json", BAD_CAPTIONS, "Expecting"),
        ("c.txt", BAD_CAPTIONS, "line 1 is not UTF-8"),
        ("d.json", BAD_CAPTIONS, "JSON list"),
        ("sub/metadata.jsonl", BAD_CAPTIONS, "line 2: it is not valid JSON"),
    ):
        assert problems[file].kind == kind, problems[file]
        assert detail in problems[file].detail, problems[file]
    assert len(problems) == 10
    assert problems["sub/a.wav"].kind == MISSING_FILE
    assert found(tmp_path)["a.wav"] == ("fine",)


def test_a_table_without_file_names_is_one_problem(tmp_path: Path) -> None:
    sound(tmp_path / "a.wav")
    (tmp_path / "metadata.csv").write_text("id;text\n1;rain\n2;wind\n")
    [problem] = list_folder(tmp_path).problems
    assert "lacks file_name; it has id;text" in problem.detail


def test_a_huge_side_car_is_no_caption(tmp_path: Path) -> None:
    sound(tmp_path / "a.wav")
    (tmp_path / "a.txt").write_bytes(b"x" * (MAX_SIDE_CAR_BYTES + 1))
    [problem] = list_folder(tmp_path).problems
    assert "larger than" in problem.detail
    assert found(tmp_path)["a.wav"] == ()


def test_side_car_bytes() -> None:
    assert side_car_captions("\ufeffcafé\n".encode(), ".txt") == ("café",)
    with pytest.raises(ValueError, match="JSON str"):
        side_car_captions(b'"x"', ".json")


def test_reading_for_training(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    sound(tmp_path / "a.wav")
    sound(tmp_path / "b.wav")
    with pytest.raises(ValueError, match=r"none of the 2 sounds .* metadata\.csv .* .captions: false"):
        read_folder(tmp_path)
    assert len(read_folder(tmp_path, captions=False)) == 2
    (tmp_path / "metadata.csv").write_text("file_name,text\na.wav,rain\nc.wav,wind\n")
    with caplog.at_level(logging.WARNING):
        assert [recording.name for recording in read_folder(tmp_path)] == ["a.wav"]
    [message] = caplog.messages
    assert "1 of 2 sounds are left out" in message
    assert "soundloom prepare" in message


def test_folders_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(ValueError, match="holds no sound file; known: .wav"):
        read_folder(tmp_path)
    with pytest.raises(FileNotFoundError, match="check the spelling"):
        read_folder(tmp_path / "none")
    with pytest.raises(NotADirectoryError, match=r"notes\.txt is a file"):
        read_folder(tmp_path / "notes.txt")


def test_part_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "ramp.wav"
    ramp = np.arange(16000) / 32768
    soundfile.write(path, np.stack([ramp, -ramp / 2], axis=1), RATE)
    whole = read_part(path, RATE, 2)
    np.testing.assert_allclose(whole.numpy(), [ramp, -ramp / 2], atol=1e-4)
    torch.testing.assert_close(read_part(path, RATE, 2, seconds=0.25, start=1.0), whole[:, 8000:10000])
    torch.testing.assert_close(read_part(path, RATE, 2, seconds=0.25, place=1.0), whole[:, 14000:])
    torch.testing.assert_close(read_part(path, RATE, 2, seconds=0.25, place=0.5), whole[:, 7000:9000])
    torch.testing.assert_close(read_part(path, RATE, 1, seconds=9.0), whole.mean(0, keepdim=True))
    assert read_part(path, RATE, 2, seconds=1.0, start=1.5).shape == (2, 4000)
    with open(path, "rb") as file:
        torch.testing.assert_close(read_part(io.BytesIO(file.read()), RATE, 2), whole)


def test_a_part_is_resampled_to_the_length_asked_for(tmp_path: Path) -> None:
    path = sound(tmp_path / "tone.flac", seconds=3.0, rate=44100, channels=1)
    part = read_part(path, 16000, 2, seconds=2.0, place=0.3)
    assert part.shape == (2, 32000)
    assert int(torch.fft.rfft(part[0]).abs().argmax()) == 880  # 440 Hz in bins of half a hertz


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    (tmp_path / "text.wav").write_text("no sound")
    soundfile.write(tmp_path / "empty.wav", np.zeros(0), RATE)
    soundfile.write(tmp_path / "nan.wav", np.full(100, np.nan, np.float32), RATE, subtype="FLOAT")
    for name in ("text.wav", "empty.wav", "nan.wav", "none.wav"):
        with pytest.raises(AudioError, match=name):
            read_part(tmp_path / name, RATE, 1)
    with pytest.raises(AudioError, match="sample 7"):
        read_part(io.BytesIO(b"junk"), RATE, 1, name="sample 7")
    with pytest.raises(AudioError, match="no samples at 5 s"):
        read_part(sound(tmp_path / "a.wav"), RATE, 1, start=5.0)


# ------------------------------------------------------------------ links, odd names, reasons


def test_linked_folders_are_found_once_and_broken_links_are_named(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    sound(folder / "a.wav")
    sound(tmp_path / "real" / "b.wav")
    (tmp_path / "real" / "metadata.csv").write_text("file_name,text\nb.wav,rain\n")
    (folder / "more").symlink_to("../real")
    (folder / "self").symlink_to(".")
    (folder / "again").symlink_to("../real")
    (folder / "gone.wav").symlink_to("nowhere.wav")
    (folder / "a.txt").symlink_to("nowhere.txt")
    (folder / "b.pdf").symlink_to("nowhere.pdf")
    os.mkfifo(folder / "pipe.flac")
    (folder / "metadata.csv").write_text(
        "file_name,text\nself/a.wav,a tone\nmore/b.wav,a shower\nagain/b.wav,a shower\ngone.wav,x\n"
    )
    listing = list_folder(folder)
    assert found(folder) == {"a.wav": ("a tone",), "again/b.wav": ("rain", "a shower")}
    problems = {(problem.file, problem.kind): problem.detail for problem in listing.problems}
    assert problems.keys() == {
        ("gone.wav", UNREADABLE),
        ("gone.wav", MISSING_FILE),
        ("a.txt", BAD_CAPTIONS),
        ("pipe.flac", UNREADABLE),
    }
    assert "nowhere.wav" in problems["gone.wav", UNREADABLE]


def test_a_folder_of_nothing_but_problems_says_so(tmp_path: Path) -> None:
    (tmp_path / "a.wav").symlink_to("gone.wav")
    with pytest.raises(
        ValueError, match=r"holds no sound file.*1 cannot be read, the first: a\.wav: unreadable"
    ):
        list_folder(tmp_path).check()


@pytest.mark.parametrize("kind", ["csv", "jsonl", "txt", "json", "TXT"])
@pytest.mark.parametrize(("on_disk", "written"), [("NFD", "NFC"), ("NFC", "NFD")])
def test_names_that_look_the_same_are_the_same(kind: str, on_disk: str, written: str, tmp_path: Path) -> None:
    def name(form: str, suffix: str) -> str:
        return unicodedata.normalize(form, f"Vögel/grün.{suffix}")  # type: ignore[arg-type]

    sound(tmp_path / name(on_disk, "wav"))
    (tmp_path / name(written, kind)).parent.mkdir(exist_ok=True)
    if kind == "csv":
        (tmp_path / "metadata.csv").write_text(f"file_name,text\n{name(written, 'wav')},birds\n")
    elif kind == "jsonl":
        row = {"file_name": name(written, "wav"), "text": "birds"}
        (tmp_path / "Metadata.jsonl").write_text(json.dumps(row))
    else:
        (tmp_path / name(written, kind)).write_text('{"text": "birds"}' if kind == "json" else "birds")
    assert found(tmp_path) == {name(on_disk, "wav"): ("birds",)}
    assert list_folder(tmp_path).problems == []


def test_two_files_that_look_the_same_are_told_apart_or_named(tmp_path: Path) -> None:
    nfc, nfd = (unicodedata.normalize(form, "é.wav") for form in ("NFC", "NFD"))  # type: ignore[arg-type]
    sound(tmp_path / nfc)
    sound(tmp_path / nfd)
    (tmp_path / "metadata.csv").write_text(f"file_name,text\n{nfd},rain\n")
    assert found(tmp_path) == {nfc: (), nfd: ("rain",)}


def test_why_a_sound_has_no_caption_is_true(tmp_path: Path) -> None:
    for name in "abcdefg":
        sound(tmp_path / f"{name}.wav")
    sound(tmp_path / "sub" / "h.wav")
    rows = ["file_name,text", "a.wav,", 'b.wav,"open', "c.wav", "d.wav,rain"]
    (tmp_path / "metadata.csv").write_text("\n".join(rows) + "\n")
    (tmp_path / "e.json").write_text("{\n broken")
    (tmp_path / "f.txt").write_text("\n")
    (tmp_path / "sub" / "metadata.csv").write_text("name;text\nh.wav;x\n")
    reasons = {recording.name: recording.uncaptioned for recording in list_folder(tmp_path).recordings}
    for name, words in {
        "a.wav": "metadata.csv, line 2: text is empty",
        "b.wav": "metadata.csv, line 3: a quote is opened and not closed",
        "c.wav": "metadata.csv, line 4: it has 1 cell, but the first line has 2",
        "e.wav": "e.json cannot be used: Expecting property name enclosed in double quotes: line 2",
        "f.wav": "f.txt holds no caption",
        "g.wav": "in no metadata.csv, metadata.jsonl, .json or .txt",
        "sub/h.wav": "sub/metadata.csv cannot be used: line 1 lacks file_name",
    }.items():
        assert reasons[name].startswith(words), reasons[name]
    assert reasons["d.wav"] == ""


def test_a_name_that_is_not_utf8_is_found_with_its_caption(tmp_path: Path) -> None:
    with open(tmp_path / "caf\udce9.wav", "wb") as file:
        soundfile.write(file, np.sin(np.arange(4000) / 5), RATE, format="WAV")
    (tmp_path / "metadata.csv").write_bytes(b"file_name,text\ncaf\xe9.wav,a tone\n")
    assert found(tmp_path) == {"caf\udce9.wav": ("a tone",)}
    assert read_part(tmp_path / "caf\udce9.wav", RATE, 1).shape == (1, 4000)


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        (".json", b'{"text": "\\ud800"}'),
        (".json", b"[" * 100_000),
        (".txt", b"rain\ncaf\xe9\n"),
        (".csv", b'\x00"\xff,'),
        (".jsonl", b"\x00\xff{"),
    ],
)
def test_odd_bytes_beside_a_sound_are_one_problem(kind: str, content: bytes, tmp_path: Path) -> None:
    sound(tmp_path / "a.wav")
    sound(tmp_path / "b.wav")
    (tmp_path / "b.txt").write_text("wind")
    (tmp_path / ("metadata" + kind if "v" in kind or "l" in kind else f"a{kind}")).write_bytes(content)
    [problem] = list_folder(tmp_path).problems
    assert problem.kind == BAD_CAPTIONS
    assert kind == ".json" or "line " in problem.detail
    assert found(tmp_path) == {"a.wav": (), "b.wav": ("wind",)}
