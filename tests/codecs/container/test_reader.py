"""Reading compressed-audio files: in order, through pipes, at any place."""

from __future__ import annotations

import io
import os
import threading
from typing import Any

import pytest
import torch
from torch import Tensor

from soundloom.codecs.container import (
    Compressed,
    ContainerError,
    ContainerReader,
    ContainerWriter,
)
from tests.codecs.container.samples import (
    PIPED_LENGTH,
    SAMPLES,
    Pipe,
    formula_codes,
    make_header,
    sample_bytes,
)


class CountingStream(io.BytesIO):
    """A file that knows how many bytes were read."""

    taken = 0

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        self.taken += len(data)
        return data

    read1 = None  # type: ignore[assignment]


def joined(reader: ContainerReader) -> Tensor:
    """All frames of a file."""
    return torch.cat(list(reader), 1 if reader.header.kind == "codes" else 0)


@pytest.mark.parametrize("piece", [1, 2, 7, 100_000])
@pytest.mark.parametrize("name", SAMPLES)
def test_a_pipe_gives_what_a_file_gives(name: str, piece: int) -> None:
    data = sample_bytes(name)
    file, pipe = ContainerReader(io.BytesIO(data)), ContainerReader(Pipe(data, piece))  # type: ignore[arg-type]
    assert pipe.header == file.header
    assert torch.equal(joined(pipe), joined(file))
    assert (pipe.length, pipe.frames) == (file.length, file.frames)
    with pytest.raises(ContainerError, match="only once"):
        next(iter(pipe))
    with pytest.raises(ContainerError, match="seekable"):
        pipe.read(0, 1)


def test_an_unknown_length_is_known_at_once_in_a_file_and_at_the_end_of_a_pipe() -> None:
    data = sample_bytes("piped")
    file, pipe = ContainerReader(io.BytesIO(data)), ContainerReader(Pipe(data, 10))  # type: ignore[arg-type]
    assert file.header.length is None
    assert (file.length, file.frames) == (PIPED_LENGTH, 10)
    assert (pipe.length, pipe.frames) == (None, None)
    list(pipe)
    assert (pipe.length, pipe.frames) == (PIPED_LENGTH, 10)
    assert Compressed.from_bytes(data).header.length == PIPED_LENGTH


def test_chunks_arrive_through_a_pipe_while_it_is_being_written() -> None:
    read_end, write_end = os.pipe()
    arrived = threading.Event()
    codes = formula_codes(2, 10, 1024)
    in_time = []

    def produce() -> None:
        with open(write_end, "wb") as stream:
            writer = ContainerWriter(stream, make_header(length=None))
            writer.write(codes[:, :5])
            in_time.append(arrived.wait(20))
            writer.write(codes[:, 5:])
            writer.close(3200)

    thread = threading.Thread(target=produce)
    thread.start()
    with open(read_end, "rb") as stream:
        chunks = iter(ContainerReader(stream))
        first = next(chunks)
        arrived.set()
        rest = list(chunks)
    thread.join()
    assert in_time == [True]
    assert torch.equal(torch.cat([first, *rest], 1), codes)


def test_iterating_twice_and_reading_in_between() -> None:
    reader = ContainerReader(io.BytesIO(sample_bytes("codes")))
    first = joined(reader)
    assert torch.equal(reader.read(3, 9), first[:, 3:9])
    assert torch.equal(joined(reader), first)
    assert [place for place, _ in reader.chunks()] == [0, 4, 8]


def test_a_file_may_start_anywhere_in_its_stream() -> None:
    stream = io.BytesIO(b"before it" + sample_bytes("codes"))
    stream.seek(9)
    reader = ContainerReader(stream)
    assert torch.equal(reader.read(5, 7), formula_codes(2, 10, 1024)[:, 5:7])
    assert torch.equal(joined(reader), formula_codes(2, 10, 1024))


def test_seconds_60_to_70_of_an_hour_need_few_bytes() -> None:
    codes = formula_codes(4, 180_000, 1024)
    header = make_header(shape=(4,), frames_per_chunk=50, length=3600 * 16000)
    stream = CountingStream(Compressed(header, codes).to_bytes())
    reader = ContainerReader(stream)
    assert torch.equal(reader.read(3000, 3500), codes[:, 3000:3500])
    index = 3600 * 2
    assert stream.taken < index + 10 * 270 + 300 < len(stream.getvalue()) / 80


@pytest.mark.parametrize(("start", "stop"), [(-1, 3), (4, 3), (0, 11), (11, None)])
def test_frames_that_the_file_does_not_have(start: int, stop: int | None) -> None:
    reader = ContainerReader(io.BytesIO(sample_bytes("codes")), name="song.loom")
    with pytest.raises(ContainerError, match=r"song.loom: frames .* 0 to 10"):
        reader.read(start, stop)


def test_an_empty_sound() -> None:
    compressed = Compressed(make_header(length=0), torch.zeros(2, 0, dtype=torch.long))
    reader = ContainerReader(io.BytesIO(compressed.to_bytes()))
    assert list(reader) == []
    assert (reader.length, reader.frames) == (0, 0)
    assert reader.read().shape == (2, 0)
    assert Compressed.from_bytes(compressed.to_bytes()).frames.shape == (2, 0)


def test_a_stream_that_would_block_is_an_error() -> None:
    class Empty(io.RawIOBase):
        def read(self, size: int = -1, /) -> None:  # type: ignore[override]
            return None

        def write(self, data: Any, /) -> None:  # type: ignore[override]
            return None

    with pytest.raises(ContainerError, match="blocking"):
        ContainerReader(Empty())  # type: ignore[arg-type]
    with pytest.raises(ContainerError, match="blocking"):
        ContainerWriter(Empty(), make_header())  # type: ignore[arg-type]
