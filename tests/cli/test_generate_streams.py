"""`soundloom generate`: pipes, streams, candidates, negative prompts and moving guidance."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from soundloom.gen.pipeline import AudioGen
from tests.cli.running import run


def generate(*words: object) -> int:
    return run("generate", "a dog", "--duration", 0.5, "--seed", 7, *words)


def read(file: Path | bytes) -> np.ndarray:
    samples, rate = soundfile.read(io.BytesIO(file) if isinstance(file, bytes) else file)
    assert rate == 16000
    return samples


@pytest.fixture
def plain(tmp_path: Path) -> np.ndarray:
    assert generate("-o", tmp_path / "plain.wav", "-q") == 0
    return read(tmp_path / "plain.wav")


def test_a_pipe_gets_the_wav_that_a_file_would(plain: np.ndarray, capfdbinary: Any) -> None:
    assert generate("-o", "-") == 0
    out, err = capfdbinary.readouterr()
    np.testing.assert_array_equal(read(out), plain)
    assert b"0.50 s, seed 7" in err


def test_a_stream_gives_the_same_sound_in_pieces(
    plain: np.ndarray, capfdbinary: Any, monkeypatch: pytest.MonkeyPatch, tiny_model: AudioGen
) -> None:
    settings: list[dict[str, Any]] = []
    real = tiny_model.stream
    monkeypatch.setattr(
        tiny_model, "stream", lambda prompts, **given: (settings.append(given), real(prompts, **given))[1]
    )
    assert generate("-o", "-", "--stream", "-q") == 0
    out, err = capfdbinary.readouterr()
    assert settings
    assert err == b""
    assert len(out) == out.index(b"data") + 8 + 2 * len(plain), "the header tells how long it is"
    np.testing.assert_allclose(read(out), plain, atol=2 / 32768)


def test_candidates_are_chosen_by_the_judge(tmp_path: Path, tiny_model: AudioGen) -> None:
    from soundloom.evaluation.audio_text_scorer import AudioTextScorer

    assert generate("-o", tmp_path / "best.wav", "--candidates", 3, "-q") == 0
    best = tiny_model.generate("a dog", 0.5, seed=7, candidates=3, rerank=AudioTextScorer())
    expected = best.save(tmp_path / "expected.wav")
    np.testing.assert_array_equal(read(tmp_path / "best.wav"), read(expected))


@pytest.mark.parametrize(
    ("words", "settings"),
    [
        (["--negative-prompt", "rain"], {"negative_prompt": "rain"}),
        (["--guidance-scale", 5, "--guidance-end", 1.5], {"guidance_scale": (5.0, 1.5)}),
        (["--guidance-end", 1.5], {"guidance_scale": (3.0, 1.5)}),
        (["--top-p", 0.5], {"top_p": 0.5}),
    ],
    ids=str,
)
def test_options_reach_the_model(
    words: list[Any], settings: dict[str, Any], tmp_path: Path, plain: np.ndarray, tiny_model: AudioGen
) -> None:
    assert generate("-o", tmp_path / "x.wav", "-q", *words) == 0
    expected = tiny_model.generate("a dog", 0.5, seed=7, **settings).save(tmp_path / "expected.wav")
    found = read(tmp_path / "x.wav")
    np.testing.assert_array_equal(found, read(expected))
    assert not np.array_equal(found, plain)


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["--stream"], ["--stream", "-o -"]),
        (["--stream", "-o", "x.wav"], ["--stream", "-o -"]),
        (["-o", "-", "--num-samples", "2"], ["-o -", "one sound"]),
        (["-o", "-", "--", "a cat"], ["-o -", "one sound"]),
        (["-o", "-", "--stream", "--candidates", "2"], ["--candidates", "--stream"]),
        (["-o", "-", "--stream", "--loudness", "-20"], ["loudness", "--stream", "--loudness"]),
        (["--candidates", "0"], ["--candidates", "'0'", "1 or more"]),
        (["--guidance-end", "-1"], ["the end of --guidance-scale is -1"]),
        (["--guidance-scale", "1", "--negative-prompt", "x"], ["--guidance-scale is 1", "more than 1"]),
        (["-o", "-", "--stream", "--top-k", "100000"], ["--top-k", "100000"]),
    ],
    ids=str,
)
def test_bad_input_is_one_clear_line_and_no_sound(
    words: list[str], parts: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("generate", "--duration", 0.5, *words, "a dog") == 2
    out, err = capfd.readouterr()
    lines = [line for line in err.splitlines() if line.startswith("soundloom: error: ")]
    assert len(lines) == 1
    assert "Traceback" not in err
    assert all(part in lines[0] for part in parts)
    assert out == ""
    assert list(tmp_path.iterdir()) == []


def test_a_terminal_is_spared(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert generate("-o", "-") == 2
    assert "this terminal" in capsys.readouterr().err


def test_a_reader_that_stops_ends_the_command_with_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    steps: list[int] = []
    real = AudioGen.stream

    def stream(self: AudioGen, prompts: list[str], **settings: Any) -> Any:
        return real(self, prompts, **settings | {"progress": lambda done, _: steps.append(done)})

    monkeypatch.setattr(AudioGen, "stream", stream)
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "w") as gone:
        monkeypatch.setattr(sys, "stdout", gone)
        assert generate("-o", "-", "--stream", "-q", "--duration", 60) == 2
        gone.write("more")  # goes nowhere, as what Python still flushes at its end
    assert steps[-1] < 50  # the rest was not made
    err = capsys.readouterr().err
    assert err == "soundloom: error: the program that was to read the sound has stopped reading\n"
