"""Pipes: unknown lengths, sounds that are still going on."""

from __future__ import annotations

import io
import os
import subprocess
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from soundloom.codecs import decode_file, describe_file, encode_file
from soundloom.codecs.container import ContainerReader
from soundloom.core.raw_format import RawFormat
from tests.codecs.compression.pipe import Pipe, samples
from tests.tiny_codecs import codecs, seanet, sound, write_sound

CODECS = codecs()
every_codec = pytest.mark.parametrize("kind", CODECS)


@every_codec
def test_pipes(tmp_path: Path, kind: str) -> None:
    codec = CODECS[kind]
    source = write_sound(tmp_path / "a.wav", 0.6, 16000, 2)
    encode_file(source, tmp_path / "a.loom", codec)
    decode_file(tmp_path / "a.loom", tmp_path / "b.wav", codec)
    expected = samples(tmp_path / "b.wav")

    packed = Pipe()
    with open(source, "rb") as file:
        report = encode_file(file, packed, codec)  # type: ignore[arg-type]
    assert report.size == len(packed.data)
    assert bytes(packed.data) == (tmp_path / "a.loom").read_bytes()
    out = Pipe()
    report = decode_file(Pipe(bytes(packed.data)), out, codec)  # type: ignore[arg-type]
    assert report.size == len(out.data) == (tmp_path / "b.wav").stat().st_size
    np.testing.assert_array_equal(
        soundfile.read(io.BytesIO(out.data), dtype="float32", always_2d=True)[0], expected
    )
    raw = Pipe()
    decode_file(tmp_path / "a.loom", raw, codec, raw=RawFormat("s16le"))  # type: ignore[arg-type]
    assert bytes(raw.data) == bytes(out.data)[44:]
    described = describe_file(Pipe(bytes(packed.data)))  # type: ignore[arg-type]
    assert replace(described, name="") == replace(describe_file(tmp_path / "a.loom"), name="")


@every_codec
@pytest.mark.parametrize("length", [1, 79, 80, 81, 8001])
def test_a_length_that_is_only_known_at_the_end(tmp_path: Path, kind: str, length: int) -> None:
    codec = CODECS[kind]
    data = (sound(length / 8000, 8000)[0].numpy() * 32767).astype("<i2").tobytes()
    (tmp_path / "raw").write_bytes(data)
    packed = Pipe()
    process = subprocess.Popen(["cat", str(tmp_path / "raw")], stdout=subprocess.PIPE)
    assert process.stdout is not None
    encode_file(process.stdout, packed, codec, raw=RawFormat("s16le", 8000, 1))  # type: ignore[arg-type]
    process.stdout.close()
    assert process.wait() == 0
    reader = ContainerReader(Pipe(bytes(packed.data)))  # type: ignore[arg-type]
    assert reader.header.length is None
    out = Pipe()
    decode_file(Pipe(bytes(packed.data)), out, codec)  # type: ignore[arg-type]
    assert out.data[40:44] == b"\xff" * 4
    assert len(out.data) == 44 + 2 * length
    (tmp_path / "a.loom").write_bytes(packed.data)
    decode_file(tmp_path / "a.loom", tmp_path / "a.wav", codec)
    assert (tmp_path / "a.wav").read_bytes()[44:] == out.data[44:]


def test_a_live_sound_comes_out_while_it_goes_in(tmp_path: Path) -> None:
    codec = seanet()
    packed = Pipe()
    sizes = []
    encode_file(
        write_sound(tmp_path / "a.wav", 10, 8000),
        packed,  # type: ignore[arg-type]
        codec,
        level=False,  # the gain stands before all the rest, and is known at the end
        progress=lambda seconds: sizes.append(len(packed.data)),
    )
    assert len(sizes) == 5
    assert sizes == sorted(set(sizes)), "every block adds to what is written"


class Tap(io.RawIOBase):
    """A pipe that gives everything from byte `hold` on only once `seen` has more than `wanted` bytes."""

    name = "<tap>"

    def __init__(self, data: bytes, hold: int, seen: Pipe, wanted: int) -> None:
        self.data, self.hold, self.seen, self.wanted = memoryview(data), hold, seen, wanted
        self.place = 0
        self.early = False

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False

    def readinto(self, buffer: Any) -> int:
        if self.place >= self.hold and not self.early:
            self.early = len(self.seen.data) > self.wanted
            assert self.early, "nothing has come out of what went in"
        stop = len(self.data) if self.early else self.hold
        count = min(len(buffer), stop - self.place)
        buffer[:count] = self.data[self.place : self.place + count]
        self.place += count
        return count


def test_a_live_sound_goes_through_both_ends_before_it_is_over(tmp_path: Path) -> None:
    codec = seanet()
    data = (sound(6, 8000)[0].numpy() * 32767).astype("<i2").tobytes()
    packed = Pipe()
    reading, writing = os.pipe()

    def feed() -> None:
        with os.fdopen(writing, "wb", buffering=0) as end:
            end.write(data[: 2 * 8000 * 3])  # three seconds
            deadline = time.monotonic() + 60
            while len(packed.data) < 300 and time.monotonic() < deadline:
                time.sleep(0.01)
            early.append(len(packed.data))
            end.write(data[2 * 8000 * 3 :])

    early: list[int] = []
    thread = threading.Thread(target=feed)
    thread.start()
    with os.fdopen(reading, "rb") as stream:
        encode_file(stream, packed, codec, raw=RawFormat("s16le", 8000, 1))  # type: ignore[arg-type]
    thread.join()
    assert early[0] >= 300, "two chunks of a second were written while the sound was going on"

    out = Pipe()
    tap = Tap(bytes(packed.data), hold=early[0], seen=out, wanted=44 + 2 * 8000)
    decode_file(tap, out, codec)  # type: ignore[arg-type]
    assert tap.early
    assert len(out.data) == 44 + len(data)
