"""Sound files and pipes written in blocks."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from soundloom.core.audio import WRITE_FORMATS, AudioError
from soundloom.core.audio_blocks import FileWriter, PipeWriter, wav_header
from soundloom.core.raw_format import RAW_SUBTYPES, RawFormat
from soundloom.core.sound_reader import open_sound
from tests.core.test_sound_reader import pipe
from tests.tiny_codecs import sound


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
    assert rate == 16000
    assert abs(len(read) - 16000) <= (3000 if suffix == ".mp3" else 0)


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
