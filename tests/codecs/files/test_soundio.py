"""Sound files and pipes in blocks."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest
import soundfile
import torch

from soundloom.codecs.audio import WRITE_FORMATS, AudioError
from soundloom.codecs.files.soundio import (
    RAW_SUBTYPES,
    FileWriter,
    PipeWriter,
    RawFormat,
    open_sound,
    wav_header,
)
from tests.tiny_codecs import sound, write_sound


@contextmanager
def pipe(data: bytes) -> Iterator[BinaryIO]:
    """The reading end of a pipe that another thread writes bytes into, a few at a time."""
    reading, writing = os.pipe()

    def feed() -> None:
        with os.fdopen(writing, "wb", buffering=0) as end:
            for start in range(0, len(data), 999):
                try:
                    end.write(data[start : start + 999])
                except BrokenPipeError:
                    return

    thread = threading.Thread(target=feed)
    thread.start()
    with os.fdopen(reading, "rb") as stream:
        yield stream
    thread.join()


def content(path: Path) -> bytes:
    return path.read_bytes()


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg", ".mp3", ".aiff"])
def test_blocks_are_the_file(tmp_path: Path, suffix: str) -> None:
    path = write_sound(tmp_path / f"a{suffix}", 0.5, 16000, 2)
    expected, _ = soundfile.read(path, dtype="float32", always_2d=True)
    for source in (path, str(path), io.BytesIO(content(path))):
        with open_sound(source) as reader:
            assert (reader.sample_rate, reader.channels) == (16000, 2)
            assert reader.length == (None if suffix in (".ogg", ".mp3") else len(expected))
            assert reader.seconds == pytest.approx(0.5, abs=0.1)
            blocks = list(reader.blocks(999))
        assert all(block.shape[-1] <= 999 for block in blocks)
        np.testing.assert_allclose(torch.cat(blocks, dim=-1).T.numpy(), expected, atol=1e-6)


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT", "PCM_U8"])
@pytest.mark.parametrize("size", ["known", "unknown"])
def test_wav_from_a_pipe(tmp_path: Path, subtype: str, size: str) -> None:
    path = write_sound(tmp_path / "a.wav", 0.3, 16000, 2, subtype=subtype)
    data = bytearray(content(path))
    if size == "unknown":  # as ffmpeg writes to a pipe
        place = data.index(b"data") + 4
        data[4:8] = data[place : place + 4] = b"\xff" * 4
    with pipe(bytes(data)) as stream, open_sound(stream) as reader:
        assert reader.length is None and reader.seconds is None
        samples = torch.cat(list(reader.blocks(1000)), dim=-1)
    np.testing.assert_array_equal(samples.T.numpy(), soundfile.read(path, dtype="float32")[0])


@pytest.mark.parametrize("encoding", RAW_SUBTYPES)
def test_raw_samples_go_out_and_come_in(encoding: str) -> None:
    samples = sound(0.1, 8000, 2)
    stream = io.BytesIO()
    PipeWriter(
        stream, sample_rate=8000, channels=2, length=None, raw=RawFormat.parse(encoding, reading=False)
    ).write(samples)
    raw = RawFormat.parse(f"{encoding}:8000:2", reading=True)
    with pipe(stream.getvalue()) as piped, open_sound(piped, raw) as reader:
        found = torch.cat(list(reader.blocks(333)), dim=-1)
    torch.testing.assert_close(found, samples, atol=0.02 if "8" in encoding[:2] else 1e-4, rtol=0)


@pytest.mark.parametrize("suffix", [".mp3", ".ogg", ".flac"])
def test_what_cannot_be_piped_is_said(tmp_path: Path, suffix: str) -> None:
    data = content(write_sound(tmp_path / f"a{suffix}", 0.5))
    with pipe(data) as stream, pytest.raises(AudioError, match="pipe|cannot read sound"), open_sound(stream):
        pass


@pytest.mark.parametrize(
    ("text", "reading", "message"),
    [
        ("mp3", False, "'mp3'"),
        ("s16le", True, "give encoding, sample rate and channels, as in s16le:44100:2"),
        ("s16le:44100", True, "s16le:44100:2"),
        ("s16le:x:2", True, "'s16le:x:2'"),
        ("s16le:44100:2", False, "give only the encoding"),
    ],
)
def test_raw_formats_that_are_not_understood(text: str, reading: bool, message: str) -> None:
    with pytest.raises(AudioError, match=message):
        RawFormat.parse(text, reading=reading)


def test_sources_that_are_refused(tmp_path: Path) -> None:
    bad = tmp_path / "bad.wav"
    bad.write_bytes(b"RIFF, or is it?")
    cases: list[tuple[type[Exception], str, object]] = [
        (FileNotFoundError, "no such file: .*gone.wav", tmp_path / "gone.wav"),
        (IsADirectoryError, "is a folder", tmp_path),
        (AudioError, "cannot read sound from .*bad.wav", bad),
        (AudioError, "cannot read sound", io.BytesIO(b"")),
    ]
    for kind, message, source in cases:
        with pytest.raises(kind, match=message), open_sound(source):  # type: ignore[arg-type]
            pass
    many = tmp_path / "many.wav"
    soundfile.write(many, np.zeros((10, 65)), 8000)
    with pytest.raises(AudioError, match="65 channels; 1 to 64"), open_sound(many):
        pass
    with (
        pytest.raises(AudioError, match="raw sample rate is 0"),
        open_sound(io.BytesIO(b"1234"), RawFormat("s16le", 0, 1)),
    ):
        pass


def test_a_truncated_file_is_noticed(tmp_path: Path) -> None:
    path = write_sound(tmp_path / "a.flac", 3)
    path.write_bytes(content(path)[:-20000])
    with pytest.raises(AudioError, match="a.flac is (truncated|damaged)"), open_sound(path) as reader:
        list(reader.blocks(1000))


@pytest.mark.parametrize("length", [0, 5, None, 2**31])
def test_wav_headers(length: int | None) -> None:
    header = wav_header(8000, 2, length)
    assert len(header) == 44
    unknown = length is None or length >= 2**30
    assert header[40:44] == (b"\xff" * 4 if unknown else (4 * length).to_bytes(4, "little"))
    with soundfile.SoundFile(io.BytesIO(header + bytes(20))) as file:
        assert (file.samplerate, file.channels) == (8000, 2)


@pytest.mark.parametrize("suffix", WRITE_FORMATS)
def test_files_are_written_in_blocks(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / "out"
    writer = FileWriter(path, suffix, sample_rate=16000, channels=2, shown=path)
    samples = sound(1, 16000, 2)
    for block in samples.split(5000, dim=-1):
        writer.write(block)
    writer.close()
    read, rate = soundfile.read(path, always_2d=True)
    assert rate == 16000 and abs(len(read) - 16000) <= (3000 if suffix == ".mp3" else 0)


def test_what_is_beyond_full_scale_is_clipped(tmp_path: Path) -> None:
    writer = FileWriter(tmp_path / "out", ".wav", sample_rate=8000, channels=1, shown=tmp_path)
    writer.write(torch.tensor([[0.5, 1.5, -7.0, -1.0]]))
    writer.close()
    np.testing.assert_allclose(soundfile.read(tmp_path / "out")[0], [0.5, 1, -1, -1], atol=1e-4)


def test_a_piped_wav_in_blocks_is_a_whole_wav_file() -> None:
    stream = io.BytesIO()
    samples = torch.tensor([[0.0, 0.5, -1.0, 1.5, -2.0, 1.0], [0.25] * 6])
    writer = PipeWriter(stream, sample_rate=8000, channels=2, length=6)
    writer.write(samples[:, :1])
    writer.write(samples[:, 1:])
    stream.seek(0)
    read, rate = soundfile.read(stream, dtype="float32")
    assert rate == 8000
    np.testing.assert_allclose(read.T, samples.clamp(-1, 1).numpy(), atol=1 / 32000)


def test_formats_that_cannot_hold_it(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match=r"\.mp3 cannot hold 1 channels at 96000 Hz \(x\.mp3\)"):
        FileWriter(tmp_path / "p", ".mp3", sample_rate=96000, channels=1, shown=Path("x.mp3"))
