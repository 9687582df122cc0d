"""One file that fails ends no command: it is named with its reason, the others are done, the status tells."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from soundloom.codecs import compression
from soundloom.evaluation import evaluate_sounds
from soundloom.recipes.data import AudioDataModule, prepare_folder
from soundloom.recipes.data.audiogen_module import AudioGenDataModule, SegmentSettings
from soundloom.recipes.data.sources import AudioFiles
from tests.cli.running import refused, run

ODD_NAME = "caf\udce9.wav"  # b"caf\xe9.wav"


def broken_link(path: Path) -> None:
    path.symlink_to("nowhere.wav")


def link_to_itself(path: Path) -> None:
    path.symlink_to(path.name)


def named_pipe(path: Path) -> None:
    os.mkfifo(path)


def words(path: Path) -> None:
    path.write_text("no sound")


def nothing(path: Path) -> None:
    path.write_bytes(b"")


def half_a_header(path: Path) -> None:
    path.write_bytes(b"RIFF\xff\xff\xff\xffWAVEfmt ")


ODD_FILES: list[Callable[[Path], None]] = [
    broken_link,
    link_to_itself,
    named_pipe,
    words,
    nothing,
    half_a_header,
]


@pytest.fixture
def odd(sounds: Path) -> Path:
    """Three sounds with captions, and one of every kind of odd file, all with captions."""
    rows = []
    for make in ODD_FILES:
        make(sounds / f"{make.__name__}.wav")
        rows.append(f"{make.__name__}.wav,a dog barks\n")
    with open(sounds / "metadata.csv", "a") as table:
        table.writelines(rows)
    return sounds


NAMES = {f"{make.__name__}.wav" for make in ODD_FILES}


def test_encode_and_decode_do_the_others(
    odd: Path, models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, back = tmp_path / "out", tmp_path / "back"
    assert run("encode", odd, out, "--codec", models / "codec", "-q") == 2
    err = capsys.readouterr().err
    assert sorted(path.name for path in out.iterdir()) == ["bell.loom", "dog.loom", "rain.loom"]
    assert all(err.count(f"{odd / name}") == 1 for name in NAMES)
    assert "Traceback" not in err
    assert f"{len(NAMES)} of {len(NAMES) + 3} files could not be done" in err
    (out / "bad.loom").symlink_to("gone.loom")
    (out / "junk.loom").write_bytes(b"\x00" * 50)
    assert run("decode", out, back, "--codec", models / "codec", "-q") == 2
    assert sorted(path.name for path in back.iterdir()) == ["bell.wav", "dog.wav", "rain.wav"]
    err = capsys.readouterr().err
    assert "bad.loom: a broken link: it leads to gone.loom" in err
    assert "2 of 5 files" in err
    assert run("info", out / "junk.loom", out / "dog.loom") == 2
    assert "0.500 s" in capsys.readouterr().out


def test_what_a_shell_makes_of_a_pattern_is_like_a_folder(
    odd: Path, models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sources = sorted(odd.glob("*.wav"))
    assert run("encode", *sources, tmp_path / "out", "--codec", models / "codec", "-q") == 2
    assert len(list((tmp_path / "out").iterdir())) == 3
    assert "named_pipe.wav: a named pipe, not a file" in capsys.readouterr().err
    single = refused(
        capsys, "encode", odd / "broken_link.wav", tmp_path / "a.loom", "--codec", models / "codec"
    )
    assert "broken_link.wav: a broken link: it leads to nowhere.wav" in single


def test_prepare_lists_them(odd: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("prepare", odd, "--report", tmp_path / "report.json") == 1
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["usable"] == 3
    assert report["counts"]["unreadable"] == len(NAMES)
    assert {entry["file"] for entry in report["problems"] if entry["problem"] == "unreadable"} == NAMES
    assert "3 of 6 sounds usable" in capsys.readouterr().out


def test_evaluate_keeps_the_figures_of_the_others(
    odd: Path, models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "report.json"
    for what in (
        ["--reference", odd],
        ["--codec", models / "codec"],
        ["--model", "foley", "--duration", 0.2],
    ):
        assert (
            run("evaluate", odd, *what, "--classifier", models / "classifier", "-o", out, "--force", "-q")
            == 1
        )
        report = json.loads(out.read_text())
        assert {Path(entry["file"]).name for entry in report["failed"]} == NAMES
        assert all(entry["reason"] for entry in report["failed"])
        assert report["sounds"] == report["fad"]["sounds"] == report["kl"]["pairs"] == 3
        printed = capsys.readouterr().out
        assert "FAD" in printed
        assert "left out: " in printed
        assert "broken_link.wav  (a broken link" in printed


def test_bench_codecs_compares_on_the_others(
    odd: Path, models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen = ("--codecs", f"{models / 'codec'}:0.2", "--classifier", models / "classifier", "--opus", "none")
    assert run("bench-codecs", odd, *chosen, "-o", tmp_path / "bench") == 1
    report = json.loads((tmp_path / "bench" / "bench.json").read_text())
    assert report["sounds"] == 3
    assert len(report["failed"]) == len(NAMES)
    assert f"left out: {len(NAMES)}" in capsys.readouterr().out


def test_training_reads_the_others(odd: Path, caplog: pytest.LogCaptureFixture) -> None:
    found = AudioFiles(odd, 16000)
    assert sorted(found.names) == ["bell.wav", "dog.wav", "rain.wav"]
    assert all(any(name in message for message in caplog.messages) for name in NAMES)
    caplog.clear()
    crops = AudioDataModule([str(odd)], val_folders=[str(odd)], segment_seconds=0.1, batch_size=2)
    crops.setup()
    assert next(iter(crops.train_dataloader())).shape == (2, 1, 1600)
    data = AudioGenDataModule([str(odd)], val_folders=[str(odd)], segment=SegmentSettings(0.2), batch_size=2)
    data.setup()
    batches = list(data.val_dataloader())
    assert {prompt for batch in batches for prompt in batch["prompts"]} == {
        "a church bell",
        "a dog barks",
        "heavy rain",
    }


def test_nothing_but_odd_files_is_one_clear_error(
    tmp_path: Path, models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "odd"
    folder.mkdir()
    words(folder / "a.wav")
    message = refused(capsys, "evaluate", folder, "--classifier", models / "classifier", "-q")
    assert "none of the 1 sounds can be measured" in message
    assert "a.wav" in message
    broken_link(folder / "b.wav")
    assert run("prepare", folder, "--no-captions") == 2
    (folder / "a.wav").unlink()
    assert "1 cannot be read, the first: b.wav" in refused(capsys, "prepare", folder)


# ------------------------------------------------------------------ exceptions that nobody listed


@pytest.mark.parametrize("error", [KeyError("x"), PermissionError(13, "Permission denied")])
def test_whatever_a_decoder_raises_is_the_matter_of_one_file(
    error: Exception,
    sounds: Path,
    models: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def spoil(module: Any, name: str) -> None:
        real = getattr(module, name)

        def work(path: Any, *others: Any, **settings: Any) -> Any:
            if Path(path).name == "dog.wav":
                raise error
            return real(path, *others, **settings)

        monkeypatch.setattr(module, name, work)

    spoil(prepare_folder, "_decode")
    assert run("prepare", sounds) == 1
    printed = capsys.readouterr().out
    assert "2 of 3 sounds usable" in printed
    assert "  dog.wav  (" in printed
    spoil(evaluate_sounds, "open_sound")
    report = tmp_path / "report.json"
    assert (
        run(
            "evaluate",
            sounds,
            "--codec",
            models / "codec",
            "--classifier",
            models / "classifier",
            "-o",
            report,
        )
        == 1
    )
    [failed] = json.loads(report.read_text())["failed"]
    assert failed["file"] == str(sounds / "dog.wav")
    assert str(error) in failed["reason"]
    spoil(compression, "encode_file")
    spoil(compression, "sound_seconds")
    capsys.readouterr()
    assert run("encode", sounds, tmp_path / "out", "--codec", models / "codec") == 2
    assert len(list((tmp_path / "out").iterdir())) == 2
    assert f"soundloom: {sounds / 'dog.wav'}: " in capsys.readouterr().err


def test_an_interruption_of_evaluate_keeps_its_figures(
    sounds: Path, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, out = evaluate_sounds.open_sound, tmp_path / "report.json"

    def open_sound(path: Path, *others: Any, **settings: Any) -> Any:
        if path.name == "rain.wav":
            raise KeyboardInterrupt
        return real(path, *others, **settings)

    monkeypatch.setattr(evaluate_sounds, "open_sound", open_sound)
    words = (
        "evaluate",
        sounds,
        "--codec",
        models / "codec",
        "--classifier",
        models / "classifier",
        "-q",
        "-o",
        out,
    )
    assert run(*words) == 130
    report = json.loads(out.read_text())
    assert report["sounds"] == report["kl"]["pairs"] == 2
    assert report["stopped"] is True
    assert "stopped after 2 of 3 sounds" in report["notes"]


# ------------------------------------------------------------------ names


def test_a_name_that_is_not_utf8_works_everywhere_and_is_shown_escaped(
    tmp_path: Path, models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for name, hertz in ((ODD_NAME, 300), ("b.wav", 400)):
        with open(folder / name, "wb") as file:
            soundfile.write(file, 0.3 * np.sin(np.arange(8000) * hertz / 16000), 16000, format="WAV")
    (folder / "metadata.csv").write_bytes(b"file_name,text\ncaf\xe9.wav,a dog barks\nb.wav,rain\n")
    assert run("encode", folder, tmp_path / "out", "--codec", models / "codec") == 0
    assert r"caf\xe9.loom" in capsys.readouterr().out
    assert run("decode", tmp_path / "out", tmp_path / "back", "--codec", models / "codec") == 0
    assert soundfile.info(os.fsencode(tmp_path / "back" / ODD_NAME)).frames == 8000
    report = tmp_path / "report.json"
    assert run("prepare", folder, "-o", tmp_path / "shards", "--shards", "--report", report) == 0
    assert run("prepare", folder, "-o", tmp_path / "codes", "--codec", models / "codec", "-q") == 0
    entries = (tmp_path / "codes" / "metadata.jsonl").read_text().splitlines()
    assert {json.loads(entry)["file_name"] for entry in entries} == {ODD_NAME, "b.wav"}
    assert (
        run("evaluate", folder, "--codec", models / "codec", "--classifier", models / "classifier", "-q") == 0
    )
    (folder / ODD_NAME).write_bytes(b"broken")
    capsys.readouterr()
    assert run("prepare", folder, "--report", report, "--force") == 1
    assert r"  caf\xe9.wav  (" in capsys.readouterr().out
    assert json.loads(report.read_text())["problems"][0]["file"] == ODD_NAME
    evaluated = (
        "evaluate",
        folder,
        "--codec",
        models / "codec",
        "--classifier",
        models / "classifier",
        "-o",
        report,
    )
    assert run(*evaluated, "--force") == 1
    assert r"caf\xe9.wav  (" in capsys.readouterr().out
    assert json.loads(report.read_text())["failed"][0]["file"].endswith(ODD_NAME)


def test_debug_shows_the_traceback_of_a_file(
    sounds: Path, models: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "soundloom")  # both levels are restored at the end
    caplog.handler.setLevel(logging.NOTSET)
    words(sounds / "dog.wav")
    command = ("encode", sounds, tmp_path / "out", "--codec", models / "codec", "-q")
    assert run(*command) == 2
    assert "Traceback" not in caplog.text
    assert run("--debug", *command, "-f") == 2
    assert "Traceback" in caplog.text
    assert "dog.wav" in caplog.text
