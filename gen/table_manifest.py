"""What was made of a table of prompts, a line of JSON for each file, so that a run can be taken up again."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..core.failures import Failure
from .origin import saved_settings
from .prompt_table import TableRow

MANIFEST = "manifest.jsonl"


def request_of(row: TableRow, file: Path, output: Mapping[str, Any]) -> dict[str, Any]:
    """What is asked for a file of a row: it is kept while this stays the same.

    Args:
        row: of the table.
        file: one of its files.
        output: what holds for the whole table: model, weights, sample rate and so on.
    """
    settings = row.settings
    asked = {
        "prompt": row.prompt,
        "seed": settings.seed,
        "settings": saved_settings(settings, 0)
        | {"num_samples": settings.num_samples, "candidates": settings.candidates},
        "sample": row.files.index(file),
        **output,
    }
    found: dict[str, Any] = json.loads(json.dumps(asked))  # as it is when it is read again
    return found


class Manifest:
    """The file `manifest.jsonl` in the folder of the sounds; the last line about a file holds.

    Args:
        folder: of the sounds.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / MANIFEST
        self._folder = folder
        self._lock = threading.Lock()
        self._known: dict[str, dict[str, Any]] = {}
        self._ends = True  # with the end of a line
        if self.path.is_file():
            text = self.path.read_text(encoding="utf-8", errors="replace")
            self._ends = text.endswith("\n") or not text
            for line in text.splitlines():
                self._take(line)

    def _take(self, line: str) -> None:
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            return  # a run that was killed while it wrote
        if isinstance(entry, dict) and isinstance(entry.get("file"), str):
            self._known[entry["file"]] = entry

    def outdated(self, file: Path, request: Mapping[str, Any]) -> str | None:
        """Why a file in the folder is not what is asked for; None: it is. It must exist."""
        entry = self._known.get(file.as_posix())
        if entry is None:
            return "it is already there, and not of this table"
        if (self._folder / file).stat().st_size != entry.get("bytes"):
            return "it was changed since it was made"
        made = entry.get("request")
        made = made if isinstance(made, dict) else {}
        different = [name for name in request if made.get(name) != request[name]]
        if not different:
            return None
        name = different[0]
        old, new = made.get(name), request[name]
        if name == "settings" and isinstance(old, dict):
            name = next(key for key in {**old, **new} if old.get(key) != new.get(key))
            old, new = old.get(name), new.get(name)
        return f"it was made with other settings ({name} was {_short(old)} and is {_short(new)})"

    def add(self, file: Path, request: Mapping[str, Any], **made: Any) -> None:
        """Note down a finished file; threads may."""
        entry = {"file": file.as_posix(), **made}
        entry |= {"bytes": (self._folder / file).stat().st_size, "request": dict(request)}
        with self._lock:
            with self.path.open("a", encoding="utf-8") as stream:
                stream.write(("" if self._ends else "\n") + json.dumps(entry, ensure_ascii=False) + "\n")
            self._ends = True
            self._known[entry["file"]] = entry


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 40 else f"{text[:39]}…"


def refused(row: TableRow, file: Path, why: str) -> Failure:
    """The failure of a row whose file may not be replaced."""
    fix = "give it another name, or replace it with --force"
    return Failure(row.source, f"{row.source}: {file}: {why}; {fix}")
