"""Tables of captions: every row is read as it stands or named with its line, whatever the table is like."""

from __future__ import annotations

import csv
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundloom.recipes.data.caption_tables import MAX_CELL_LINES, Table, read_table

SOUNDS = (".wav", ".flac")


def table(text: str | bytes, suffix: str = ".csv") -> Table:
    return read_table(text if isinstance(text, bytes) else text.encode(), suffix, SOUNDS)


def captions(found: Table) -> dict[str, tuple[str, ...]]:
    return {row.file: row.captions for row in found.rows if row.captions}


def wrong(found: Table) -> dict[int, str]:
    return {row.line: row.reason for row in found.rows if not row.fits}


@pytest.mark.parametrize(
    ("line", "caption"),
    [
        ("a.wav,a dog barks, then rain falls", "a dog barks, then rain falls"),
        ("a.wav,10,000 bees", "10,000 bees"),
        ("a.wav,a, b, c,", "a, b, c"),
        ("a.wav,rain,,", "rain"),
        ('a.wav,"a dog barks, then rain"', "a dog barks, then rain"),
        ('a.wav, "a dog barks, then rain"', "a dog barks, then rain"),
        ('a.wav,"a ""dog"" barks"', 'a "dog" barks'),
        ('a.wav,a 5" pipe, ringing', 'a 5" pipe, ringing'),
        ('a.wav,"two\nlines"', "two lines"),
        ('"a.wav","rain"', "rain"),
        ("a.wav,rain\r", "rain"),
    ],
)
def test_a_caption_with_commas_and_quotes(line: str, caption: str) -> None:
    found = table(f"file_name,text\n{line}\nb.wav,wind\n")
    assert captions(found) == {"a.wav": (caption,), "b.wav": ("wind",)}
    assert not wrong(found)


@pytest.mark.parametrize(
    ("header", "rows", "bad"),
    [
        ("file_name,text", ['a.wav,"a dog barks'], {2: "a quote is opened and not closed"}),
        ("file_name,text", ['a.wav,"a dog', 'c.wav,"rain"'], {2: "a quote is opened and not closed"}),
        ("file_name,text", ['a.wav,"a "dog" barks"'], {2: "write a quote within quotes twice"}),
        ("file_name,text", ['a.wav,"a dog", barks'], {2: "3 cells, but the first line has 2"}),
        ("file_name,text", ["a.wav"], {2: "1 cell, but the first line has 2"}),
        ("file_name,text", [",rain", "a.wav,x\ufffd"], {2: "lacks file_name"}),
        ("file_name,text,licence", ["a.wav,a dog, barks,CC0"], {2: "put a text with commas into quotes"}),
        ("file_name,title,text", ["a.wav,Dogs, cats,barking"], {2: "4 cells, but the first line has 3"}),
        ("text,file_name", ["a dog, barking,a.wav"], {2: "3 cells, but the first line has 2"}),
        ("text,file_name", ['"a dog,a.wav'], {2: "a quote is opened and not closed"}),
        ("file_name,caption_1,caption_2", ["a.wav,one, two,three"], {2: "4 cells"}),
        ("file_name,text", ["c.wav,one", "", 'a.wav,"x', "d.wav,two", 'e.wav,"y'], {4: "quote", 6: "quote"}),
    ],
)
def test_a_row_that_does_not_fit_is_named_and_the_others_are_read(
    header: str, rows: list[str], bad: dict[int, str]
) -> None:
    last = "wind,z.wav" if header.startswith("text") else "z.wav" + ",wind" * header.count(",")
    found = table("\n".join([header, *rows, last]) + "\n")
    assert captions(found)["z.wav"][0] == "wind"
    assert wrong(found).keys() == bad.keys()
    for line, words in bad.items():
        assert words in wrong(found)[line]
    assert not any("a dog" in caption for texts in captions(found).values() for caption in texts)


@pytest.mark.parametrize(
    ("header", "row", "expected"),
    [
        ("file_name,caption_1,caption_2,caption_3,caption_4,caption_5", "a.wav,v,w,x,y,z", "vwxyz"),
        ("file_name," + ",".join(f"caption_{n}" for n in (10, 2, 1)), "a.wav,c,b,a", "abc"),
        ("file_name,caption 1,Caption-2,CAPTION3", "a.wav,a,b,c", "abc"),
        ("File_Name,Text", "a.wav,t", "t"),
        (" FILE_NAME , TEXT ", "a.wav,t", "t"),
        ("file_name,transcription", "a.wav,t", "t"),
        ("path,Sentence", "a.wav,t", "t"),
        ("file_name,caption,caption_1,text", "a.wav,a,b,c", "abc"),
        ("file_name,licence,description", "a.wav,CC0,d", "d"),
    ],
)
def test_columns_of_captions(header: str, row: str, expected: str) -> None:
    assert captions(table(f"{header}\n{row}\n")) == {"a.wav": tuple(expected)}
    assert captions(table(f"\ufeff\n{header}\r\n{row}\r\n")) == {"a.wav": tuple(expected)}
    keys, values = header.split(","), row.split(",")
    line = json.dumps(dict(zip(keys, values, strict=True)))
    assert captions(table(line, ".jsonl")) == {"a.wav": tuple(expected)}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", "it is empty"),
        (b"\n\n", "it is empty"),
        (
            "id;text\n1;rain\n",
            "line 1 lacks file_name; it has id;text; separate columns by commas, not by semi",
        ),
        ("\nfile_name\ttext\na\tb\n", "line 2 lacks file_name"),
        ("a.wav,rain\n", "line 1 lacks file_name; it has a.wav, rain; it names the columns"),
        ("file_name,Text,text\na.wav,x,y\n", "line 1 has two columns 'text'"),
        ('"file_name,text\na.wav,rain\n', "line 1: a quote is opened and not closed"),
        ("file_name,text\na.wav,rain\n".encode("utf-16"), "UTF-16"),
    ],
)
def test_tables_that_cannot_be_used(text: str | bytes, words: str) -> None:
    found = table(text)
    assert words in found.problem
    assert not found.rows


def test_why_a_row_has_no_caption() -> None:
    reasons = [row.reason for row in table("file_name,text,tags\na.wav,,\n").rows]
    assert reasons == ["text is empty"]
    [row] = table("file_name,licence\na.wav,CC0\n").rows
    assert row.fits
    assert row.reason == "there is no column of captions, only file_name, licence"


def test_lines_of_json_are_named_one_by_one() -> None:
    lines = [
        '{"file_name": "a.wav", "text": "rain"}',
        "nonsense",
        "",
        "[1]",
        '{"text": "wind"}',
        '{"file_name": 3, "text": "wind"}',
        "[" * 100_000,
        '{"file_name": "b.wav", "text": "\\ud800"}',
        '{"file_name": "c.wav", "text": ["x", "y"]}',
    ]
    found = table("\n".join(lines), ".jsonl")
    assert captions(found) == {"a.wav": ("rain",), "c.wav": ("x", "y")}
    assert list(wrong(found)) == [2, 4, 5, 6, 7, 8]
    assert "not valid JSON" in wrong(found)[2]
    assert "not a string" in wrong(found)[6]


def test_bytes_that_are_not_utf8_spoil_their_own_row_only() -> None:
    found = table(b"file_name,text\na.wav,caf\xe9\nb\xe9.wav,rain\n")
    assert captions(found) == {"b\udce9.wav": ("rain",)}
    assert "not UTF-8" in wrong(found)[2]


def test_a_table_of_open_quotes_takes_no_time() -> None:
    rows = 'x,"y\n' * 5000  # no line looks like a row
    found = table("file_name,text\n" + rows)
    assert len(found.rows) >= 5000 / MAX_CELL_LINES
    assert not captions(found)


# Words that need quotes, and line breaks; no line break is followed by what looks like the name of a sound.
texts = st.text(st.sampled_from('ab ,"\n;é\t'), max_size=12)


def written(rows: list[list[str]], **style: int) -> str:
    file = io.StringIO()
    csv.writer(file, **style).writerows(rows)  # type: ignore[arg-type]
    return file.getvalue()


@given(st.lists(texts, max_size=6), st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
def test_what_a_writer_of_csv_writes_is_read(cells: list[str], quoting: int) -> None:
    rows = [["file_name", "text"], *([f"{n}.wav", text] for n, text in enumerate(cells))]
    found = table(written(rows, quoting=quoting))
    assert not found.problem
    assert not wrong(found)
    expected = {f"{n}.wav": (" ".join(text.split()),) for n, text in enumerate(cells) if text.strip()}
    assert captions(found) == expected


@given(st.lists(st.text(st.sampled_from("ab ,é"), max_size=8).map(lambda text: f"x{text}x"), max_size=6))
def test_unquoted_commas_cut_nothing(cells: list[str]) -> None:
    found = table("".join(["file_name,text\n", *(f"{n}.wav,{text}\n" for n, text in enumerate(cells))]))
    assert captions(found) == {f"{n}.wav": (" ".join(text.split()),) for n, text in enumerate(cells)}


@given(st.lists(texts, min_size=2, max_size=6), st.data())
def test_a_quote_that_is_left_open_costs_its_own_row(cells: list[str], data: st.DataObject) -> None:
    spoilt = data.draw(st.integers(0, len(cells) - 1))
    lines = [written([[f"{n}.wav", text]], quoting=csv.QUOTE_ALL) for n, text in enumerate(cells)]
    lines[spoilt] = f'{spoilt}.wav,"a dog barks\n'
    found = table("file_name,text\n" + "".join(lines))
    expected = {
        f"{n}.wav": (" ".join(text.split()),) for n, text in enumerate(cells) if text.strip() and n != spoilt
    }
    assert captions(found) == expected
    assert list(wrong(found).values()) == ["a quote is opened and not closed"]


@given(st.binary(max_size=200), st.sampled_from([".csv", ".jsonl"]))
def test_no_bytes_are_too_odd(content: bytes, suffix: str) -> None:
    for start in (b"", b"file_name,text\n", b'{"file_name": "a.wav", "text": "x"}\n'):
        found = table(start + content, suffix)
        for row in found.rows:
            assert bool(row.captions) != bool(row.reason)
            assert row.line >= 1
            assert all(caption.encode() for caption in row.captions)


@given(
    st.lists(st.sampled_from(["a.wav", "b.flac", ",", '"', "\n", "x", " ", "file_name,text\n"]), max_size=30)
)
def test_every_line_is_read_or_named(parts: list[str]) -> None:
    text = "file_name,text\n" + "".join(parts)
    found = table(text)
    lines = text.split("\n")
    for row in found.rows:
        for caption in row.captions:  # nothing that begins a row of its own was swallowed
            assert row.line == len(lines) or not any(
                line.startswith(("a.wav,", "b.flac,")) and line in caption for line in lines[row.line :]
            )
