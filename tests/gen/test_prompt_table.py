"""Tables of prompts: CSV and JSONL as programs write them, and every row that cannot be used."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soundloom.gen.prompt_table import TableError, TableRow, check_table_file, read_table
from soundloom.gen.settings import GenerationSettings

HEAD = "prompt,duration,seed,file,guidance\n"


def rows(text: str | bytes, name: str = "t.csv", **options: Any) -> list[TableRow]:
    return read_table(text.encode() if isinstance(text, str) else text, name, **options)


def reason(text: str, name: str = "t.csv", **options: Any) -> str:
    """Why the last row cannot be used."""
    failure = rows(text, name, **options)[-1].failure
    assert failure is not None
    assert failure.file == rows(text, name, **options)[-1].source
    return str(failure)


def test_columns_become_settings() -> None:
    (row,) = rows(HEAD + '"rain, then wind",2.5,7,a/b.flac,3:1.5\n')
    assert row.failure is None
    assert (row.prompt, row.files) == ("rain, then wind", (Path("a/b.flac"),))
    assert row.settings == GenerationSettings(duration=2.5, seed=7, guidance_scale=(3.0, 1.5))
    assert row.source == "t.csv, line 2"


def test_every_setting_has_a_column() -> None:
    head = (
        "prompt,num_samples,candidates,negative_prompt,guidance_scale,temperature,top_k,top_p,extend_stride"
    )
    (row,) = rows(f"{head},reference_padding\nrain,2,3,wind,4,0.5,0,0.9,1,yes\n")
    assert row.settings == GenerationSettings(
        num_samples=2,
        candidates=3,
        negative_prompt="wind",
        guidance_scale=4.0,
        temperature=0.5,
        top_k=0,
        top_p=0.9,
        extend_stride=1.0,
        reference_padding=True,
    )
    assert row.files == (Path("rain.wav"), Path("rain-2.wav"))


def test_empty_cells_take_the_defaults() -> None:
    defaults = GenerationSettings(duration=1.0, temperature=0.5)
    first, second = rows("prompt,duration,temperature\na,,\nb,2,1\n", defaults=defaults)
    assert first.settings == defaults
    assert second.settings == GenerationSettings(duration=2.0)


@pytest.mark.parametrize(
    "content",
    [
        "prompt;duration\nrain;2\n".encode("utf-8-sig"),
        "prompt\tduration\r\nrain\t2\r\n".encode("utf-16"),
        "prompt,duration\nrain,2".encode("utf-16-be").join([b"\xfe\xff", b""]),
        b"\n\nprompt,duration\n\n , \nrain,2\n\n",
        b' Prompt , DURATION \n"rain","2"\n',
        b"prompt,duration,_mine,#\nrain,2,x,y\n",
        b"prompt,duration,\nrain,2,\n",
    ],
)
def test_tables_as_programs_write_them(content: bytes) -> None:
    (row,) = rows(content)
    assert row.failure is None
    assert (row.prompt, row.settings.duration) == ("rain", 2.0)


def test_lines_are_counted_in_the_file() -> None:
    found = rows('prompt,seed\n"two\nlines",1\n\nbad,x\nlast,3\n')
    assert [row.source.rpartition(" ")[2] for row in found] == ["2", "5", "6"]
    assert [row.failure is None for row in found] == [True, False, True]


def test_json_lines() -> None:
    lines = [
        {"prompt": "", "seed": 1},
        {"prompt": "rain", "guidance_scale": [3, 1], "_note": {}, "file": None},
    ]
    found = rows("\n".join(json.dumps(line) for line in lines), "t.jsonl")
    assert [row.prompt for row in found] == ["", "rain"]
    assert found[1].settings.guidance_scale == (3, 1)
    assert [row.files[0].name for row in found] == ["sound.wav", "rain.wav"]
    assert rows('{"prompt": "a"}', "-")[0].prompt == "a", "told by its first byte"


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "t.csv is empty"),
        (b"\xef\xbb\xbf \n", "t.csv is empty"),
        (b"prompt\n", "has no rows"),
        (
            b"text,duration\na,1\n",
            "no column prompt; its first line names the columns, and is: text,duration",
        ),
        (b"promt\na\n", r"no column prompt \(did you mean 'promt'\?\)"),
        (b"prompt,duraton\na,1\n", "there is no column 'duraton'; did you mean duration"),
        (b"prompt,volume\na,1\n", "there is no column 'volume'; there are prompt, file, duration"),
        (b"prompt,seed,seed\na,1,2\n", "'seed' twice"),
        ("prompt\na\n".encode("utf-16-le"), "NUL characters, as UTF-16 without a mark"),
        (b"prompt\ncaf\xe9\n", "line 2: it is no UTF-8; save it"),
        (b'[{"prompt": "a"}]', "is a JSON array"),
    ],
)
def test_what_is_no_table(content: bytes, why: str) -> None:
    with pytest.raises(TableError, match=why):
        rows(content)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("rain,abc", "line 2: duration is 'abc'; it must be a number"),
        ('rain,"1,5"', "with a point instead of the comma"),
        ("rain,-1", "duration is -1"),
        ("rain,nan", "duration is nan"),
        ("rain,1,2.5", "seed is '2.5'; it must be a whole number"),
        ("rain,1,-3", "seed is -3"),
        ("rain,1,3,,200", "guidance_scale is 200"),
        ("rain,1,3,,1:2:3", "guidance is '1:2:3'"),
        ("rain,1,3,,4,5", "it has 6 cells, and the first line names 5; a prompt with a ','"),
        (",1", "it has no prompt; for a sound of the model's choice write JSONL"),
        ('"rain,1', "from here on it is no CSV"),
        ("rain,1,3,../x.wav", "outside of the folder"),
    ],
)
def test_bad_rows_are_named_and_the_rest_goes_on(line: str, why: str) -> None:
    assert why in reason(HEAD + line + "\n")
    if '"rain,1' not in line:
        found = rows(HEAD + line + "\nwind,1\n")
        assert [row.failure is None for row in found] == [False, True]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("{", "it is no JSON ("),
        ("[1]", "it is no JSON object"),
        ('{"seed": 1}', "it has no prompt"),
        ('{"prompt": 5}', "its prompt is 5"),
        ('{"prompt": "a", "seed": "x"}', "seed is 'x'"),
        ('{"prompt": "a", "seed": [1, 2]}', "one prompt"),
        ('{"prompt": "a", "duration": true}', "duration is True"),
        ('{"prompt": "a", "duration": NaN}', "duration is nan"),
        ('{"prompt": "a", "reference_padding": "maybe"}', "true or false"),
        ('{"prompt": "a", "colour": 1}', "there is no column 'colour'"),
        ('{"prompt": "a", "guidance": 2, "guidance_scale": 3}', "say the same"),
        ('{"prompt": "a", "file": 3}', "its file is 3"),
        ("[" * 5000, "it is no JSON"),
    ],
)
def test_bad_lines_of_json(line: str, why: str) -> None:
    assert why in reason(f'{{"prompt": "ok"}}\n{line}\n', "t.jsonl")
    assert rows(f'{{"prompt": "ok"}}\n{line}\n', "t.jsonl")[0].failure is None


def test_names_of_files() -> None:
    found = rows("prompt,file,num_samples\nrain,,\nrain,,2\nwind,gale,2\nwind,GALE.wav,\nx,gale-2.wav,\n")
    assert [[file.name for file in row.files] for row in found] == [
        ["rain.wav"],
        ["rain-2.wav", "rain-3.wav"],
        ["gale.wav", "gale-2.wav"],
        [],
        [],
    ]
    assert "its file GALE.wav is that of line 4, too" in str(found[3].failure)
    assert "its file gale-2.wav is that of line 4, too" in str(found[4].failure)
    assert ".ogg files have VORBIS" in reason("prompt,file\na,b.ogg\n", subtype="PCM_24")


@pytest.mark.parametrize("file", ["dog.wav", "a/b/c.flac", "Ünïcode 犬.ogg", "no suffix", "a.b.wav"])
def test_files_that_may_be_named(file: str) -> None:
    assert check_table_file(file) == Path(file if "." in file else f"{file}.wav")


@pytest.mark.parametrize(
    "file",
    [
        *("/etc/passwd.wav", "../x.wav", "a/../../x.wav", "a/..", "C:\\x.wav", "C:x.wav", "\\\\host\\x.wav"),
        *("..\\x.wav", "a\\b.wav", "", " ", ".", "./", ".hidden.wav", "a/.git/x.wav", "x.exe", "x.wav\n.wav"),
        *("a\x1b[2J.wav", "\ud800.wav", "x" * 300, "a\0.wav", "~/../x.wav", "manifest.jsonl", "//x.wav"),
    ],
)
def test_files_that_may_not(file: str) -> None:
    with pytest.raises(ValueError, match="its file"):
        check_table_file(file)


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=40))
def test_no_name_leads_out(file: str) -> None:
    try:
        path = check_table_file(file)
    except ValueError:
        return
    root = Path("/tmp/out")
    assert (root / path).resolve().is_relative_to(root)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_are_rows_or_a_table_error(content: bytes) -> None:
    for data in (content, b"prompt,seed\n" + content, b'{"prompt": "a"}\n' + content):
        with contextlib.suppress(TableError):
            assert read_table(data, "t")
