"""Read a table of prompts, CSV or JSONL: a sound for each row, with settings of its own.

Columns (of JSON: names) are `prompt`, `file` and every field of `GenerationSettings`; `guidance` stands for
`guidance_scale`. A row that cannot be used carries its failure, with its line, and keeps no other from use.
"""

from __future__ import annotations

import csv
import difflib
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from ..core.audio import SUBTYPES, check_subtype
from ..core.errors import ArgumentError
from ..core.failures import Failure, reason_of
from ..core.filenames import same_name
from ..core.slug import slug
from ..core.sound_tags import printable
from .settings import OPTIONS, GenerationSettings

ALIASES = {"guidance": "guidance_scale"}
COLUMNS = ("prompt", "file", *OPTIONS, *ALIASES)
IGNORED = ("_", "#")  # what columns begin with that are not for us
MAX_BYTES = 64 * 2**20
DELIMITERS = (",", ";", "\t")
WORDS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


class TableError(ArgumentError):
    """A table of prompts that cannot be read at all."""


@dataclass(frozen=True)
class TableRow:
    """A row of a table.

    Attributes:
        source: table and line, for messages.
        prompt: the sentence.
        settings: how, the defaults filled in.
        files: of each sound of the row, below the folder of the sounds.
        failure: why it cannot be used, if so; the other attributes then say nothing.
    """

    source: str
    prompt: str = ""
    settings: GenerationSettings = field(default_factory=GenerationSettings)
    files: tuple[Path, ...] = ()
    failure: Failure | None = None


def read_table(
    content: bytes, name: str, *, defaults: GenerationSettings | None = None, subtype: str | None = None
) -> list[TableRow]:
    """The rows of a table, in their order.

    Files that are not named are named after their prompt; several sounds of a row are counted from 2 on.

    Args:
        content: of the file; UTF-8, or UTF-16 with a byte order mark.
        name: of the file; .jsonl and .ndjson are JSON, a line for each row; else the first byte tells.
        defaults: settings where a row has none.
        subtype: that the files are to have.

    Raises:
        TableError: no table, or none with a column `prompt`.
    """
    if len(content) > MAX_BYTES:
        raise TableError(f"{name} has {len(content)} bytes; at most {MAX_BYTES} are read: split it")
    text = _decoded(content, name)
    if not text.strip():
        raise TableError(f"{name} is empty; its first line names the columns, such as: prompt,duration,seed")
    is_json = name.lower().endswith((".jsonl", ".ndjson")) or text.lstrip().startswith("{")
    if not is_json and text.lstrip().startswith("["):
        raise TableError(f"{name} is a JSON array; write a JSON object a line (JSONL) instead")
    rows: list[TableRow] = []
    taken: dict[str, str] = {}
    for line, found in (_json_rows if is_json else _csv_rows)(text, name):
        source = f"{name}, line {line}"
        try:
            if isinstance(found, Exception):
                raise found
            row = _row(found, source, defaults or GenerationSettings(), is_json)
            rows.append(_named(row, found.get("file"), taken, subtype))
        except (TypeError, ValueError) as error:
            reason = str(error) if isinstance(error, TypeError) else reason_of(error)
            rows.append(TableRow(source, failure=Failure(source, reason, error)))
    if not rows:
        raise TableError(f"{name} names its columns and has no rows; add a line for each sound")
    return rows


def _decoded(content: bytes, name: str) -> str:
    marked = content[:2] in (b"\xff\xfe", b"\xfe\xff")
    called, encoding = ("UTF-16", "utf-16") if marked else ("UTF-8", "utf-8-sig")
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise TableError(f"{name}, line {line}: it is no {called}; save it as UTF-8") from None
    if "\0" in text:
        raise TableError(f"{name} holds NUL characters, as UTF-16 without a mark does; save it as UTF-8")
    return text


def _json_rows(text: str, name: str) -> Iterator[tuple[int, dict[str, Any] | Exception]]:
    """Line and content of each row."""
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            found = json.loads(line)
        except (ValueError, RecursionError) as error:
            yield number, ArgumentError(f"it is no JSON ({error})")
            continue
        if not isinstance(found, dict):
            yield number, ArgumentError(f'it is no JSON object, such as {{"prompt": "rain"}}: {line[:40]}')
        elif unknown := _unknown(found):
            yield number, ArgumentError(unknown)
        else:
            yield number, {key: value for key, value in found.items() if value is not None}


def _csv_rows(text: str, name: str) -> Iterator[tuple[int, dict[str, Any] | Exception]]:
    """Line and content of each row; columns as the first line names them."""
    first = next(line for line in text.splitlines() if line.strip())
    found = sorted(((mark, _cells(first, mark)) for mark in DELIMITERS), key=lambda each: -len(each[1]))
    delimiter, columns = next((each for each in found if "prompt" in each[1]), found[0])
    if "prompt" not in columns:
        near = difflib.get_close_matches("prompt", columns, n=1, cutoff=0.6)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        raise TableError(
            f"{name} has no column prompt{hint}; its first line names the columns, and is: "
            f"{printable(first[:80])}"
        )
    if unknown := _unknown(dict.fromkeys(columns)):
        raise TableError(f"{name}: {unknown}")
    if twice := {column for column in columns if column and columns.count(column) > 1}:
        raise TableError(f"{name} has the column {min(twice)!r} twice; leave one of them out")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    begun, headed = 1, False
    while True:
        begun = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield begun, ArgumentError(f"from here on it is no CSV ({error}); a quote may be missing")
            return
        if not any(cell.strip() for cell in cells):
            continue
        if not headed:
            headed = True
        elif len(cells) > len(columns) and any(cell.strip() for cell in cells[len(columns) :]):
            yield (
                begun,
                ArgumentError(
                    f"it has {len(cells)} cells, and the first line names {len(columns)}; a prompt with a "
                    f"{'tab' if delimiter == chr(9) else delimiter!r} in it needs quotes"
                ),
            )
        else:
            pairs = zip(columns, cells, strict=False)
            yield begun, {column: cell for column, cell in pairs if column and cell.strip()}


def _cells(line: str, delimiter: str) -> list[str]:
    try:
        return [cell.strip().lower() for cell in next(csv.reader([line], delimiter=delimiter))]
    except csv.Error:
        return [line]


def _unknown(row: Mapping[str, Any]) -> str:
    """What is wrong with names of columns; empty: nothing."""
    for column in row:
        if column and column not in COLUMNS and not column.startswith(IGNORED):
            near = difflib.get_close_matches(column, COLUMNS, n=1, cutoff=0.6)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(COLUMNS)}."
            return (
                f"there is no column {printable(column[:40])!r}; {hint} A column of your own is passed over "
                "if its name begins with _"
            )
    return ""


def _row(found: Mapping[str, Any], source: str, defaults: GenerationSettings, is_json: bool) -> TableRow:
    """A row without its files; TypeError or ValueError if it cannot be used."""
    prompt = found.get("prompt")
    if prompt is None:
        choice = "" if is_json else '; for a sound of the model\'s choice write JSONL, with {"prompt": ""}'
        raise ArgumentError(f"it has no prompt{choice}")
    if not isinstance(prompt, str):
        raise ArgumentError(f"its prompt is {prompt!r}; it must be a text")
    values: dict[str, Any] = {}
    for column, value in found.items():
        setting = ALIASES.get(column, column)
        if setting in OPTIONS:
            if setting in values:
                raise ArgumentError("guidance and guidance_scale say the same; give one of them")
            values[setting] = _value(column, setting, value)
    settings = GenerationSettings.of(defaults, values)
    if isinstance(settings.seed, (list, tuple)) or isinstance(settings.negative_prompt, (list, tuple)):
        raise ArgumentError("a row is one prompt: give it one seed and one negative_prompt")
    return TableRow(source, prompt, settings)


def _value(column: str, setting: str, value: Any) -> Any:
    """The value of a cell, which in CSV is text."""
    kind = OPTIONS[setting].kind
    if isinstance(value, list) and setting == "guidance_scale":
        return tuple(value)
    if not isinstance(value, str) or kind is str:
        return value
    text = value.strip()
    try:
        if kind is bool:
            return WORDS[text.lower()]
        if setting == "guidance_scale" and ":" in text:
            start, end = text.split(":")
            return float(start), float(end)
        return kind(text)
    except (ValueError, KeyError):
        wanted = {bool: "true or false", int: "a whole number", float: "a number, such as 2 or 0.5"}[kind]
        comma = ", with a point instead of the comma" if "," in text else ""
        raise ArgumentError(f"{column} is {printable(text[:40])!r}; it must be {wanted}{comma}") from None


def _named(row: TableRow, file: Any, taken: dict[str, str], subtype: str | None) -> TableRow:
    """The row with its files; `taken` are those of the rows before, and gets these."""
    count = row.settings.num_samples
    if file is None:
        files: list[Path] = []
        stem, number = slug(row.prompt), 0
        while len(files) < count:
            number += 1
            path = Path(f"{stem}.wav" if number == 1 else f"{stem}-{number}.wav")
            if _key(path) not in taken:
                files.append(path)
    else:
        path = check_table_file(file)
        more = [path.with_name(f"{path.stem}-{number}{path.suffix}") for number in range(2, count + 1)]
        files = [path, *more]
    for path in files:
        check_subtype(path.suffix.lower(), subtype)
        if _key(path) in taken:
            raise ArgumentError(f"its file {path} is that of {taken[_key(path)]}, too; give it another name")
    taken.update({_key(path): row.source.rpartition(", ")[2] for path in files})
    return TableRow(row.source, row.prompt, row.settings, tuple(files))


def _key(path: Path) -> str:
    """Names that some file systems take for one."""
    return same_name(path.as_posix()).casefold()


def check_table_file(file: Any) -> Path:
    """The path of a file that a table names, which has to stay below the folder of the sounds.

    Raises:
        ArgumentError: it does not, or is no name of a sound.
    """
    if not isinstance(file, str):
        raise ArgumentError(f"its file is {file!r}; it must be a name, such as dog.wav")
    text = file.strip()
    shown = printable(text[:80])
    path, windows = PurePosixPath(text), PureWindowsPath(text)
    if path.is_absolute() or windows.drive or windows.root or ".." in (*path.parts, *windows.parts):
        raise ArgumentError(f"its file {shown!r} is outside of the folder of the sounds; leave / and .. out")
    if not path.name or shown != text or "\\" in text or any(part.startswith(".") for part in path.parts):
        raise ArgumentError(f"its file {shown!r} is no name that can be used; give one such as dog.wav")
    if any(len(part.encode()) > 200 for part in path.parts):
        raise ArgumentError(f"its file {shown!r}… has a name of more than 200 bytes; give a shorter one")
    if not path.suffix:
        path = path.with_name(f"{path.name}.wav")
    if path.suffix.lower() not in SUBTYPES:
        raise ArgumentError(f"its file {shown!r} ends in {path.suffix}; use one of {', '.join(SUBTYPES)}")
    return Path(path)
