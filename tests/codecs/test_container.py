"""The compressed-audio file: headers, writing, reading in order and at any place, pipes, recovery."""

import dataclasses
import io
import math
import os
import threading
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from soundloom.codecs.container import (
    Compressed,
    ContainerError,
    ContainerReader,
    ContainerWriter,
    Header,
    config_hash,
)
from soundloom.codecs.container_header import MAX_CODED, pack_header, unpack_header
from tests.container_samples import (
    PIPED_LENGTH,
    SAMPLES,
    formula_codes,
    formula_latents,
    join,
    latent_header,
    make_header,
    sample_bytes,
    split,
)


class Pipe(io.RawIOBase):
    """Bytes that come in pieces and once only, as from a pipe."""

    def __init__(self, data: bytes, piece: int) -> None:
        self._data, self._piece = data, piece

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        part = self._data[: min(self._piece, len(buffer))]
        self._data = self._data[len(part) :]
        buffer[: len(part)] = part
        return len(part)


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


# --- header --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"codec": ""}, "codec is ''"),
        ({"codec": "/etc/passwd"}, "never a path"),
        ({"codec": "../up"}, "never a path"),
        ({"codec": "a/../b"}, "codec is"),
        ({"codec": "a..b"}, "codec is"),
        ({"codec": "a/b/c"}, "never a path"),
        ({"codec": "C:\\x"}, "never a path"),
        ({"codec": "naïve"}, "codec is"),
        ({"codec": "a\n"}, "codec is"),
        ({"codec": "a" * 97}, "at most 96"),
        ({"codec": None}, "codec is None"),
        ({"config_hash": "0123"}, "16 lower-case"),
        ({"config_hash": "0123456789ABCDEF"}, "16 lower-case"),
        ({"sample_rate": 0}, "sample_rate is 0; allowed: 1 to 1000000"),
        ({"sample_rate": 16000.0}, "sample_rate is 16000.0"),
        ({"channels": 10**9}, "channels is 1000000000; allowed: 1 to 2"),
        ({"channels": True}, "channels is True"),
        ({"length": 2**63}, "length is 9223372036854775808"),
        ({"length": -1}, "length is -1"),
        ({"kind": "pickle"}, "kind is 'pickle'; allowed: codes, latents"),
        ({"precision": "int8"}, "precision is 'int8'; allowed: exact"),
        ({"entropy": "zip"}, "entropy is 'zip'; allowed: none, adaptive"),
        ({"shape": (2, 2)}, "(K,)"),
        ({"shape": (0,)}, "shape"),
        ({"shape": (1025,)}, "1 to 1024 codebooks"),
        ({"codebook_size": 1}, "codebook_size is 1"),
        ({"codebook_size": 2**31 + 1}, "codebook_size"),
        ({"frame_rate": 50.0}, "frame_rate is 50.0; it must be a Fraction"),
        ({"frame_rate": Fraction(0)}, "frame_rate"),
        ({"frame_rate": Fraction(10**7)}, "frame_rate"),
        ({"frame_rate": Fraction(1, 2**40)}, "frame_rate"),
        ({"frames_per_chunk": 0}, "frames_per_chunk is 0"),
        ({"frames_per_chunk": 2**19 + 1}, "allowed: 1 to 524288 with frames of shape (2,)"),
        ({"frames_per_chunk": MAX_CODED // 2 + 1, "entropy": "adaptive"}, "allowed: 1 to 2048"),
        ({"scale": 0.0}, "scale is 0.0"),
        ({"scale": math.nan}, "scale is nan"),
        ({"scale": math.inf}, "scale is inf"),
        ({"settings": {"Path": 1}}, "a setting's name is 'Path'"),
        ({"settings": {"file": "../x"}}, "setting file is '../x'"),
        ({"settings": {"x": math.inf}}, "setting x is inf"),
        ({"settings": {"x": 2**63}}, "setting x is"),
        ({"settings": {"x": [1]}}, "setting x is"),
        ({"settings": {f"a{number}": 1 for number in range(33)}}, "at most 32"),
        ({"settings": 5}, "settings must be a mapping"),
    ],
)
def test_a_header_is_checked(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ContainerError) as caught:
        make_header(**changes)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shape": (3,)}, "(S, D)"),
        ({"shape": (2**20, 2**20)}, "at most 1048576 values"),
        ({"codebook_size": 4}, "codebook_size is 4; allowed: 0"),
        ({"precision": "exact"}, "precision is 'exact'; allowed: float16, int8"),
        ({"entropy": "adaptive"}, "latents are stored with 'none'"),
    ],
)
def test_a_header_of_latents_is_checked(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ContainerError) as caught:
        latent_header(**changes)
    assert message in str(caught.value)


TEXTS = st.text("abcXYZ019 ._+-", max_size=12)
SETTINGS = st.dictionaries(
    st.text("abcxyz_", min_size=1, max_size=8).map("a".__add__),
    st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS,
    max_size=5,
)


@settings(max_examples=100, deadline=None)
@given(
    codec=st.sampled_from(["a", "seanet-16khz", "Owner-1/a.model_2", "9" * 96, "x/" + "y" * 94]),
    sample_rate=st.integers(1, 10**6),
    channels=st.integers(1, 2),
    length=st.none() | st.integers(0, 2**48),
    codebooks=st.integers(1, 1024),
    size=st.integers(2, 2**31),
    rate=st.builds(Fraction, st.integers(1, 2**20), st.integers(2, 2**32)),
    scale=st.floats(1e-9, 1e9),
    values=SETTINGS,
)
def test_headers_come_back(
    codec: str,
    sample_rate: int,
    channels: int,
    length: int | None,
    codebooks: int,
    size: int,
    rate: Fraction,
    scale: float,
    values: dict[str, Any],
) -> None:
    header = make_header(
        codec=codec,
        sample_rate=sample_rate,
        channels=channels,
        length=length,
        shape=(codebooks,),
        codebook_size=size,
        frame_rate=rate,
        scale=scale,
        settings=values,
    )
    back = unpack_header(pack_header(header))
    assert back == header
    assert {name: type(value) for name, value in back.settings.items()} == {
        name: type(value) for name, value in values.items()
    }


def test_a_header_is_small() -> None:
    assert len(pack_header(make_header())) <= 64


def test_settings_are_the_headers_own() -> None:
    given_settings = {"bandwidth": 6.0}
    header = make_header(settings=given_settings)
    given_settings["bandwidth"] = 3.0
    assert header.settings == {"bandwidth": 6.0}


# --- whole files ---------------------------------------------------------------------------------------


@settings(max_examples=80, deadline=None)
@given(
    data=st.data(),
    codebooks=st.integers(1, 9),
    size=st.sampled_from([2, 3, 7, 1000, 1024, 11**4, 2**31]),
    frames=st.integers(0, 70),
    per_chunk=st.integers(1, 40),
    entropy=st.sampled_from(["none", "adaptive"]),
    seed=st.integers(0, 2**31),
)
def test_codes_come_back(
    data: st.DataObject, codebooks: int, size: int, frames: int, per_chunk: int, entropy: str, seed: int
) -> None:
    high = data.draw(st.sampled_from([1, min(size, 5), size]))
    codes = torch.randint(0, high, (codebooks, frames), generator=torch.Generator().manual_seed(seed))
    header = make_header(
        shape=(codebooks,),
        codebook_size=size,
        frames_per_chunk=per_chunk,
        entropy=entropy,
        length=frames * 320,
    )
    compressed = Compressed(header, codes)
    back = Compressed.from_bytes(compressed.to_bytes())
    assert back.header == header
    assert back.frames.dtype == torch.int64
    assert torch.equal(back.frames, codes)
    start = data.draw(st.integers(0, frames))
    stop = data.draw(st.integers(start, frames))
    reader = ContainerReader(io.BytesIO(compressed.to_bytes()))
    assert torch.equal(reader.read(start, stop), codes[:, start:stop])
    assert torch.equal(reader.read(start), codes[:, start:])


@settings(max_examples=60, deadline=None)
@given(
    frames=st.integers(0, 20),
    rows=st.integers(1, 5),
    channels=st.integers(1, 7),
    per_chunk=st.integers(1, 6),
    precision=st.sampled_from(["float16", "int8"]),
    seed=st.integers(0, 2**31),
)
def test_latents_come_back(
    frames: int, rows: int, channels: int, per_chunk: int, precision: str, seed: int
) -> None:
    latents = torch.tanh(
        torch.randn(frames, rows, channels, generator=torch.Generator().manual_seed(seed)) * 2
    )
    header = latent_header(
        shape=(rows, channels), frames_per_chunk=per_chunk, precision=precision, length=frames * 32000
    )
    back = Compressed.from_bytes(Compressed(header, latents).to_bytes())
    assert back.header == header
    assert back.frames.dtype == torch.float32
    assert back.frames.shape == latents.shape
    if precision == "float16":
        assert torch.equal(back.frames, latents.half().float())
    else:
        assert frames == 0 or (back.frames - latents).abs().max() < 0.0044


@settings(max_examples=50, deadline=None)
@given(pieces=st.lists(st.integers(0, 9), max_size=12), per_chunk=st.integers(1, 6))
def test_frames_may_be_written_in_any_pieces(pieces: list[int], per_chunk: int) -> None:
    header = make_header(frames_per_chunk=per_chunk, length=sum(pieces) * 320)
    codes = formula_codes(2, sum(pieces), 1024)
    stream = io.BytesIO()
    with ContainerWriter(stream, header) as writer:
        for part in codes.split(pieces, dim=1) if pieces else []:
            writer.write(part)
    assert stream.getvalue() == Compressed(header, codes).to_bytes()


def test_codes_of_smaller_integer_types_and_latents_of_other_floats_are_taken() -> None:
    codes = formula_codes(2, 10, 100)
    header = make_header(codebook_size=1024)
    wanted = Compressed(header, codes).to_bytes()
    for dtype in (torch.int32, torch.int16, torch.uint8):
        assert Compressed(header, codes.to(dtype)).to_bytes() == wanted
    latents = formula_latents(4, 2, 3)
    wanted = Compressed(latent_header(), latents).to_bytes()
    for other in (latents.double(), latents.half(), latents.bfloat16(), latents.requires_grad_()):
        assert Compressed(latent_header(), other).to_bytes() == wanted


@pytest.mark.parametrize("name", SAMPLES)
def test_chunks_are_independent(name: str) -> None:
    """Any chunk can be read when all the others are noise."""
    parts = split(sample_bytes(name))
    whole = list(ContainerReader(io.BytesIO(join(parts))).chunks())
    assert len(whole) == len(parts) - 2 > 2
    for kept, (first, frames) in enumerate(whole):
        noisy = [
            part if number in (0, kept + 1, len(parts) - 1) else part[:-1] + bytes([part[-1] ^ 0x55])
            for number, part in enumerate(parts)
        ]
        data = bytearray(join(noisy))
        place = 15 + len(parts[0])
        for number, part in enumerate(parts[1:-1]):
            place += len(part) + 4
            data[place - 1] ^= number != kept  # the checksum's last byte
        reader = ContainerReader(io.BytesIO(bytes(data)), recover=True)
        found = list(reader.chunks())
        assert [place for place, _ in found] == [first]
        assert torch.equal(found[0][1], frames)
        assert torch.equal(reader.read(first, first + 1), frames[..., :1] if frames.ndim == 2 else frames[:1])


def test_the_coder_is_used_only_where_it_saves_bytes() -> None:
    noise = torch.randint(0, 1024, (2, 40), generator=torch.Generator().manual_seed(0))
    codes = torch.cat([noise, torch.full((2, 40), 7)], 1)
    sizes = {}
    for entropy in ("none", "adaptive"):
        header = make_header(frames_per_chunk=40, entropy=entropy, length=100)
        parts = split(Compressed(header, codes).to_bytes())
        sizes[entropy] = [len(part) for part in parts[1:3]]
        assert [part[2:3] for part in parts[1:3]] == [b"P", b"P" if entropy == "none" else b"C"]
    assert sizes["adaptive"][0] == sizes["none"][0]
    assert sizes["adaptive"][1] < 0.3 * sizes["none"][1]


# --- writing -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "frames", "message"),
    [
        (make_header(), torch.zeros(3, 5, dtype=torch.long), "codes are torch.int64 [3, 5]"),
        (make_header(), torch.zeros(1, 2, 5, dtype=torch.long), "this file wants integers [2, T]"),
        (make_header(), torch.zeros(2, 5), "codes are torch.float32"),
        (make_header(), torch.tensor([[0, 1024], [0, 0]]), "from 0 to 1024; allowed: 0 to 1023"),
        (make_header(), torch.tensor([[-1, 3], [0, 0]]), "from -1 to 3"),
        (latent_header(), torch.zeros(5, 3, 2), "this file wants floats [T, 2, 3]"),
        (latent_header(), torch.zeros(5, 2, 3, dtype=torch.long), "latents are torch.int64"),
        (latent_header(), torch.full((1, 2, 3), math.nan), "NaN or infinite"),
        (latent_header(), torch.full((1, 2, 3), math.inf), "NaN or infinite"),
        (latent_header(), torch.full((1, 2, 3), 1e5), "float16 holds up to 65504"),
        (latent_header(precision="int8"), torch.full((1, 2, 3), 3e4), "int8 holds up to"),
    ],
)
def test_frames_are_checked(header: Header, frames: Tensor, message: str) -> None:
    stream = io.BytesIO()
    writer = ContainerWriter(stream, header)
    before = stream.getvalue()
    with pytest.raises(ContainerError) as caught:
        writer.write(frames)
    assert message in str(caught.value)
    assert stream.getvalue() == before


def test_the_length_is_checked() -> None:
    writer = ContainerWriter(io.BytesIO(), make_header(length=None))
    with pytest.raises(ContainerError, match="give close"):
        writer.close()
    with pytest.raises(ContainerError, match="length is 321 samples, but 0 frames at 50 per second hold"):
        writer.close(321)
    writer.close(320)  # a codec may leave a last, incomplete frame out
    with pytest.raises(ContainerError, match="is finished"):
        writer.write(formula_codes(2, 1, 1024))
    with pytest.raises(ContainerError, match="header says 3200"):
        ContainerWriter(io.BytesIO(), make_header()).close(100)
    with pytest.raises(ContainerError, match="at most 2880 at 16000 Hz"):
        Compressed(make_header(), formula_codes(2, 8, 1024)).to_bytes()


def test_closing_twice_writes_one_end() -> None:
    stream = io.BytesIO()
    with ContainerWriter(stream, make_header()) as writer:
        writer.write(formula_codes(2, 10, 1024))
        writer.close()
    assert Compressed.from_bytes(stream.getvalue()).frames.shape == (2, 10)


def test_a_file_whose_writing_failed_has_no_end() -> None:
    stream = io.BytesIO()
    with pytest.raises(KeyboardInterrupt), ContainerWriter(stream, make_header()) as writer:
        writer.write(formula_codes(2, 10, 1024))
        raise KeyboardInterrupt
    with pytest.raises(ContainerError, match="truncated"):
        ContainerReader(io.BytesIO(stream.getvalue()))


def test_a_writer_whose_stream_failed_cannot_be_closed() -> None:
    class Full(io.BytesIO):
        def write(self, data: Any, /) -> int:
            if self.tell() > 60:
                raise OSError(28, "No space left on device")
            return super().write(data)

    writer = ContainerWriter(Full(), make_header())
    with pytest.raises(OSError, match="No space"):
        writer.write(formula_codes(2, 10, 1024))
    with pytest.raises(ContainerError, match="cannot be finished"):
        writer.close()
    with pytest.raises(ContainerError, match="start another"):
        writer.write(formula_codes(2, 10, 1024))


def test_streams_that_take_or_give_only_a_little_at_a_time() -> None:
    class Slow(io.RawIOBase):
        data = b""

        def write(self, data: Any, /) -> int:
            self.data += bytes(data[:3])
            return min(len(data), 3)

    slow = Slow()
    with ContainerWriter(slow, make_header()) as writer:  # type: ignore[arg-type]
        writer.write(formula_codes(2, 10, 1024))
    assert slow.data == Compressed(make_header(), formula_codes(2, 10, 1024)).to_bytes()


# --- reading -------------------------------------------------------------------------------------------


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


# --- damage --------------------------------------------------------------------------------------------

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


# --- Compressed ----------------------------------------------------------------------------------------


def test_save_and_load(tmp_path: Path) -> None:
    header, frames = SAMPLES["codes"]
    compressed = Compressed(header, frames)
    path = tmp_path / "sound.loom"
    assert compressed.save(path) == path
    back = Compressed.load(path)
    assert back.header == header
    assert torch.equal(back.frames, frames)
    assert compressed.bits == 8 * path.stat().st_size
    assert compressed.bitrate == compressed.bits / (3200 / 16000)
    with pytest.raises(FileExistsError, match="already exists"):
        compressed.save(path)
    Compressed(make_header(length=10), frames[:, :1]).save(path, force=True)
    assert Compressed.load(path).header.length == 10
    assert list(tmp_path.iterdir()) == [path]


def test_saving_what_cannot_be_saved_leaves_nothing(tmp_path: Path) -> None:
    good = Compressed(*SAMPLES["codes"])
    with pytest.raises(FileNotFoundError, match="does not exist; create it"):
        good.save(tmp_path / "none" / "x.loom")
    with pytest.raises(IsADirectoryError, match="give a file name"):
        good.save(tmp_path)
    with pytest.raises(ContainerError):
        Compressed(make_header(), torch.full((2, 10), 1024)).save(tmp_path / "x.loom")
    assert list(tmp_path.iterdir()) == []


def test_load_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "noise.loom"
    path.write_bytes(b"RIFF....WAVE")
    with pytest.raises(ContainerError, match=r"noise.loom, byte 0: this is no soundloom file"):
        Compressed.load(path)
    with pytest.raises(FileNotFoundError):
        Compressed.load(tmp_path / "absent.loom")


# --- configuration hash --------------------------------------------------------------------------------


class Configured:
    def __init__(self, **config: Any) -> None:
        self.config = config


def test_config_hash() -> None:
    digest = config_hash(Configured(sample_rate=16000, ratios=(8, 5), _name_or_path="here"))
    # sha256 of {"ratios":[8,5],"sample_rate":16000}
    assert digest == "ab5e823ea5d9c071"
    assert digest == config_hash(Configured(_version="1", ratios=[8, 5], sample_rate=16000))
    assert digest != config_hash(Configured(ratios=[8, 4], sample_rate=16000))
    assert make_header(config_hash=digest).config_hash == digest


def test_config_hash_of_things_without_a_configuration() -> None:
    with pytest.raises(TypeError, match="int has no `config` mapping"):
        config_hash(3)
    with pytest.raises(TypeError):
        config_hash(Configured(weights=np.zeros(3)))


def test_a_header_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        make_header().channels = 2  # type: ignore[misc]
