"""`soundloom edit`, and loops and changing prompts of `soundloom generate`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from soundloom.core.audio import write_audio
from soundloom.core.loop_points import LoopPoints, read_loop_points
from tests.cli.running import refused, run


@pytest.fixture
def street(tmp_path: Path) -> Path:
    samples = 0.4 * torch.rand(2, 44100, generator=torch.Generator().manual_seed(0)) - 0.2
    return write_audio(tmp_path / "street.wav", samples, 44100)


def test_outside_of_what_is_replaced_the_file_is_the_same(
    street: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "dog.wav"
    words = (
        "edit",
        street,
        "--replace",
        "0.2:0.4",
        "--replace",
        "0.9:",
        "--prompt",
        "a dog barks",
        "--seed",
        3,
    )
    assert run(*words, "-o", out) == 0
    assert capsys.readouterr().out == f"{out}  1.00 s, seed 3\n"
    before, rate = soundfile.read(street, dtype="int16")
    after, same_rate = soundfile.read(out, dtype="int16")
    assert (rate, after.shape) == (same_rate, before.shape)
    changed = (before != after).any(axis=1).nonzero()[0] / rate
    assert set(np.floor(changed * 10)) == {2.0, 3.0, 9.0}
    assert run(*words, "-o", out) == 2  # it exists
    assert run(*words, "-o", out, "--force", "-q") == 0
    np.testing.assert_array_equal(soundfile.read(out, dtype="int16")[0], after)


def test_variations_fill_a_folder(street: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    assert run("edit", street, "--vary", 0.3, "--num-samples", 2, "-o", tmp_path / "out", "-q") == 0
    files = sorted((tmp_path / "out").iterdir())
    assert [file.name for file in files] == ["street-2.wav", "street.wav"]
    first, second = (soundfile.read(file)[0] for file in files)
    assert first.shape == second.shape == (44100, 2)
    assert not np.array_equal(first, second)


@pytest.mark.parametrize(
    ("kept", "suffix", "words", "written"),
    [
        ("PCM_24", ".wav", (), "PCM_24"),
        ("PCM_24", ".flac", (), "PCM_24"),
        ("FLOAT", ".wav", (), "FLOAT"),
        ("FLOAT", ".flac", (), "PCM_16"),
        ("PCM_24", ".wav", ("--subtype", "pcm_16"), "PCM_16"),
    ],
)
def test_samples_stay_as_fine_as_they_were(
    tmp_path: Path, kept: str, suffix: str, words: tuple[str, ...], written: str
) -> None:
    samples = 0.4 * torch.rand(1, 16000, generator=torch.Generator().manual_seed(0)) - 0.2
    source, out = write_audio(tmp_path / "in.wav", samples, 16000, subtype=kept), tmp_path / f"out{suffix}"
    assert run("edit", source, "--replace", "0.2:0.4", *words, "-o", out, "-q") == 0
    assert soundfile.info(out).subtype == written
    before, after = (soundfile.read(file)[0] for file in (source, out))
    assert np.array_equal(before[8000:], after[8000:]) == (written == kept)


def test_tags_of_an_edit(street: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("edit", street, "--vary", 0.3, "--prompt", "a secret", "-q")
    assert run(*words, "-o", tmp_path / "a.wav") == 0
    assert run("info", tmp_path / "a.wav") == 0
    said = capsys.readouterr().out
    assert "edit  variation 0.3" in said
    assert "prompt  a secret" in said
    again = ("generate", "--model", "foley", "--again", tmp_path / "a.wav", "-o", tmp_path / "c.wav")
    assert "is an edit (variation) of another sound: give it with" in refused(capsys, *again)
    assert run(*again, "--continue-from", street) == 0
    assert (tmp_path / "c.wav").read_bytes() == (tmp_path / "a.wav").read_bytes()
    assert run(*words, "--no-metadata", "-o", tmp_path / "b.wav") == 0
    assert b"secret" not in (tmp_path / "b.wav").read_bytes()


def test_the_best_of_several_edits(street: Path, tmp_path: Path) -> None:
    words = ("--replace", "0.2:0.6", "--prompt", "a dog barks", "--candidates", 2, "-q")
    assert run("edit", street, *words, "-o", tmp_path / "best.wav") == 0


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["--replace", "0.5"], ["'0.5' is no part of a sound, such as 1.2:2.0"]),
        (["--replace", "a:b"], ["'a' is no number"]),
        (["--replace", "0.5:0.5"], ["0.5..0.5 s is empty"]),
        (["--replace", "0.5:3"], ["0.5..3 s is outside of the sound, which lasts 1 s"]),
        (["--replace", "0.1:0.5", "--replace", "0.4:0.6"], ["overlap", "0.1..0.6"]),
        (["--replace", "nan:0.5"], ["nan..0.5 s"]),
        (["--vary", "2"], ["--vary is 2.0; allowed are 0 to 1"]),
        (["--vary", "nan"], ["--vary is nan"]),
        (["--vary", "0.3", "--prompt", "a", "--prompt", "b"], ["--vary takes one --prompt, not 2"]),
        (["--vary", "0.3", "--replace", "0.1:0.2"], ["not allowed with argument"]),
        ([], ["one of the arguments --replace --vary --loop --extend is required"]),
        (["--vary", "0.3", "--duration", "3"], ["there is no option --duration"]),
        (["--replace", "0:0.1", "--prompt", "a", "--prompt", "b"], ["2 prompts for 1 regions"]),
        (["--vary", "0.3", "--seed", "-1"], ["--seed is -1"]),
        (["--vary", "0.3", "--subtype", "PCM_8"], ["subtype 'PCM_8'"]),
    ],
)
def test_bad_edits_are_one_sentence(
    words: list[str], parts: list[str], street: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = refused(capsys, "edit", street, "-o", tmp_path / "x.wav", *words)
    for part in parts:
        assert part in line
    assert not (tmp_path / "x.wav").exists()


def test_sounds_that_cannot_be_edited(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    silent = write_audio(tmp_path / "silent.wav", torch.zeros(1, 16000), 16000)
    short = write_audio(tmp_path / "short.wav", torch.ones(1, 100) * 0.1, 16000)
    out = ("--vary", 0.3, "-o", tmp_path / "x.wav")
    assert "the sound is silent" in refused(capsys, "edit", silent, *out)
    assert "less than one frame of the codec (0.02 s)" in refused(capsys, "edit", short, *out)
    assert "gone.wav" in refused(capsys, "edit", tmp_path / "gone.wav", *out)


def test_a_sound_is_looped_and_made_longer(
    street: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before, _ = soundfile.read(street, dtype="int16")
    assert run("edit", street, "--loop", 0.2, "--seed", 1, "-o", tmp_path / "loop.wav", "-q") == 0
    looped, _ = soundfile.read(tmp_path / "loop.wav", dtype="int16")
    np.testing.assert_array_equal(looped[: 44100 - 8820], before[: 44100 - 8820])
    assert not np.array_equal(looped, before)
    assert read_loop_points(tmp_path / "loop.wav") == LoopPoints(0, 44099)
    assert run("edit", street, "--extend", 0.5, "--prompt", "rain", "-o", tmp_path / "long.wav", "-q") == 0
    longer, _ = soundfile.read(tmp_path / "long.wav", dtype="int16")
    assert longer.shape == (66150, 2)
    np.testing.assert_array_equal(longer[:44100], before)
    line = refused(
        capsys, "edit", street, "--loop", "--prompt", "a", "--prompt", "b", "-o", tmp_path / "x.wav"
    )
    assert "--loop takes one --prompt, not 2" in line
    for option, seconds in (("--extend", 0), ("--extend", -3), ("--loop", "nan"), ("--loop", 0)):
        said = refused(capsys, "edit", street, option, seconds, "-o", tmp_path / "x.wav")
        assert f"{option} is {seconds}; it must be a number of seconds above 0" in said


def test_a_loop_has_its_points_in_the_file(tmp_path: Path) -> None:
    out = tmp_path / "rain.wav"
    assert run("generate", "rain", "--loop", "--duration", 0.6, "--seed", 1, "-o", out, "-q") == 0
    assert read_loop_points(out) == LoopPoints(0, 9599)


def test_prompts_that_change_on_the_way(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    at = ("--at", "0:rain", "--at", "0.2:a dog: barking", "--duration", 0.6, "--seed", 1)
    assert run("generate", *at, "-o", tmp_path / "walk.wav") == 0
    assert soundfile.info(tmp_path / "walk.wav").frames == 9600
    (tmp_path / "out").mkdir()
    assert run("generate", *at, "-o", tmp_path / "out", "--num-samples", 2, "-q") == 0
    again = tmp_path / "again.wav"
    assert run("generate", "--again", tmp_path / "walk.wav", "--model", "foley", "-o", again, "-q") == 0
    assert again.read_bytes() == (tmp_path / "walk.wav").read_bytes()
    names = sorted(file.name for file in (tmp_path / "out").iterdir())
    assert names == ["rain-then-a-dog-barking-2.wav", "rain-then-a-dog-barking.wav"]


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        ([], ["give prompts (or --at), --batch TABLE or --again FILE", "given: none"]),
        (["rain", "--at", "1:dog"], ["--at stands in place of 'rain'", "--at 0:'rain'"]),
        (["--at", "dog"], ["'dog' does not say when it begins", "2:'dog'"]),
        (["--at", "x:dog"], ["'x' is no number"]),
        (["--at", "1:dog"], ["the first prompt, 'dog', begins at 1 s", "at 0"]),
        (["--at", "0:dog", "--at", "9:rain"], ["'rain' begins at 9 s", "0 to 5 s"]),
        (["rain", "--loop", "--duration", "0.04"], ["--duration is 0.04 s; a loop needs at least 3 frames"]),
        (["rain", "--loop", "-o", "-", "--stream"], ["leave out --stream"]),
    ],
)
def test_bad_sequences_and_loops_are_one_sentence(
    words: list[str], parts: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = refused(capsys, "generate", "-o", tmp_path / "x.wav", *words)
    for part in parts:
        assert part in line
