"""docs/format.md holds: golden files, a reader made from the document alone, the document's own example."""

import struct
import zlib
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from soundloom.codecs.container import Compressed, ContainerReader
from tests.codecs.container.samples import PIPED_LENGTH, SAMPLES, make_header, sample_bytes
from tests.fixture_paths import FIXTURES

GOLDEN = FIXTURES / "container"
DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "format.md"


def expected_frames(name: str) -> np.ndarray:
    """What a golden file holds: by formula, or for int8 as numbers stored beside it."""
    if name == "latents-int8":
        with np.load(GOLDEN / f"{name}.npz") as stored:
            return stored["frames"]
    return SAMPLES[name][1].numpy()


# --- golden files --------------------------------------------------------------------------------------


def test_every_golden_file_is_tested() -> None:
    assert {path.stem for path in GOLDEN.glob("*.loom")} == set(SAMPLES)


@pytest.mark.parametrize("name", SAMPLES)
def test_golden_files_are_read(name: str) -> None:
    """Never change a golden file: it stands for files that people have."""
    path = GOLDEN / f"{name}.loom"
    with path.open("rb") as stream:
        reader = ContainerReader(stream, name=str(path))
        assert reader.header == SAMPLES[name][0]
        assert reader.length == (SAMPLES[name][0].length or PIPED_LENGTH)
        frames = reader.read().numpy()
    wanted = expected_frames(name)
    assert frames.dtype == wanted.dtype
    np.testing.assert_array_equal(frames, wanted)


def test_the_golden_int8_latents_are_near_the_original() -> None:
    original = SAMPLES["latents-int8"][1].numpy()
    assert np.abs(expected_frames("latents-int8") - original).max() <= np.abs(original).max() / 232


@pytest.mark.parametrize("name", SAMPLES)
def test_this_version_writes_the_golden_files(name: str) -> None:
    assert sample_bytes(name) == (GOLDEN / f"{name}.loom").read_bytes()


def test_the_adaptive_golden_file_uses_the_coder() -> None:
    content = (GOLDEN / "codes-adaptive.loom").read_bytes()
    assert content.count(b"\x9aLC") == 2
    assert content.count(b"\x9aLc") == 1


# --- another reader ------------------------------------------------------------------------------------
# Written from docs/format.md: nothing of soundloom is used below, and no numpy.


@dataclass
class Other:
    """What the other reader found in a file."""

    fields: dict[str, Any] = field(default_factory=dict)
    frames: list[list[Any]] = field(default_factory=list)  # one flat list per frame
    length: int = -1


class Cursor:
    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def raw(self, count: int) -> bytes:
        self.at += count
        assert self.at <= len(self.data)
        return self.data[self.at - count : self.at]

    def unpack(self, code: str) -> Any:
        return struct.unpack("<" + code, self.raw(struct.calcsize("<" + code)))[0]

    def varint(self) -> int:
        value = shift = 0
        while True:
            digit = self.unpack("B")
            value |= (digit & 127) << shift
            shift += 7
            if digit < 128:
                return value

    def text(self) -> str:
        return self.raw(self.varint()).decode("ascii")


def other_reader(data: bytes) -> Other:
    found = Other()
    at = Cursor(data)
    assert at.raw(8) == bytes.fromhex("894c4f4f4d0d0a1a")
    assert at.unpack("B") == 1
    fields_end = at.unpack("H") + at.at
    head: dict[str, Any] = {"codec": at.text(), "hash": at.raw(8).hex()}
    head |= {"rate": at.varint(), "channels": at.varint(), "length": at.varint() - 1}
    head |= {"kind": at.unpack("B"), "precision": at.unpack("B"), "entropy": at.unpack("B")}
    if head["kind"] == 1:
        head |= {"K": at.varint(), "V": at.varint()}
    else:
        head |= {"S": at.varint(), "D": at.varint()}
    head |= {"frame_rate": Fraction(at.varint(), at.varint()), "F": at.varint(), "scale": at.unpack("d")}
    head["settings"] = {}
    for _ in range(at.varint()):
        name, kind = at.text(), at.raw(1)
        value = at.text() if kind == b"s" else at.unpack({b"b": "?", b"i": "q", b"f": "d"}[kind])
        head["settings"][name] = value
    assert at.at == fields_end
    seed = zlib.crc32(data[:fields_end])
    assert at.unpack("I") == seed
    found.fields = head
    sizes: list[int] = []
    while True:
        start = at.at
        assert at.raw(2) == b"\x9a\x4c"
        kind = at.raw(1)
        if kind == b"E":
            break
        assert at.varint() == len(sizes)
        count = at.varint() if kind.islower() else head["F"]
        payload = at.raw(at.varint())
        checked = data[start : at.at]
        assert at.unpack("I") == zlib.crc32(checked, seed)
        found.frames += other_payload(kind, payload, count, head)
        sizes.append(at.at - start)
    assert at.varint() == len(sizes)
    assert at.varint() == len(found.frames)
    found.length = at.varint()
    assert [at.varint() for _ in sizes] == sizes
    checked = data[start : at.at]
    assert at.unpack("I") == zlib.crc32(checked, seed)
    assert at.unpack("I") == at.at - 4 - start
    assert at.raw(4) == b"MOOL"
    assert at.at == len(data)
    return found


def other_payload(kind: bytes, payload: bytes, count: int, head: dict[str, Any]) -> list[list[Any]]:
    if kind in b"Cc":
        return other_adaptive(payload, count, head["K"], head["V"])
    if head["kind"] == 1:
        return other_plain(payload, count, head["K"], head["V"])
    size = head["S"] * head["D"]
    if head["precision"] == 1:
        values = list(struct.unpack(f"<{count * size}e", payload))
    else:
        steps = [2 ** ((e - 192) / 8) if e else 0.0 for e in payload[: head["D"]]]
        whole = struct.unpack(f"<{count * size}b", payload[head["D"] :])
        exact = [q * steps[place % head["D"]] for place, q in enumerate(whole)]
        values = list(struct.unpack(f"<{len(exact)}f", struct.pack(f"<{len(exact)}f", *exact)))
    return [values[place : place + size] for place in range(0, count * size, size)]


def other_plain(payload: bytes, count: int, codebooks: int, size: int) -> list[list[int]]:
    bits = "".join(f"{byte:08b}" for byte in payload)
    codes: list[int] = []
    while len(codes) < count * codebooks:
        group = min(64, count * codebooks - len(codes))
        width = (size**group - 1).bit_length()
        number, bits = int(bits[:width], 2), bits[width:]
        codes += [number // size ** (group - 1 - place) % size for place in range(group)]
    assert len(bits) < 8
    assert "1" not in bits
    return [codes[place : place + codebooks] for place in range(0, len(codes), codebooks)]


def other_adaptive(payload: bytes, count: int, codebooks: int, size: int) -> list[list[int]]:
    x = int.from_bytes(payload, "big")
    frames: list[list[int]] = [[] for _ in range(count)]
    for _ in range(codebooks):
        weight: dict[int, int] = {}
        for frame in frames:
            seen = sum(weight.values())
            unseen = 5 + 4 * len(weight) if len(weight) < size else 0
            x, slot = divmod(x, seen + unseen)
            if slot < seen:
                low = 0
                for code in sorted(weight):
                    if slot < low + weight[code]:
                        break
                    low += weight[code]
                x = x * weight[code] + slot - low
                weight[code] += 5
            else:
                x = x * unseen + slot - seen
                x, rank = divmod(x, size - len(weight))
                code = [other for other in range(size) if other not in weight][rank]
                weight[code] = 1
            frame.append(code)
    assert x == 0
    return frames


@pytest.mark.parametrize("name", SAMPLES)
def test_a_reader_made_from_the_document_reads_golden_files(name: str) -> None:
    found = other_reader((GOLDEN / f"{name}.loom").read_bytes())
    header = SAMPLES[name][0]
    assert found.length == (header.length or PIPED_LENGTH)
    wanted = {
        "codec": header.codec,
        "hash": header.config_hash,
        "rate": header.sample_rate,
        "channels": header.channels,
        "length": -1 if header.length is None else header.length,
        "kind": {"codes": 1, "latents": 2}[header.kind],
        "precision": {"exact": 0, "float16": 1, "int8": 2}[header.precision],
        "entropy": {"none": 0, "adaptive": 1}[header.entropy],
        "frame_rate": header.frame_rate,
        "F": header.frames_per_chunk,
        "scale": header.scale,
        "settings": header.settings,
    }
    if header.kind == "codes":
        wanted |= {"K": header.shape[0], "V": header.codebook_size}
    else:
        wanted |= {"S": header.shape[0], "D": header.shape[1]}
    assert found.fields == wanted
    expected = expected_frames(name)
    if header.kind == "codes":
        expected = expected.T
    assert found.frames == expected.reshape(len(expected), -1).tolist()


@pytest.mark.parametrize("entropy", ["none", "adaptive"])
@pytest.mark.parametrize("size", [2, 3, 300, 1024])
def test_a_reader_made_from_the_document_reads_other_files(size: int, entropy: str) -> None:
    generator = torch.Generator().manual_seed(size)
    codes = torch.randint(0, size, (3, 50), generator=generator)
    codes[:, 20:] = torch.randint(0, min(size, 5), (3, 30), generator=generator)
    header = make_header(
        shape=(3,), codebook_size=size, frames_per_chunk=20, entropy=entropy, length=50 * 320
    )
    found = other_reader(Compressed(header, codes).to_bytes())
    assert found.frames == codes.T.tolist()


def test_the_example_of_the_document_is_the_golden_file() -> None:
    lines = DOCUMENT.read_text(encoding="utf-8").split("```hexdump\n", 1)[1].split("```", 1)[0].splitlines()
    data = b""
    for line in lines:
        place, content = line[:4], line[6:33].split("  ")[0]
        assert int(place, 16) == len(data)
        data += bytes.fromhex(content)
    assert data == (GOLDEN / "codes.loom").read_bytes()
