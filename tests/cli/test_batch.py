"""`soundloom encode`, `decode` and `info`: what they write and print, and what they refuse in which words."""

from __future__ import annotations

import copy
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from soundloom.codecs import describe_file
from soundloom.core.loudness import integrated_loudness
from tests.cli.running import refused, run
from tests.codecs.encodec.small import make_small
from tests.tiny_codecs import music2latent2, seanet, write_sound


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with two codecs and a sound in it."""
    monkeypatch.chdir(tmp_path)
    seanet().save_pretrained("codecs/tiny")
    music2latent2(discrete=True, channels=2).save_pretrained("codecs/latents")
    write_sound(tmp_path / "a.wav", 0.5, 16000, 2)
    return tmp_path


def encode(*words: object, codec: str = "codecs/tiny") -> int:
    return run("encode", *words, "--codec", codec)


def decode(*words: object, codec: str = "codecs/tiny") -> int:
    return run("decode", *words, "--codec", codec)


def test_there_and_back(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert encode("a.wav", "a.loom") == 0
    size = os.path.getsize("a.loom")
    expected = f"a.loom  0.50 s, {size} bytes, {16 * size / 1000:.2f} kbit/s, 2 channels mixed to mono\n"
    assert capsys.readouterr().out.endswith(expected)
    assert decode("a.loom", "b.flac") == 0
    assert "b.flac  0.50 s, 16000 Hz mono" in capsys.readouterr().out
    info = soundfile.info("b.flac")
    assert (info.frames, info.samplerate, info.channels) == (8000, 16000, 1)


def test_quiet_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert encode("a.wav", "a.loom", "-q") == decode("a.loom", "b.wav", "-q") == 0
    assert capsys.readouterr() == ("", "")


def test_options_reach_the_file(here: Path) -> None:
    assert encode("a.wav", "1.loom", "--bitrate", 0.8, "--entropy", "none") == 0
    header = describe_file("1.loom").header
    assert (header.shape, header.entropy) == ((2,), "none")
    assert encode("a.wav", "2.loom", "--codebooks", 1) == 0
    assert describe_file("2.loom").header.shape == (1,)
    assert encode("a.wav", "3.loom", "--precision", "int8", codec="codecs/latents") == 0
    header = describe_file("3.loom").header
    assert (header.kind, header.precision, header.channels) == ("latents", "int8", 2)
    assert decode("3.loom", "3.wav", codec="codecs/latents") == 0
    assert soundfile.info("3.wav").channels == 2
    assert decode("1.loom", "1.wav", "--start", 0.1, "--stop", 0.3, "--sample-rate", 8000) == 0
    assert (soundfile.info("1.wav").frames, soundfile.info("1.wav").samplerate) == (1600, 8000)


def test_folders(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("in/a.wav", "in/a.flac", "in/deep/b.ogg"):
        write_sound(here / name, 0.3)
    (here / "in" / "notes.txt").write_text("no sound")
    assert encode("in", "packed", "--jobs", 2) == 0
    packed = {"packed/a.wav.loom", "packed/a.flac.loom", "packed/deep/b.loom"}
    assert {str(path) for path in Path("packed").rglob("*.loom")} == packed
    assert len(capsys.readouterr().out.splitlines()) == 3
    assert decode("packed", "back", "--format", "flac", "--jobs", 2) == 0
    assert {str(path) for path in Path("back").rglob("*.*")} == {
        "back/a.wav.flac",
        "back/a.flac.flac",
        "back/deep/b.flac",
    }
    assert encode("in/**/*.ogg", "a.wav", "more") == 0
    assert {str(path) for path in Path("more").rglob("*.loom")} == {"more/deep/b.loom", "more/a.loom"}
    assert Path("more/deep/b.loom").read_bytes() == Path("packed/deep/b.loom").read_bytes()


def test_one_bad_file_does_not_stop_the_others(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_sound(here / "in" / "a.wav", 0.2)
    (here / "in" / "bad.wav").write_text("no sound")
    write_sound(here / "in" / "c.wav", 0.2)
    error = refused(capsys, "encode", "in", "out", "--codec", "codecs/tiny")
    assert "1 of 3 files could not be done" in error
    assert sorted(os.listdir("out")) == ["a.loom", "c.loom"]
    (here / "out" / "bad.loom").write_bytes(Path("out/a.loom").read_bytes()[:40])
    capsys.readouterr()
    assert decode("out", "back") == 2
    assert "soundloom: out/bad.loom, byte " in capsys.readouterr().err
    assert sorted(os.listdir("back")) == ["a.wav", "c.wav"]


def test_info(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    encode("a.wav", "a.loom", "-q")
    encode("a.wav", "b.loom", "-q", codec="codecs/latents")
    assert run("info", "a.loom") == 0
    text = capsys.readouterr().out
    for part in (
        "a.loom",
        "0.500 s, 8000 samples at 16000 Hz, mono",
        "3 codebooks of 16",
        "kbit/s",
        "codec   tiny",
    ):
        assert part in text
    assert run("info", "a.loom", "b.loom", "--json") == 0
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [record["file"] for record in records] == ["a.loom", "b.loom"]
    assert records[0]["bytes"] == os.path.getsize("a.loom")
    assert records[1]["channels"] == 2
    capsys.readouterr()
    Path("cut.loom").write_bytes(Path("a.loom").read_bytes()[:50])
    assert run("info", "a.loom", "cut.loom", "a.wav") == 2
    captured = capsys.readouterr()
    assert "0.500 s, 8000 samples at 16000 Hz, stereo" in captured.out
    assert "cut.loom, byte 0" in captured.err
    assert "1 of 3 files could not be read" in captured.err
    assert "cut.loom, byte 0" in refused(capsys, "info", "cut.loom")


def test_recover(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_sound(here / "long.wav", 5, 8000)
    encode("long.wav", "a.loom", "-q")
    data = bytearray(Path("a.loom").read_bytes())
    data[len(data) // 2] ^= 1
    Path("a.loom").write_bytes(data)
    assert "--recover" in refused(capsys, "decode", "a.loom", "b.wav", "--codec", "codecs/tiny")
    assert not Path("b.wav").exists()
    assert decode("a.loom", "b.wav", "--recover") == 0
    out = capsys.readouterr().out
    assert "b.wav  5.00 s" in out
    assert "lost: 100 frames from frame" in out
    assert soundfile.info("b.wav").frames == 40000


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["encode", "a.wav"], ["required", "OUT"]),
        (["encode", "a.wav", "b.wav"], ["b.wav", ".loom"]),
        (["encode", "gone.wav", "b.loom"], ["gone.wav", "no such file"]),
        (["encode", "a.wav", "old.loom"], ["old.loom", "exists", "force"]),
        (["encode", "a.wav", "gone/b.loom"], ["gone", "mkdir"]),
        (["encode", "a.wav", "codecs", "old.loom"], ["old.loom", "folder"]),
        (["encode", "codecs", "out"], ["nothing to do in codecs", ".wav"]),
        (["encode", "a.wav", "b.loom", "--bitrate", "0.1"], ["0.1 kbit/s", "too low", "0.4 kbit/s"]),
        (["encode", "a.wav", "b.loom", "--codebooks", "9"], ["codebooks is 9", "1, 2, 3"]),
        (["encode", "a.wav", "b.loom", "--codebooks", "1", "--bitrate", "1"], ["not allowed with"]),
        (["encode", "a.wav", "b.loom", "--precision", "int8"], ["precision is 'int8'", "exact"]),
        (["encode", "a.wav", "b.loom", "--codec", "seanet-16"], ["seanet-16", "did you mean"]),
        (["encode", "a.wav", "b.loom", "--jobs", "0"], ["--jobs", "'0'", "1 or more"]),
        (["encode", "a.wav", "b.loom", "--device", "cuda:99"], ["cuda:99", "cpu"]),
        (
            ["encode", "a.wav", "b.loom", "--device", "gpu"],
            ["no device 'gpu': use cpu, cuda, cuda:1 or auto"],
        ),
        (["encode", "good.loom", "b.loom"], ["good.loom is compressed already", "soundloom decode"]),
        (["info", "notes.txt"], ["notes.txt"]),
        (["decode", "a.wav", "c.wav"], [".loom and .ecdc files"]),
        (["decode", "good.loom", "b.flac", "--subtype", "float"], ["'FLOAT'", ".flac files have PCM_16"]),
        (["encode", "a.wav", "-", "--verify"], ["only .loom files are verified", "soundloom test"]),
        (["encode", "-", "a.wav", "b.loom"], ["- is one sound"]),
        (["encode", "a.wav", "b.loom", "--raw", "s16le"], ["s16le", "s16le:44100:2"]),
        (["decode", "a.wav", "b.wav"], ["a.wav, byte 0"]),
        (["decode", "good.loom", "b.txt"], ["'.txt'", ".wav", ".flac"]),
        (["decode", "good.loom", "a.wav"], ["a.wav", "exists", "force"]),
        (["decode", "good.loom", "b.wav", "--start", "9"], ["start is 9.0", "0.5 s"]),
        (["decode", "good.loom", "b.wav", "--raw", "s16le"], ["--raw", "OUT -"]),
        (["decode", "good.loom", "b.wav", "--sample-rate", "0"], ["sample_rate is 0"]),
        (["decode", "good.loom", "b.wav", "--loudness", "1"], ["loudness is 1.0", "-70 to 0 LUFS"]),
        (["decode", "good.loom", "b.wav", "--loudness", "nan"], ["loudness is nan", "-70 to 0 LUFS"]),
        (["decode", "good.loom", "b.wav", "--loudness", "loud"], ["--loudness", "'loud'"]),
        (["decode", "good.loom", "b.wav", "--codec", "codecs/latents"], ["good.loom", "'tiny'", "'latents'"]),
        (["info", "gone.loom"], ["gone.loom", "no such file"]),
    ],
)
def test_what_is_refused(
    here: Path, capsys: pytest.CaptureFixture[str], words: list[str], parts: list[str]
) -> None:
    Path("old.loom").write_text("old")
    encode("a.wav", "good.loom", "-q")
    before = {path: path.read_bytes() for path in here.rglob("*") if path.is_file()}
    if words[0] != "info" and "--codec" not in words:
        words = [*words, "--codec", "codecs/tiny"]
    message = refused(capsys, *words)
    for part in parts:
        assert part in message
    assert {path: path.read_bytes() for path in here.rglob("*") if path.is_file()} == before


def test_a_codec_that_only_has_a_name_in_the_file(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    encode("a.wav", "a.loom", "-q")
    message = refused(capsys, "decode", "a.loom", "b.wav")  # "tiny" is in another folder
    assert "made with the codec 'tiny', which is not here" in message
    assert "--codec FOLDER" in message
    os.chdir("codecs")
    assert run("decode", "../a.loom", "../b.wav") == 0


@contextmanager
def standard_input(content: bytes, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let standard input be a pipe with these bytes, fewer than its buffer holds."""
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as stream:
        os.write(writing, content)
        os.close(writing)
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(stream))
        yield


def test_pipes(
    here: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    encode("a.wav", "a.loom", "-q", "--no-level")  # a pipe has no level to come back to
    decode("a.loom", "a.back.wav", "-q")
    capfdbinary.readouterr()
    with standard_input(Path("a.wav").read_bytes(), monkeypatch):
        assert encode("-", "-") == 0
    packed, said = capfdbinary.readouterr()
    assert b"2 channels mixed to mono" in said
    with standard_input(packed, monkeypatch):
        assert run("info", "-") == 0
    assert b"0.500 s, 8000 samples" in capfdbinary.readouterr().out
    with standard_input(packed, monkeypatch):
        assert decode("-", "-", "-q", "--loudness", -23) == 2
    assert b"is a pipe, and the loudness" in capfdbinary.readouterr().err
    with standard_input(packed, monkeypatch):
        assert decode("-", "-", "-q") == 0
    piped = capfdbinary.readouterr().out
    assert piped[44:] == Path("a.back.wav").read_bytes()[44:]
    (here / "p.wav").write_bytes(piped)
    np.testing.assert_array_equal(soundfile.read("p.wav")[0], soundfile.read("a.back.wav")[0])
    assert decode("a.loom", "-", "--raw", "s16le", "-q") == 0
    assert capfdbinary.readouterr().out == piped[44:]
    with standard_input(piped[44:], monkeypatch):
        assert encode("-", "r.loom", "--raw", "s16le:16000:1", "-q") == 0
    assert describe_file("r.loom").length == 8000


def test_a_reader_that_goes_away_is_one_clear_error(here: Path) -> None:
    write_sound(here / "long.wav", 60, 8000)
    encode("long.wav", "long.loom", "-q")
    own = "import sys; from soundloom.cli import main; sys.exit(main())"
    script = 'set -o pipefail; "$0" -c "$1" decode long.loom - --codec codecs/tiny -q | head -c 1000 | wc -c'
    done = subprocess.run(
        ["bash", "-c", script, sys.executable, own], capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stdout.strip()) == (2, "1000")
    assert (
        done.stderr.strip() == "soundloom: error: the program that was to read the sound has stopped reading"
    )


# --- levels ----------------------------------------------------------------------------------------------


def test_no_level_leaves_the_gain_out(here: Path) -> None:
    write_sound(here / "b.wav", 1, 8000)
    assert encode("b.wav", "b.loom", "-q") == encode("b.wav", "plain.loom", "--no-level", "-q") == 0
    gained, plain = (describe_file(name).header.settings for name in ("b.loom", "plain.loom"))
    assert gained["gain_db"]
    assert {**plain, "gain_db": gained["gain_db"]} == gained
    assert decode("b.loom", "back.wav", "-q") == decode("plain.loom", "plain.wav", "-q") == 0
    level, back, bare = (
        10 * np.log10(np.square(soundfile.read(name)[0]).mean())
        for name in ("b.wav", "back.wav", "plain.wav")
    )
    assert abs(back - level) < 1 < abs(bare - level)


@pytest.mark.parametrize("lufs", [-40, -23.0, 0])
def test_a_loudness_is_reached_or_what_was_limited_is_told(
    here: Path, capsys: pytest.CaptureFixture[str], lufs: float
) -> None:
    write_sound(here / "in" / "long.wav", 2, 8000)
    encode("in/long.wav", "in/long.loom", "-q")
    assert decode("in/long.loom", "b.wav", "--loudness", lufs) == 0
    said = capsys.readouterr().out
    samples, rate = soundfile.read("b.wav", dtype="float32", always_2d=True)
    found = integrated_loudness(torch.from_numpy(samples.T.copy()), rate)
    assert np.abs(samples).max() <= 1
    assert found == pytest.approx(lufs, abs=0.3) if lufs < 0 else -15 < found < 0
    assert ("peaks limited by up to" in said) == (lufs == 0)
    assert decode("in", "out", "--loudness", lufs, "-q") == 0
    assert Path("out/long.wav").read_bytes() == Path("b.wav").read_bytes()


# --- EnCodec's own files -------------------------------------------------------------------------------


def test_ecdc_files_there_and_back(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_small("encodec-24khz").save_pretrained("codecs/encodec")
    assert encode("a.wav", "a.ecdc", "--bitrate", 3, codec="codecs/encodec") == 0
    size = os.path.getsize("a.ecdc")
    said = f"a.ecdc  0.50 s, {size} bytes, {16 * size / 1000:.2f} kbit/s, 2 channels mixed to mono\n"
    assert capsys.readouterr().out.endswith(said)
    assert decode("a.ecdc", "b.wav", "--start", 0.1, codec="codecs/encodec") == 0
    assert "b.wav  0.40 s, 24000 Hz mono" in capsys.readouterr().out
    assert soundfile.info("b.wav").frames == 9600
    assert run("info", "a.ecdc") == 0
    shown = capsys.readouterr().out
    assert "0.500 s, 12000 samples at 24000 Hz, mono" in shown
    assert "encodec-24khz" in shown
    assert run("info", "a.ecdc", "--json") == 0
    assert json.loads(capsys.readouterr().out)["bytes"] == size
    assert "an .ecdc file holds what EnCodec made" in refused(
        capsys, "encode", "a.wav", "c.ecdc", "--codec", "codecs/tiny"
    )
    assert "--recover" in refused(
        capsys, "decode", "a.ecdc", "c.wav", "--recover", "--codec", "codecs/encodec"
    )
    Path("a.ecdc").write_bytes(Path("a.ecdc").read_bytes()[:-1])
    assert "a.ecdc: byte" in refused(capsys, "decode", "a.ecdc", "c.wav", "--codec", "codecs/encodec")
    assert not Path("c.wav").exists()
    assert not Path("c.ecdc").exists()


def test_folders_of_ecdc_files(here: Path) -> None:
    make_small("encodec-24khz").save_pretrained("codecs/encodec")
    for name in ("in/a.wav", "in/deep/b.ogg"):
        write_sound(here / name, 0.2)
    assert encode("in", "packed", "--format", "ecdc", codec="codecs/encodec") == 0
    assert encode("in/a.wav", "packed/c.loom", codec="codecs/encodec") == 0
    packed = {"packed/a.ecdc", "packed/c.loom", "packed/deep/b.ecdc"}
    assert {str(path) for path in Path("packed").rglob("*.*")} == packed
    assert decode("packed", "back", codec="codecs/encodec") == 0
    back = {"back/a.wav", "back/c.wav", "back/deep/b.wav"}
    assert {str(path) for path in Path("back").rglob("*.*")} == back


# --- weights -------------------------------------------------------------------------------------------


def test_other_weights_than_made_a_file(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert encode("a.wav", "a.loom") == 0
    retrained = copy.deepcopy(seanet())
    with torch.no_grad():
        next(retrained.parameters()).add_(0.1)
    retrained.save_pretrained("codecs/tiny")
    assert "was made with weights" in refused(capsys, "decode", "a.loom", "b.wav", "--codec", "codecs/tiny")
    assert not Path("b.wav").exists()
    assert decode("a.loom", "b.wav", "--any-weights") == 0
    assert "with other weights than made the file" in capsys.readouterr().out
    assert soundfile.info("b.wav").frames == 8000
