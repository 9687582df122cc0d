"""Damaged and hostile compressed-audio files: always a ContainerError, no hang, no crash, little memory."""

import io
import random
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from soundloom.codecs.container import ContainerError, ContainerReader, ContainerWriter, Header
from soundloom.codecs.container.fields import pack_varint
from soundloom.codecs.container.header import MAX_CODED
from soundloom.codecs.container.header_bytes import pack_header
from tests.codecs.container.samples import SAMPLES, join, make_header, sample_bytes, split

FILES = {name: sample_bytes(name) for name in SAMPLES}
CHUNKS = {name: dict(ContainerReader(io.BytesIO(data)).chunks()) for name, data in FILES.items()}


class Pipe(io.BytesIO):
    """A stream that cannot seek."""

    def seekable(self) -> bool:
        return False


STREAMS: list[Callable[[bytes], Any]] = [io.BytesIO, Pipe]


def read(data: bytes, stream: Callable[[bytes], Any] = io.BytesIO) -> tuple[Header, int | None, list[Tensor]]:
    """Everything in a file."""
    reader = ContainerReader(stream(data), name="x.loom")
    return reader.header, reader.length, list(reader)


def recover(data: bytes, stream: Callable[[bytes], Any] = io.BytesIO) -> dict[int, Tensor]:
    """Every intact chunk of a file, nothing if the header is not intact; ContainerError is the only error."""
    try:
        reader = ContainerReader(stream(data), recover=True)
    except ContainerError:
        return {}
    return dict(reader.chunks())


def subset(found: dict[int, Tensor], name: str) -> bool:
    """Whether all chunks found are those of a sample."""
    return all(
        first in CHUNKS[name] and torch.equal(part, CHUNKS[name][first]) for first, part in found.items()
    )


@contextmanager
def bounded(megabytes: float, seconds: float) -> Iterator[None]:
    """Fail if what happens inside allocates more, or takes longer."""
    tracemalloc.start()
    start = time.process_time()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < megabytes * 1e6
        assert time.process_time() - start < seconds
    finally:
        tracemalloc.stop()


# --- every small damage --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SAMPLES)
def test_truncated_at_every_byte(name: str) -> None:
    data = FILES[name]
    for size in range(len(data)):
        for stream in STREAMS:
            with pytest.raises(ContainerError, match=r"^x\.loom, byte \d+: "):
                read(data[:size], stream)
            assert subset(recover(data[:size], stream), name)


@pytest.mark.parametrize("name", SAMPLES)
def test_every_bit_flipped(name: str) -> None:
    data = bytearray(FILES[name])
    header_size = 15 + len(split(FILES[name])[0])
    for bit in range(8 * len(data)):
        data[bit // 8] ^= 1 << bit % 8
        bad = bytes(data)
        with pytest.raises(ContainerError, match=r"^x\.loom, byte \d+: "):
            read(bad, Pipe)
        with pytest.raises(ContainerError, match=r"^x\.loom, byte \d+: "):
            read(bad, io.BytesIO)
        found = recover(bad, STREAMS[bit % 2])
        assert subset(found, name)
        lost = len(CHUNKS[name]) - len(found)
        assert lost == len(CHUNKS[name]) if bit // 8 < header_size else lost <= 1
        data[bit // 8] ^= 1 << bit % 8


def test_noise() -> None:
    chance = random.Random(0)
    for _ in range(500):
        noise = chance.randbytes(chance.randrange(300))
        for data in (noise, FILES["codes"][: chance.randrange(100)] + noise):
            for stream in STREAMS:
                with pytest.raises(ContainerError):
                    read(data, stream)
                assert subset(recover(data, stream), "codes")


# --- hostile, with checksums that fit ------------------------------------------------------------------


def forged_header(**changes: Any) -> bytes:
    """The fields of a header with values that `Header` does not allow."""
    header = make_header()
    for name, value in changes.items():
        object.__setattr__(header, name, value)
    return pack_header(header)[11:-4]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"length": 2**63 - 2}, "length is 9223372036854775806; allowed: 0 to 281474976710656"),
        ({"length": 2**63 - 1}, "above 9223372036854775807"),
        ({"channels": 10**9}, "channels is 1000000000; allowed: 1 to 2"),
        ({"sample_rate": 2**62}, "sample_rate is"),
        ({"sample_rate": 0}, "sample_rate is 0"),
        ({"shape": (10**9,)}, "shape[0] is 1000000000"),
        ({"shape": (0,)}, "shape[0] is 0"),
        ({"codebook_size": 2**62}, "codebook_size is"),
        ({"codebook_size": 0}, "codebook_size is 0"),
        ({"frames_per_chunk": 2**62}, "frames_per_chunk is"),
        ({"codec": "../../etc/passwd"}, "never a path"),
        ({"codec": "/root/.ssh/id_rsa"}, "never a path"),
        ({"codec": "C:\\codec"}, "never a path"),
        ({"codec": "~root/x"}, "never a path"),
        ({"codec": "x\0y"}, "never a path"),
        ({"codec": "x" * 10_000}, "at most 96"),
        ({"settings": {"file": "/dev/zero"}}, "setting file"),
        ({"settings": {"__class__": 1}}, "a setting's name"),
        ({"settings": {f"a{number}": 1 for number in range(200)}}, "at most 32"),
        ({"scale": float("nan")}, "scale is nan"),
        ({"scale": 1e-300}, "scale is 1e-300"),
    ],
)
def test_hostile_headers(changes: dict[str, Any], message: str) -> None:
    data = join([forged_header(**changes), *split(FILES["codes"])[1:]])
    for stream in STREAMS:
        with pytest.raises(ContainerError) as caught:
            read(data, stream)
        assert str(caught.value).startswith("x.loom, byte 0: ")
        assert message in str(caught.value)
        assert recover(data, stream) == {}


def test_header_fields_that_are_written_in_another_way() -> None:
    parts = split(FILES["codes"])
    fields, rest = parts[0], parts[1:]
    place = fields.index(b"bandwidth") - 1
    cases = {
        "needless leading zeros": fields.replace(b"\x0cseanet", b"\x8c\0seanet"),
        "where 0 are left": fields[:-1],
        "the one way": fields + b"\0",
        "unknown type": fields[:place] + fields[place:].replace(b"bandwidthf", b"bandwidthx"),
        "ASCII": fields.replace(b"seanet", b"sean\xc3t"),
        "kind is number 9": fields.replace(b"\x81\x19\x01", b"\x81\x19\x09"),
    }
    for message, bad in cases.items():
        assert bad != fields
        with pytest.raises(ContainerError, match=message):
            read(join([bad, *rest]))
    true_as_2 = fields.replace(b"tailb\x01", b"tailb\x02")
    not_lowest = fields.replace(b"\x32\x01\x04", b"\x64\x02\x04")  # 50 = 100 / 2
    for bad in (true_as_2, not_lowest):
        assert bad != fields
        with pytest.raises(ContainerError, match="the one way"):
            read(join([bad, *rest]))
    with pytest.raises(ContainerError, match="denominator 0"):
        read(join([fields.replace(b"\x32\x01\x04", b"\x32\x00\x04"), *rest]))


def test_a_future_version() -> None:
    bad = join(split(FILES["codes"]), preamble=b"\x89LOOM\r\n\x1a\x02")
    with pytest.raises(ContainerError, match="format version 2, and this soundloom reads version 1; update"):
        read(bad)


def test_a_header_that_claims_to_be_huge() -> None:
    for stream in STREAMS:
        with bounded(1, 1), pytest.raises(ContainerError, match="claims 65535 bytes"):
            read(FILES["codes"][:9] + b"\xff\xff" + bytes(100), stream)


def varints(*numbers: int) -> bytes:
    return b"".join(pack_varint(number) for number in numbers)


@pytest.mark.parametrize(
    ("block", "message"),
    [
        (b"\x9aLP" + varints(0, 2**62), "claims 4611686018427387904 bytes; its frames take 10"),
        (b"\x9aLP" + varints(2**62, 10), "a chunk of number 4611686018427387904"),
        (b"\x9aLp" + varints(0, 2**62, 10), "claims 4611686018427387904 frames; a short one has 1 to 3"),
        (b"\x9aLp" + varints(0, 0, 0), "claims 0 frames"),
        (b"\x9aLp" + varints(0, 4, 10), "claims 4 frames"),
        (b"\x9aLC" + varints(0, 1) + b"\1", "type b'C', which this file cannot have"),
        (b"\x9aLX" + varints(0, 1), "type b'X'"),
        (b"\x9aLP" + b"\xff" * 40, "a number above"),
        (b"\x9aLP\x80\0" + varints(10) + bytes(10), "needless leading zeros"),
        (b"\x9aLP" + varints(1, 10) + bytes(10), "chunk 1 where chunk 0 belongs"),
        (b"\x9aLE" + varints(2**62, 2**62, 1), "claims 4611686018427387904 chunks"),
        (b"\x9aLE" + varints(2**21 + 1, 2**23 + 1, 1), "claims 2097153 chunks"),
        (b"\x9aLE" + varints(3, 2, 1, 9, 9, 9), "claims 3 chunks and 2 frames"),
        (b"\x9aLE" + varints(1, 4, 2**62, 30), "says 4611686018427387904 samples"),
        (b"\x9aLE" + varints(1, 4, 0, 0), "a chunk of 0 bytes"),
    ],
)
def test_hostile_blocks(block: bytes, message: str) -> None:
    parts = split(FILES["codes"])
    last = [] if block[2:3] == b"E" else parts[-1:]
    for stream in STREAMS:
        # Whether the block or the index that does not fit to it is seen first depends on the stream.
        data = join([parts[0], block, *last])
        with bounded(1, 1), pytest.raises(ContainerError) as caught:
            read(data, stream)
        assert stream is io.BytesIO or message in str(caught.value)
        with bounded(1, 1):
            assert set(recover(data, stream)) <= {4}  # chunk 1 alone is not damaged


def test_a_length_that_its_frames_cannot_have() -> None:
    parts = split(FILES["piped"])
    end = b"\x9aLE" + varints(3, 10, 2**40) + parts[-1][parts[-1].index(b"\x81\x19") + 2 :]
    for stream in STREAMS:
        with pytest.raises(ContainerError, match="10 frames at 50 per second hold at most 3520"):
            read(join([*parts[:-1], end]), stream)


def test_an_index_that_leads_elsewhere() -> None:
    parts = split(FILES["codes"])
    sizes = [len(part) + 4 for part in parts[1:-1]]
    swapped = b"\x9aLE" + varints(3, 10, 3200, sizes[0] + 1, sizes[1] - 1, sizes[2])
    data = join([*parts[:-1], swapped])
    for stream in STREAMS:
        with pytest.raises(ContainerError, match="index does not fit to the chunks"):
            read(data, stream)
    with pytest.raises(ContainerError, match="no block starts here"):
        ContainerReader(io.BytesIO(data), name="x.loom").read(4, 5)
    reader = ContainerReader(io.BytesIO(data), recover=True)
    assert torch.equal(torch.cat(list(reader), 1), SAMPLES["codes"][1])
    too_long = b"\x9aLE" + varints(3, 10, 3200, sizes[0], sizes[1], sizes[2] + 9)
    with pytest.raises(ContainerError, match="index does not fit to the size"):
        ContainerReader(io.BytesIO(join([*parts[:-1], too_long])), name="x.loom")


def test_decompression_bombs_stay_within_a_chunk() -> None:
    """The adaptive coder makes many codes of few bytes: no more of them than a chunk may hold at a time."""
    header = make_header(
        shape=(1,), codebook_size=2**31, frames_per_chunk=MAX_CODED, entropy="adaptive", length=0
    )
    block = b"\x9aLC" + varints(0, 0)
    data = join([pack_header(header)[11:-4], block, b"\x9aLE" + varints(1, MAX_CODED, 0, len(block) + 4)])
    for stream in STREAMS:
        with bounded(4, 5):
            _, _, [frames] = read(data, stream)
        assert frames.shape == (1, MAX_CODED)
        assert not frames.any()


def test_the_slowest_chunk_is_bounded() -> None:
    header = make_header(
        shape=(1,), codebook_size=2**31, frames_per_chunk=MAX_CODED, entropy="adaptive", length=0
    )
    dense = b"\x9aLC" + varints(0, MAX_CODED * 31 // 8 - 1) + b"\xff" * (MAX_CODED * 31 // 8 - 1)
    data = join([pack_header(header)[11:-4], dense, b"\x9aLE" + varints(1, MAX_CODED, 0, len(dense) + 4)])
    start = time.process_time()
    with pytest.raises(ContainerError, match="goes on after the last code"):
        read(data)
    assert time.process_time() - start < 5


def test_the_largest_chunk_is_bounded() -> None:
    header = make_header(shape=(1024,), codebook_size=2**31, frames_per_chunk=1024, length=0)
    block = b"\x9aLP" + varints(0, 2**20 * 31 // 8) + bytes(2**20 * 31 // 8)
    head = pack_header(header)
    data = head + block[:5000]
    for stream in STREAMS:
        with bounded(1, 5), pytest.raises(ContainerError, match="truncated"):
            read(data, stream)
    data = join([head[11:-4], block, b"\x9aLE" + varints(1, 1024, 0, len(block) + 4)])
    with bounded(100, 20):
        _, _, [frames] = read(data)
    assert frames.shape == (1024, 1024)


def test_a_search_for_intact_chunks_ends() -> None:
    """A file of nothing but chunk starts that claim megabytes each would take hours to look through."""
    header = make_header(shape=(1024,), codebook_size=2**31, frames_per_chunk=1024)
    start = b"\x9aLP" + varints(0, 2**20 * 31 // 8)
    data = pack_header(header) + start * 900_000
    for stream in STREAMS:
        reader = ContainerReader(stream(data), recover=True)
        with bounded(40, 30):
            assert list(reader) == []
        assert "given up" in reader.damaged[0][2]


def test_a_search_among_markers_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """Millions of markers, at none of which a chunk begins, would take minutes to look at."""
    monkeypatch.setattr("soundloom.codecs.container.reader.SEARCH_BUDGET", 2**24)
    data = pack_header(make_header()) + b"\x9aLP" * 1_000_000
    for stream in STREAMS:
        reader = ContainerReader(stream(data), recover=True)
        with bounded(40, 30):
            assert list(reader) == []
        assert "given up" in reader.damaged[0][2]


def test_a_search_ends_although_it_finds_chunks_in_between() -> None:
    header = make_header(shape=(1024,), codebook_size=2**31, frames_per_chunk=1024)
    fake = b"\x9aLP" + varints(0, 2**20 * 31 // 8)
    body = pack_header(header)[11:-4]
    real = [fake + b"\x9aLp" + varints(number, 1, 3968) + bytes(3968) for number in range(1100)]
    whole = join([body, *(part[len(fake) :] for part in real), b"\x9aLE" + varints(0, 0, 0)])
    place, pieces = 15 + len(body), []
    for part in real:
        size = len(part) - len(fake) + 4
        pieces.append(fake + whole[place : place + size])
        place += size
    data = whole[: 15 + len(body)] + b"".join(pieces) + bytes(2**20 * 31 // 8)
    reader = ContainerReader(Pipe(data), recover=True)
    start = time.process_time()
    found = sum(1 for _ in reader)
    assert time.process_time() - start < 10
    assert 0 < found < 1100
    assert "given up" in reader.damaged[-1][2]


def test_an_index_as_large_as_a_file_may_claim() -> None:
    end = b"\x9aLE" + varints(2**21, 2**23, 0) + b"\x10" * 2**21
    data = join([split(FILES["codes"])[0], end])
    for stream in STREAMS:
        with bounded(60, 30), pytest.raises(ContainerError):
            read(data, stream)


def test_an_hour_is_written_and_read_in_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "hour.loom"
    header = make_header(frames_per_chunk=50, length=None)
    codes = torch.arange(2 * 500).reshape(2, 500)
    with path.open("wb") as stream, bounded(1, 20):
        writer = ContainerWriter(stream, header)
        for _ in range(360):
            writer.write(codes)
        writer.close(3600 * 16000)
    with path.open("rb") as stream, bounded(1, 20):
        assert sum(part.shape[1] for part in ContainerReader(stream)) == 180_000


# --- mutants -------------------------------------------------------------------------------------------


def mutate(chance: random.Random, data: bytes) -> bytes:
    """A few random changes: bytes set, bits flipped, parts cut out, doubled, moved, filled with extremes."""
    out = bytearray(data)
    for _ in range(chance.choice([1, 1, 1, 2, 3, 8])):
        if not out:
            break
        place, size = chance.randrange(len(out)), chance.choice([1, 1, 2, 4, 8, 20])
        kind = chance.randrange(6)
        if kind == 0:
            out[place] = chance.randrange(256)
        elif kind == 1:
            out[place] ^= 1 << chance.randrange(8)
        elif kind == 2:
            del out[place : place + size]
        elif kind == 3:
            out[place:place] = out[place : place + size]
        elif kind == 4:
            out[place:place] = chance.choice([b"\xff", b"\0", b"\x80", b"\x7f", b"\x9aLP", b"\x9aLE"]) * size
        else:
            other = chance.randrange(len(out))
            out[other:other] = out[place : place + size]
    return bytes(out)


def check_mutant(chance: random.Random) -> bool:
    """Try one mutant on every way of reading; returns whether it was still a file."""
    name = chance.choice(list(FILES))
    stream = chance.choice(STREAMS)
    resealed = chance.random() < 0.6
    if resealed:  # with checksums that fit, so that damage gets past them
        parts = split(FILES[name])
        for _ in range(chance.choice([1, 1, 2])):
            victim = chance.randrange(len(parts))
            parts[victim] = mutate(chance, parts[victim])
        bad = join(parts)
    else:
        bad = mutate(chance, FILES[name])
    try:
        header, _, frames = read(bad, stream)
    except ContainerError as error:
        assert str(error).startswith("x.loom, byte ")
        fine = False
    else:
        fine = True
        for part in frames:
            if header.kind == "codes":
                assert part.shape[0] == header.shape[0]
                assert int(part.min()) >= 0
                assert int(part.max()) < header.codebook_size
            else:
                assert part.shape[1:] == header.shape
                assert bool(torch.isfinite(part).all())
        assert resealed or bad == FILES[name]
    found = recover(bad, stream)
    assert resealed or subset(found, name)
    assert not fine or len(found) == len(frames)
    try:
        part = ContainerReader(io.BytesIO(bad), name="x.loom").read(0, 3)
    except ContainerError:
        assert not fine or len(frames) < 3  # a chunk has at least one frame
    else:
        assert 3 in part.shape
    return fine


@pytest.mark.parametrize("seed", range(4))
def test_mutants(seed: int) -> None:
    chance = random.Random(seed)
    fine = sum(check_mutant(chance) for _ in range(500))
    assert 5 < fine < 250  # both sides of the door are tried


@pytest.mark.slow
def test_a_hundred_thousand_mutants() -> None:
    chance = random.Random(2025)
    fine = sum(check_mutant(chance) for _ in range(100_000))
    assert 1000 < fine < 50_000
