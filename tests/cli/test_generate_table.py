"""`soundloom generate --batch`: tables, taking them up again, what is never overwritten."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import soundfile

from soundloom.core.sound_tags import read_tags
from soundloom.gen.pipeline import AudioGen
from tests.cli.running import refused, run

TINY = Path(__file__).resolve().parents[1] / "fixtures" / "audiogen_tiny"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def batch(text: str, *words: object, name: str = "t.csv") -> int:
    Path(name).write_text(text, encoding="utf-8")
    return run("generate", "--batch", name, "-o", "out", *words)


def manifest() -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path("out/manifest.jsonl").read_text().splitlines()]


def changed(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().err


TABLE = "prompt,duration,seed,file\na dog,0.2,1,dog.wav\nrain,0.3,2,weather/rain.flac\nrain,,3,\n"


@pytest.mark.parametrize("jobs", [1, 3])
def test_a_sound_for_every_row(jobs: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert batch(TABLE, "--jobs", jobs, "--duration", 0.4) == 0
    lengths = {"dog.wav": 0.2, "weather/rain.flac": 0.3, "rain.wav": 0.4}
    for file, seconds in lengths.items():
        assert soundfile.info(f"out/{file}").duration == pytest.approx(seconds)
    entries = {entry["file"]: entry for entry in manifest()}
    assert entries.keys() == lengths.keys()
    assert entries["dog.wav"]["seed"] == 1
    assert entries["dog.wav"]["request"]["settings"]["duration"] == 0.2
    assert "3 rows made, 0 kept, 0 failed" in capsys.readouterr().out
    run("generate", "a dog", "--seed", 1, "--duration", 0.2, "-o", "alone.wav", "-q")
    assert (soundfile.read("alone.wav")[0] == soundfile.read("out/dog.wav")[0]).all()
    assert run("generate", "--again", "out/weather/rain.flac", "-o", "again.flac", "--model", "foley") == 0
    assert Path("again.flac").read_bytes() == Path("out/weather/rain.flac").read_bytes()


def test_what_is_finished_is_kept_and_what_is_missing_made(capsys: pytest.CaptureFixture[str]) -> None:
    assert batch(TABLE, "-q") == 0
    before = {path: path.stat().st_mtime_ns for path in Path("out").rglob("*.*")}
    Path("out/dog.wav").unlink()
    assert batch(TABLE + "wind,0.2,,\n") == 0
    assert "2 rows made, 2 kept, 0 failed" in capsys.readouterr().out
    after = {path: path.stat().st_mtime_ns for path in Path("out").rglob("*.*")}
    same = {path.name for path in before if after[path] == before[path]}
    assert same == {"rain.flac", "rain.wav"}
    assert batch(TABLE + "wind,0.2,,\n") == 0
    assert "0 rows made, 4 kept, 0 failed" in capsys.readouterr().out, "a seed that was drawn is as good"


@pytest.mark.parametrize(
    ("change", "words", "why"),
    [
        ("a dog,0.2,9,dog.wav", (), "other settings (seed was 1 and is 9)"),
        ("a cat,0.2,1,dog.wav", (), 'other settings (prompt was "a dog" and is "a cat")'),
        ("a dog,0.4,1,dog.wav", (), "other settings (duration was 0.2 and is 0.4)"),
        ("a dog,0.2,1,dog.wav", ("--subtype", "PCM_24"), 'subtype was null and is "PCM_24"'),
        ("a dog,0.2,1,dog.wav", ("--loudness", -30), "loudness was null and is -30.0"),
    ],
)
def test_what_was_made_otherwise_is_named_and_kept(
    change: str, words: tuple[object, ...], why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    batch("prompt,duration,seed,file\na dog,0.2,1,dog.wav\n", "-q")
    before = Path("out/dog.wav").read_bytes()
    table = f"prompt,duration,seed,file\n{change}\nwind,0.2,1,wind.wav\n"
    assert batch(table, *words) == 2
    assert f"t.csv, line 2: dog.wav: it was made with {why}" in (said := changed(capsys)) or why in said
    assert "--force" in said
    assert Path("out/dog.wav").read_bytes() == before
    assert Path("out/wind.wav").exists(), "the rest goes on"
    assert batch(table, *words, "--force", "-q") == 0
    assert Path("out/dog.wav").read_bytes() != before


def test_another_precision_is_another_sound(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--model", TINY, "--text-encoder", TINY / "t5", "-q")
    table = "prompt,duration,seed,file\na dog,0.2,1,dog.wav\n"
    assert batch(table, *words) == 0
    assert batch(table, *words, "--quantization", "bf16") == 2
    assert 'other settings (quantization was null and is "bf16")' in changed(capsys)
    assert batch(table, *words, "--quantization", "bf16", "--force") == 0
    assert batch(table, *words) == 2
    assert 'other settings (quantization was "bf16" and is null)' in changed(capsys)


def test_files_of_others_are_never_replaced(capsys: pytest.CaptureFixture[str]) -> None:
    Path("out").mkdir()
    Path("out/dog.wav").write_bytes(b"mine")
    assert batch(TABLE, "-q") == 2
    assert "dog.wav: it is already there, and not of this table" in changed(capsys)
    assert Path("out/dog.wav").read_bytes() == b"mine"
    Path("out/rain.wav").write_bytes(b"changed")
    assert batch(TABLE, "-q") == 2
    assert "rain.wav: it was changed since it was made" in changed(capsys)


def test_bad_rows_are_named_and_the_others_made(capsys: pytest.CaptureFixture[str]) -> None:
    table = (
        "prompt,duration,seed,file\nrain,abc,1,\n,1,1,\nok,0.2,1,ok.wav\nx,0.2,1,../x.wav\ny,0.2,1,ok.wav\n"
        "z,0.001,1,\n"
    )
    assert batch(table, "-q") == 2
    said = changed(capsys)
    for part in (
        "t.csv, line 2: duration is 'abc'",
        "t.csv, line 3: it has no prompt",
        "t.csv, line 5: its file '../x.wav' is outside",
        "t.csv, line 6: its file ok.wav is that of line 4, too",
        "t.csv, line 7: duration is 0.001",
        "5 of 6 rows could not be done",
    ):
        assert part in said
    assert sorted(path.name for path in Path("out").iterdir()) == ["manifest.jsonl", "ok.wav"]
    assert not Path("x.wav").exists()


def test_a_row_that_fails_while_it_is_made(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = AudioGen.generate

    def generate(self: AudioGen, prompt: str, *args: Any, **settings: Any) -> Any:
        if prompt == "rain":
            raise RuntimeError("the device is gone")
        return real(self, prompt, *args, **settings)

    monkeypatch.setattr(AudioGen, "generate", generate)
    assert batch(TABLE, "-q", "--jobs", 2) == 2
    assert "t.csv, line 3: RuntimeError: the device is gone" in changed(capsys)
    assert [entry["file"] for entry in manifest()] == ["dog.wav"]


def test_several_sounds_a_row_and_the_best_of_several() -> None:
    lines = [
        {"prompt": "rain", "num_samples": 2, "duration": 0.2, "file": "r.ogg"},
        {"prompt": "a dog", "candidates": 2, "duration": 0.2},
    ]
    assert batch("\n".join(map(json.dumps, lines)), "-q", name="t.jsonl") == 0
    assert sorted(path.name for path in Path("out").glob("*.*")) == [
        "a-dog.wav",
        "manifest.jsonl",
        "r-2.ogg",
        "r.ogg",
    ]
    Path("out/r-2.ogg").unlink()
    assert batch("\n".join(map(json.dumps, lines)), "-q", name="t.jsonl") == 0
    assert Path("out/r-2.ogg").exists()


def test_options_hold_for_all(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--no-metadata", "--sample-rate", 8000, "--subtype", "pcm_24", "--guidance-end", 1.5, "-q")
    assert batch("prompt,duration\na secret,0.2\n", *words) == 0
    found = soundfile.info("out/a-secret.wav")
    assert (found.samplerate, found.subtype) == (8000, "PCM_24")
    assert "secret" not in str(read_tags(Path("out/a-secret.wav")))
    assert manifest()[0]["request"]["settings"]["guidance_scale"][1] == 1.5


def test_a_manifest_that_broke_off_is_gone_on_with() -> None:
    assert batch(TABLE, "-q") == 0
    path = Path("out/manifest.jsonl")
    path.write_text(path.read_text()[:-30] if path.read_text().endswith("\n") else "")
    first, second = path.read_text().splitlines()[:2]
    lost = json.loads(first)["file"], json.loads(second)["file"]
    Path("out/rain.wav").unlink()
    assert batch(TABLE, "-q") == 0
    lines = path.read_text().splitlines()
    assert json.loads(lines[-1])["file"] not in lost
    assert len(lines) == 4


def test_links_do_not_lead_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "far").mkdir()
    Path("out").mkdir()
    Path("out/link").symlink_to(tmp_path / "far")
    assert batch("prompt,file,duration\na,link/a.wav,0.2\n", "-q") == 2
    assert "its folder is a link that leads out" in changed(capsys)
    assert list((tmp_path / "far").iterdir()) == []


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (("--batch", "gone.csv", "-o", "out"), "no such file: gone.csv"),
        (("--batch", ".", "-o", "out"), "is a folder"),
        (("--batch", "t.csv"), "name it with -o"),
        (("--batch", "t.csv", "-o", "t.csv"), "t.csv is a file"),
        (("--batch", "t.csv", "-o", "out", "a dog"), "one of the three (given: PROMPT and --batch)"),
        (("--batch", "t.csv", "-o", "out", "--again", "a.wav"), "given: --batch and --again"),
        (("--batch", "t.csv", "-o", "out", "--stream"), "leave out --stream"),
        (("--batch", "t.csv", "-o", "out", "--loudness", 3), "loudness is 3"),
        (("--batch", "empty.csv", "-o", "out"), "empty.csv is empty"),
        (("--batch", "own.csv", "-o", "out"), "file, duration, seed, num_samples, candidates"),
        (("--batch", "t.csv", "-o", "out", "--sample-rate", 1), "cannot resample 16000 to 1 Hz"),
        (("--batch", "t.csv", "-o", "out", "--jobs", 0), "--jobs"),
        ((), "given: none"),
    ],
)
def test_what_is_asked_wrongly(
    words: tuple[object, ...], part: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("t.csv").write_text("prompt\na\n")
    Path("own.csv").write_text("prompt,volume\na,1\n")
    Path("empty.csv").write_bytes(b"\xef\xbb\xbf")
    assert part in refused(capsys, "generate", *words)


def test_stopped_by_hand_and_taken_up_again(tmp_path: Path) -> None:
    rows = "".join(f"rain {number},1,{number},{number}.wav\n" for number in range(400))
    Path("t.csv").write_text(f"prompt,duration,seed,file\n{rows}")
    words = ["--model", str(TINY), "--text-encoder", str(TINY / "t5"), "--device", "cpu"]
    code = "import sys; from soundloom.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", code, "generate", "--batch", "t.csv", "-o", "out", *words]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    path = tmp_path / "out" / "manifest.jsonl"
    while process.poll() is None and not (path.exists() and path.read_text().count("\n") >= 2):
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "stopped" in err
    done = manifest()
    assert 2 <= len(done) < 400
    files = {name for name in os.listdir("out") if name.endswith(".wav")}
    assert {entry["file"] for entry in done} <= files
    assert not [name for name in os.listdir("out") if name.startswith(".")]
    rows = "".join(rows.splitlines(keepends=True)[: len(files) + 1])
    Path("t.csv").write_text(f"prompt,duration,seed,file\n{rows}")
    assert run("generate", "--batch", "t.csv", "-o", "out", *words, "-q") == 0
    assert len(manifest()) == len(done) + 1
