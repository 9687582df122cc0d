"""`soundloom generate`: files and folders, what it refuses and in which words."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from soundloom.core.audio import WRITE_FORMATS
from soundloom.core.loudness import integrated_loudness
from soundloom.gen.pipeline import AudioGen
from tests.cli.running import refused, run

TINY = Path(__file__).resolve().parents[1] / "fixtures" / "audiogen_tiny"


def generate(*words: object) -> int:
    return run("generate", *words)


def test_generate_writes_the_length_asked_for_and_repeats_with_the_seed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("one.wav", "two.wav"):
        assert generate("a dog barks", "-o", tmp_path / name, "--duration", 1.5, "--seed", 7) == 0
    first, rate = soundfile.read(tmp_path / "one.wav")
    second, _ = soundfile.read(tmp_path / "two.wav")
    assert len(first) == 1.5 * rate
    assert np.abs(first).max() > 0
    np.testing.assert_array_equal(first, second)
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == f"{tmp_path / 'one.wav'}  1.50 s, seed 7"


def test_the_printed_seed_makes_the_same_sound_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    generate("rain", "-o", tmp_path / "a.wav", "--duration", 0.5, "--num-samples", 1)
    seed = capsys.readouterr().out.split("seed ")[1].strip()
    generate("rain", "-o", tmp_path / "b.wav", "--duration", 0.5, "--seed", seed)
    np.testing.assert_array_equal(*(soundfile.read(tmp_path / name)[0] for name in ("a.wav", "b.wav")))


@pytest.mark.parametrize("suffix", sorted(WRITE_FORMATS))
def test_every_format_is_written_and_named_in_the_help(
    suffix: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert generate("wind", "-o", tmp_path / f"x{suffix}", "--duration", 0.5, "-q") == 0
    samples, rate = soundfile.read(tmp_path / f"x{suffix}")
    assert abs(len(samples) / rate - 0.5) < 0.1  # mp3 pads to whole frames
    assert capsys.readouterr().out == ""
    run("generate", "--help")
    assert suffix in capsys.readouterr().out


def test_several_prompts_fill_a_folder(tmp_path: Path) -> None:
    assert (
        generate("A dog!", "a dog", "", "-o", tmp_path, "--num-samples", 2, "--duration", 0.2, "--seed", 1)
        == 0
    )
    files = {"a-dog.wav", "a-dog-2.wav", "a-dog-3.wav", "a-dog-4.wav", "sound.wav", "sound-2.wav"}
    assert {file.name for file in tmp_path.iterdir()} == files


def test_a_model_in_a_folder_with_its_text_encoder_elsewhere(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("generate", "a dog", "-o", tmp_path / "x.wav", "--duration", 0.2, "--model", TINY)
    assert "give text_encoder=" in refused(capsys, *words, "--text-encoder", tmp_path / "gone")
    assert run(*words, "--text-encoder", TINY / "t5") == 0
    assert soundfile.info(tmp_path / "x.wav").frames > 0


def test_without_an_output_the_file_is_named_after_the_prompt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert generate("Heavy rain, then thunder", "--duration", 0.2) == 0
    assert [file.name for file in tmp_path.iterdir()] == ["heavy-rain-then-thunder.wav"]


def test_continuation_is_longer_than_what_it_continues(tmp_path: Path) -> None:
    generate("a bell", "-o", tmp_path / "a.wav", "--duration", 0.5, "--seed", 1)
    words = ("a bell", "-o", tmp_path / "b.wav", "--continue-from", tmp_path / "a.wav", "--seed", 1)
    assert generate(*words, "--duration", 1) == 0
    samples, rate = soundfile.read(tmp_path / "b.wav")
    assert len(samples) == rate


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["-o", "missing/x.wav"], ["missing", "mkdir"]),
        (["-o", "x.xyz"], [".xyz", ".wav", ".flac"]),
        (["-o", "x"], ["x", ".wav"]),
        (["-o", "old.wav"], ["old.wav", "--force"]),
        (["a cat", "-o", "new.wav"], ["2 sounds", "folder", "new.wav"]),
        (["--num-samples", "0"], ["--num-samples", "0", "1 or more"]),
        (["--duration", "0"], ["duration", "0"]),
        (["--duration", "-1"], ["duration", "-1", "3600"]),
        (["--duration", "0.01"], ["duration", "0.01", "0.02"]),
        (["--duration", "nan"], ["duration", "nan"]),
        (["--duration", "3601"], ["duration", "3601", "3600"]),
        (["--duration", "long"], ["--duration", "long"]),
        (["--guidance-scale", "-1"], ["--guidance-scale is -1"]),
        (["--guidance-scale", "nan"], ["--guidance-scale is nan"]),
        (["--temperature", "-1"], ["temperature", "-1"]),
        (["--top-k", "-1"], ["--top-k is -1"]),
        (["--top-k", "100000"], ["--top-k is 100000"]),
        (["--top-p", "2"], ["--top-p is 2"]),
        (["--seed", "-1"], ["seed", "-1"]),
        (["--loudness", "0.1"], ["loudness is 0.1", "-70 to 0 LUFS"]),
        (["--loudness", "inf"], ["loudness is inf", "-70 to 0 LUFS"]),
        (["--model", "folly"], ["folly"]),
        (["--device", "toaster"], ["toaster", "cpu"]),
        (["--continue-from", "gone.wav"], ["gone.wav"]),
        (["--continue-from", "text.wav"], ["text.wav", "wav, flac"]),
        (["--volume", "11"], ["--volume"]),
    ],
)
def test_bad_input_is_one_clear_line(
    words: list[str],
    parts: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "old.wav").write_bytes(b"keep me")
    (tmp_path / "text.wav").write_text("no sound")
    output = [] if "-o" in words else ["-o", "x.wav"]
    message = refused(capsys, "generate", "a dog", *words, *output)
    for part in parts:
        assert part in message
    assert not (tmp_path / "x.wav").exists()
    assert (tmp_path / "old.wav").read_bytes() == b"keep me"


def test_a_loudness_is_reached_in_files_and_pipes(tmp_path: Path, capfdbinary: Any) -> None:
    words = ("a dog", "--duration", 1, "--seed", 7, "--num-samples", 1, "-q", "--loudness", -30)
    assert generate(*words, "-o", tmp_path / "a.wav") == 0
    samples, rate = soundfile.read(tmp_path / "a.wav", dtype="float32", always_2d=True)
    assert integrated_loudness(torch.from_numpy(samples.T.copy()), rate) == pytest.approx(-30, abs=0.2)
    assert generate(*words, "-o", "-") == 0
    piped, _ = soundfile.read(io.BytesIO(capfdbinary.readouterr().out), dtype="float32", always_2d=True)
    np.testing.assert_array_equal(piped, samples)


def test_outputs_are_checked_before_the_model_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(AudioGen, "from_pretrained", lambda *_, **__: pytest.fail("the model was loaded"))
    assert "mkdir" in refused(capsys, "generate", "a dog", "-o", tmp_path / "missing" / "x.wav")


@pytest.mark.parametrize("output", ["y.wav", "-"])
def test_a_prompt_without_quotes(output: str, capsys: pytest.CaptureFixture[str]) -> None:
    hint = 'one prompt of several words needs quotes: "a dog barks"'
    assert hint in refused(capsys, "generate", "a", "dog", "barks", "-o", output)
    assert "quotes" not in refused(capsys, "generate", "a dog", "barks", "-o", output)


def test_a_rate_that_cannot_be_is_refused_before_anything_is_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(AudioGen, "generate", None)
    words = ("generate", "rain", "-o", tmp_path / "x.wav", "--sample-rate", 1)
    assert "cannot resample 16000 to 1 Hz" in refused(capsys, *words)


def test_force_replaces(tmp_path: Path) -> None:
    (tmp_path / "x.wav").write_bytes(b"old")
    assert generate("a dog", "-o", tmp_path / "x.wav", "--duration", 0.2, "--force") == 0
    assert soundfile.info(tmp_path / "x.wav").frames > 0


@pytest.mark.parametrize("prompt", ["", "   ", "🐕🌧️", "ein Hund bellt", "собака лает", "a dog " * 1667])
def test_unusual_prompts_make_a_sound(prompt: str, tmp_path: Path) -> None:
    assert generate(prompt, "-o", tmp_path, "--duration", 0.2, "--seed", 1) == 0
    (file,) = tmp_path.iterdir()
    assert soundfile.info(file).frames > 0
    assert len(file.name) < 80
