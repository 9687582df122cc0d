"""Tables of captions: metadata.csv and metadata.jsonl, row by row.

A row is read as it stands or named with its line, never guessed:

    an unquoted comma    in a table of two columns, file and caption, it belongs to the caption;
                         in one of more columns the row has too many cells and is named
    an open quote        the row is named, and reading goes on with the next line
    too few cells        the row is named

Which columns hold captions is said in captions.py; upper and lower case are the same.
"""

from __future__ import annotations

import csv
import io
import itertools
import json
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from .captions import caption_keys, captions_of

TABLES = ("metadata.csv", "metadata.jsonl")
FILE_KEYS = ("file_name", "file", "path", "audio_filepath")
_QUOTED = re.compile(r'(^|,)\s*"')  # a cell in quotes
SURROGATE = re.compile("[\ud800-\udfff]")
MAX_CELL_LINES = 100  # a quote that is open for longer was never meant to be


@dataclass(frozen=True)
class Row:
    """A row of a table.

    Attributes:
        line: where it begins, from 1.
        file: name of the sound file, as written; "" where it cannot be told.
        captions: in order.
        reason: why it has none; "" where it has some.
        fits: whether it is a row as its table should have them; if not, `reason` says what is wrong.
        columns: its texts by the names of their columns in lower case, such as "split" or "sound_class".
    """

    line: int
    file: str
    captions: tuple[str, ...] = ()
    reason: str = ""
    fits: bool = True
    columns: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Table:
    """A table that was read: its rows, and what is wrong with it as a whole ("" if nothing)."""

    rows: list[Row] = field(default_factory=list)
    problem: str = ""


def read_table(content: bytes, suffix: str, sound_suffixes: Collection[str]) -> Table:
    """Read the bytes of a table.

    Args:
        content: the file, UTF-8, with a byte order mark or without.
        suffix: ".csv" or ".jsonl".
        sound_suffixes: by which a line is known to be a row, when the quote of the row before is open.
    """
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return Table(problem="it is UTF-16; save it as UTF-8")
    # Bytes that are not UTF-8 may be right in the name of a file, and spoil no other row.
    text = content.decode("utf-8-sig", "surrogateescape")
    lines = list(io.StringIO(text, newline=None))
    return _read_csv(lines, sound_suffixes) if suffix == ".csv" else _read_jsonl(lines)


def _read_csv(lines: list[str], sound_suffixes: Collection[str]) -> Table:
    records = _records(lines, sound_suffixes)
    header = next(records, None)
    if header is None:
        return Table(problem="it is empty; its first line is to be file_name,text")
    if header.problem:
        return Table(problem=f"line {header.line}: {header.problem}")
    columns = _columns(header.cells)
    shown = ", ".join(cell.strip() for cell in header.cells)[:200]
    where = _file_column(columns)
    if where is None:
        marks = [name for mark, name in ((";", "semicolons"), ("\t", "tabs")) if mark in shown]
        fix = f"separate columns by commas, not by {marks[0]}" if marks else "it names the columns"
        return Table(problem=f"line {header.line} lacks file_name; it has {shown}; {fix}, as file_name,text")
    twice = [name for name, times in Counter(filter(None, columns)).items() if times > 1]
    if twice:
        return Table(problem=f"line {header.line} has two columns {twice[0]!r}; call them {twice[0]}_1, …")
    table = Table()
    for record in records:
        cells, file = record.cells, record.cells[where].strip() if where < len(record.cells) else ""
        while len(cells) > len(columns) and not cells[-1].strip():  # spreadsheets pad rows
            cells.pop()
        if (
            len(cells) > 2
            and columns[0] in FILE_KEYS
            and len(columns) == 2
            and not _QUOTED.search(record.text)
        ):
            cells = record.text.rstrip(", \t\r\n").split(",", 1)
        if not record.problem and len(cells) == len(columns):
            table.rows.append(_row(record.line, file, dict(zip(columns, cells, strict=True))))
            continue
        count = f"{len(cells)} cell{'' if len(cells) == 1 else 's'}"
        reason = record.problem or f"it has {count}, but the first line has {len(columns)}"
        if len(cells) > len(columns):
            reason += "; put a text with commas into quotes"
        table.rows.append(Row(record.line, file, (), reason, fits=False))
    return table


def _columns(header: list[str]) -> list[str]:
    return [cell.strip().lower() for cell in header]


def _file_column(columns: list[str]) -> int | None:
    return next((columns.index(key) for key in FILE_KEYS if key in columns), None)


@dataclass(frozen=True)
class _Record:
    """A record of a .csv: where it begins, its text, its cells, and what is wrong with it, or ""."""

    line: int
    text: str
    cells: list[str]
    problem: str = ""


def _records(lines: list[str], sound_suffixes: Collection[str]) -> Iterator[_Record]:
    """The records of a .csv but blank ones. One that cannot be read ends at the end of its first line."""
    start, where = 0, None
    while start < len(lines):
        own = _own_lines(lines, start, where or 0, sound_suffixes)
        reader = csv.reader(own, strict=True, skipinitialspace=True)
        problem, used = "", 1
        try:
            cells = next(reader)
            used = reader.line_num
        except csv.Error as error:
            cells = lines[start].replace('"', "").split(",")
            problem = (
                "a quote is opened and not closed"
                if "unexpected end" in str(error)
                else f"it cannot be read ({error}); write a quote within quotes twice"
            )
        if any(cell.strip() for cell in cells):
            where = _file_column(_columns(cells)) if where is None else where
            yield _Record(start + 1, "".join(lines[start : start + used]), cells, problem)
        start += used


def _own_lines(lines: list[str], start: int, where: int, sound_suffixes: Collection[str]) -> Iterator[str]:
    """The line `start` and those that may belong to it: up to one that begins another row."""
    yield lines[start]
    for line in itertools.islice(lines, start + 1, start + MAX_CELL_LINES):
        cells = line.split(",")
        file = cells[where].strip().strip('"').lower() if where < len(cells) else ""
        if PurePosixPath(file).suffix in sound_suffixes:
            return
        yield line


def _read_jsonl(lines: list[str]) -> Table:
    table = Table()
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError) as error:
            table.rows.append(Row(number, "", (), f"it is not valid JSON ({error})", fits=False))
            continue
        if not isinstance(entry, dict):
            table.rows.append(Row(number, "", (), f"it is no JSON object: {line.strip()[:60]}", fits=False))
            continue
        values = {key.strip().lower(): value for key, value in entry.items()}
        file = next((values[key] for key in FILE_KEYS if values.get(key)), "")
        if isinstance(file, str):
            table.rows.append(_row(number, file.strip(), values))
        else:
            reason = f"its file_name is {file!r:.60}, not a string"
            table.rows.append(Row(number, "", (), reason, fits=False))
    return table


def _row(line: int, file: str, values: dict[str, Any]) -> Row:
    """A row of which all cells are known, by the names of the columns in lower case."""
    present = ", ".join(values)[:200] or "nothing"
    if not file:
        return Row(line, "", (), f"it lacks file_name; it has {present}", fits=False)
    captions = captions_of(values)
    if any(SURROGATE.search(caption) for caption in captions):
        return Row(line, file, (), "its caption is not UTF-8; save the table as UTF-8", fits=False)
    columns = {key: value.strip() for key, value in values.items() if isinstance(value, str)}
    if captions:
        return Row(line, file, captions, columns=columns)
    keys = caption_keys(values)
    missing = f"{keys[0]} is empty" if keys else f"there is no column of captions, only {present}"
    return Row(line, file, (), missing, columns=columns)
