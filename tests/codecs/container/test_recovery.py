"""Damaged compressed-audio files: what is reported, and what is recovered."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from soundloom.codecs.container import (
    Compressed,
    ContainerError,
    ContainerReader,
)
from tests.codecs.container.samples import (
    SAMPLES,
    Pipe,
    formula_codes,
    make_header,
    sample_bytes,
    split,
)


def joined(reader: ContainerReader) -> Tensor:
    """All frames of a file."""
    return torch.cat(list(reader), 1 if reader.header.kind == "codes" else 0)


SOURCES: list[Callable[[bytes], Any]] = [io.BytesIO, lambda data: Pipe(data, 11)]


def damage(data: bytes, place: int) -> bytes:
    return data[:place] + bytes([data[place] ^ 0xFF]) + data[place + 1 :]


def chunk_places(data: bytes) -> list[int]:
    """Bytes to every block of an intact file."""
    parts = split(data)
    places = [15 + len(parts[0])]
    for part in parts[1:]:
        places.append(places[-1] + len(part) + 4)
    return places


@pytest.mark.parametrize("source", SOURCES)
def test_damage_is_reported_with_name_and_byte(source: Callable[[bytes], Any]) -> None:
    data = sample_bytes("codes")
    place = chunk_places(data)[1]
    reader = ContainerReader(source(damage(data, place + 8)), name="song.loom")
    chunks = iter(reader)
    assert torch.equal(next(chunks), formula_codes(2, 4, 1024))
    with pytest.raises(ContainerError, match=rf"song.loom, byte {place}: chunk 1 is damaged.*recover"):
        next(chunks)


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("offset", [0, 2, 3, 4, 8, -1])
def test_recovery_gives_the_other_chunks(source: Callable[[bytes], Any], offset: int) -> None:
    data = sample_bytes("codes")
    codes = formula_codes(2, 10, 1024)
    places = chunk_places(data)
    for number in range(3):
        place = places[number] + offset if offset >= 0 else places[number + 1] - 1
        reader = ContainerReader(source(damage(data, place)), recover=True)
        found = list(reader.chunks())
        assert [first for first, _ in found] == [4 * other for other in range(3) if other != number]
        for first, frames in found:
            assert torch.equal(frames, codes[:, first : first + 4])
        [(first, count, reason)] = reader.damaged
        assert (first, count) == (4 * number, (4, 4, 2)[number])
        assert reason.startswith(f"byte {places[number]}: ")
        assert (reader.length, reader.frames) == (3200, 10)


def test_recovery_reads_lost_frames_as_zeros() -> None:
    data = sample_bytes("codes")
    wanted = formula_codes(2, 10, 1024)
    wanted[:, 4:8] = 0
    reader = ContainerReader(io.BytesIO(damage(data, chunk_places(data)[1] + 8)), recover=True)
    assert torch.equal(reader.read(0, 4), wanted[:, :4])
    assert reader.damaged == []
    assert torch.equal(reader.read(2, 9), wanted[:, 2:9])
    assert torch.equal(reader.read(), wanted)
    assert [entry[:2] for entry in reader.damaged] == [(4, 4)]


@pytest.mark.parametrize("name", ["codes", "piped"])
@pytest.mark.parametrize("source", SOURCES)
def test_recovery_of_a_truncated_file(source: Callable[[bytes], Any], name: str) -> None:
    data = sample_bytes(name)
    cut = data[: chunk_places(data)[2] + 5]
    with pytest.raises(ContainerError, match="truncated"):
        list(ContainerReader(source(cut)))
    reader = ContainerReader(source(cut), recover=True)
    assert torch.equal(joined(reader), formula_codes(2, 8, 1024))
    assert (reader.length, reader.frames) == (None, 8)
    [(first, count, reason)] = reader.damaged
    assert (first, count) == (8, 0)
    assert "the file ends" in reason
    if source is io.BytesIO:
        assert torch.equal(reader.read(3, 8), formula_codes(2, 8, 1024)[:, 3:])
        fresh = ContainerReader(source(cut), recover=True)
        assert torch.equal(fresh.read(3, 8), formula_codes(2, 8, 1024)[:, 3:])


@pytest.mark.parametrize("source", SOURCES)
def test_recovery_when_only_the_end_is_damaged(source: Callable[[bytes], Any]) -> None:
    data = sample_bytes("codes")
    for place in (chunk_places(data)[3] + 4, len(data) - 1, len(data) - 7):
        with pytest.raises(ContainerError):
            list(ContainerReader(source(damage(data, place))))
        reader = ContainerReader(source(damage(data, place)), recover=True)
        assert torch.equal(joined(reader), formula_codes(2, 10, 1024))
        assert [entry[:2] for entry in reader.damaged] == [(10, 0)]


@pytest.mark.parametrize("source", SOURCES)
def test_missing_doubled_foreign_and_appended_bytes(source: Callable[[bytes], Any]) -> None:
    data = sample_bytes("codes")
    codes = formula_codes(2, 10, 1024)
    places = chunk_places(data)
    other = Compressed(make_header(codec="another"), 1 + formula_codes(2, 10, 1000)).to_bytes()
    foreign = other[chunk_places(other)[1] : chunk_places(other)[2]]
    cases = {
        "missing": (data[: places[1]] + data[places[2] :], [0, 8], [(4, 4)]),
        "doubled": (data[: places[2]] + data[places[1] :], [0, 4, 8], [(8, 0)]),
        "foreign": (data[: places[1]] + foreign + data[places[2] :], [0, 8], [(4, 4)]),
        "inserted": (data[: places[2]] + b"\x9aLP" * 9 + data[places[2] :], [0, 4, 8], [(8, 0)]),
        "appended": (data + b"more", [0, 4, 8], [(10, 0)]),
        "swapped": (
            data[: places[0]] + data[places[1] : places[2]] + data[places[0] : places[1]] + data[places[2] :],
            [4, 8],
            [(0, 4), (8, 0)],
        ),
    }
    for bad, firsts, damaged in cases.values():
        with pytest.raises(ContainerError):
            list(ContainerReader(source(bad)))
        reader = ContainerReader(source(bad), recover=True)
        found = list(reader.chunks())
        assert [first for first, _ in found] == firsts
        assert all(torch.equal(frames, codes[:, first : first + 4]) for first, frames in found)
        assert [entry[:2] for entry in reader.damaged] == damaged


def test_recovery_of_an_intact_file_finds_no_damage() -> None:
    for name, (_, frames) in SAMPLES.items():
        reader = ContainerReader(io.BytesIO(sample_bytes(name)), recover=True)
        assert sum(part.shape[1 if frames.ndim == 2 else 0] for part in reader) == reader.frames
        assert reader.damaged == []


def test_a_damaged_header_is_an_error_even_with_recovery() -> None:
    with pytest.raises(ContainerError, match=r"x.loom, byte 0: the header is damaged"):
        ContainerReader(io.BytesIO(damage(sample_bytes("codes"), 15)), name="x.loom", recover=True)
