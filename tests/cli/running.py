"""Running `soundloom` in this process."""

from __future__ import annotations

from typing import Any

from soundloom import cli


def run(*words: object) -> int:
    """Run `soundloom WORDS` and return its exit status."""
    try:
        return cli.main([str(word) for word in words])
    except SystemExit as stop:
        return int(stop.code or 0)


def refused(capture: Any, *words: object) -> str:
    """Run `soundloom WORDS`, expect exit status 2, and return the one line that says why."""
    capture.readouterr()
    status = run(*words)
    err = capture.readouterr().err
    assert status == 2
    assert "Traceback" not in err
    lines = [line for line in err.splitlines() if line.startswith("soundloom: error: ")]
    assert len(lines) == 1, err
    return lines[0]
