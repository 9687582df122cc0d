"""Write reports as JSON without NaN, and format figures as tables."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..core.atomic import atomic_write


def write_report(path: str | os.PathLike[str], content: Mapping[str, Any] | str | bytes) -> None:
    """Write a report: a mapping as JSON, NaN and infinity as null; text and bytes as they are."""
    path = Path(path)
    if isinstance(content, Mapping):
        content = to_json(content) + "\n"
    # A name that is not UTF-8 becomes an escape, which gives it back where the report is JSON.
    data = content.encode("utf-8", "backslashreplace") if isinstance(content, str) else content
    with atomic_write(path) as file:
        file.write(data)


def to_json(content: Mapping[str, Any]) -> str:
    """A mapping as indented JSON; NaN and infinity, which JSON lacks, as null."""
    return json.dumps(_finite(content), indent=2, ensure_ascii=False, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table that is also neat as plain text; the first column is text, the others numbers."""
    widths = [max(3, *(len(row[i]) for row in [header, *rows])) for i in range(len(header))]

    def line(cells: Sequence[str]) -> str:
        first, *others = (
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
        )
        return "| " + " | ".join([first, *others]) + " |"

    rule = (
        "|" + "|".join("-" * (w + 2) if i == 0 else "-" * (w + 1) + ":" for i, w in enumerate(widths)) + "|"
    )
    return "\n".join([line(header), rule, *map(line, rows)])


def number(value: float | None, digits: int = 2) -> str:
    """A figure for a table; a dash where it is undefined."""
    return "–" if value is None or not math.isfinite(value) else f"{value:.{digits}f}"
