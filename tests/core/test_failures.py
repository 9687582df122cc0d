"""What counts as "this file failed", and in which words; names that no encoder takes."""

from __future__ import annotations

import io
import json
import logging
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from soundloom.cli.terminal import show_any_name
from soundloom.core.audio import read_audio
from soundloom.core.failures import Failure, attempt, failure_lines
from soundloom.core.filenames import native, same_name


def raising(error: BaseException) -> Failure | None:
    def work() -> None:
        raise error

    return attempt("a.wav", work)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ValueError("too long"), "too long"),
        (OSError("it is broken"), "it is broken"),
        (KeyError("x"), "KeyError: 'x' (run again with --debug for the traceback)"),
        (RecursionError(), "RecursionError:  (run again with --debug for the traceback)"),
        (UnicodeEncodeError("utf-8", "\udce9", 0, 1, "no"), "UnicodeEncodeError: "),
        (ValueError(), "ValueError: "),
    ],
)
def test_whatever_is_raised_is_a_failure_with_a_reason(error: Exception, reason: str) -> None:
    failure = raising(error)
    assert failure is not None
    assert failure.error is error
    assert failure.file == "a.wav"
    assert failure.reason.startswith(reason)


def test_what_is_not_the_files_fault_is_raised() -> None:
    for error in (MemoryError(), KeyboardInterrupt(), SystemExit(1)):
        with pytest.raises(type(error)):
            raising(error)


def test_a_result_is_passed_on_and_the_traceback_is_to_be_had(caplog: pytest.LogCaptureFixture) -> None:
    assert attempt("a.wav", lambda: 5) == 5
    with caplog.at_level(logging.DEBUG, "soundloom"):
        raising(KeyError("x"))
    assert "Traceback" in caplog.text
    assert "a.wav" in caplog.text


def test_many_failures_are_counted() -> None:
    lines = failure_lines([Failure(f"{n}.wav", "no") for n in range(5)], most=2)
    assert lines == ["  0.wav  (no)", "  1.wav  (no)", "  … and 3 more"]


def test_names_that_look_the_same_are_the_same() -> None:
    assert same_name("u\u0308ber.wav") == same_name("\u00fcber.wav") != same_name("uber.wav")


def test_a_name_that_is_not_utf8_is_opened_and_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "caf\udce9.wav"
    with open(path, "wb") as file:
        soundfile.write(file, np.zeros(100), 8000, format="WAV")
    assert native(path).endswith(b"caf\xe9.wav")  # type: ignore[arg-type]
    assert read_audio(path)[0].shape == (1, 100)
    shown = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    monkeypatch.setattr(sys, "stdout", shown)
    show_any_name()
    print(path.name, "ü", "\ud800")
    shown.flush()
    assert shown.buffer.getvalue() == rb"caf\xe9.wav " + "ü".encode() + rb" \ud800" + b"\n"  # type: ignore[attr-defined]
    kept = json.dumps(path.name, ensure_ascii=False).encode("utf-8", "backslashreplace")
    assert json.loads(kept) == path.name
