"""Loop points in WAV files: written where samplers look, and the sound stays what it was."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from soundloom.core.audio import AudioError
from soundloom.core.loop_points import LoopPoints, add_loop_points, read_loop_points


@pytest.mark.parametrize(
    ("channels", "length", "subtype"), [(1, 999, "PCM_U8"), (2, 1000, "PCM_16"), (3, 7, "PCM_24")]
)
def test_the_whole_sound_is_the_loop(tmp_path: Path, channels: int, length: int, subtype: str) -> None:
    file = tmp_path / "sound.wav"
    samples = np.linspace(-0.5, 0.5, channels * length).reshape(length, channels)
    soundfile.write(file, samples, 22050, subtype=subtype)
    before, _ = soundfile.read(file, always_2d=True)
    assert read_loop_points(file) is None
    add_loop_points(file)
    assert read_loop_points(file) == LoopPoints(0, length - 1)
    after, rate = soundfile.read(file, always_2d=True)
    np.testing.assert_array_equal(before, after)
    assert rate == 22050
    content = file.read_bytes()
    assert int.from_bytes(content[4:8], "little") == len(content) - 8
    assert len(content) % 2 == 0


def test_points_of_ones_own_replace_those_that_are_there(tmp_path: Path) -> None:
    file = tmp_path / "sound.wav"
    soundfile.write(file, np.zeros(1000), 16000)
    add_loop_points(file)
    size = file.stat().st_size
    add_loop_points(file, LoopPoints(100, 899))
    assert read_loop_points(file) == LoopPoints(100, 899)
    assert file.stat().st_size == size
    assert soundfile.info(file).frames == 1000


def test_libsndfile_reads_the_same_points(tmp_path: Path) -> None:
    file = tmp_path / "sound.wav"
    soundfile.write(file, np.zeros(1000), 16000)
    add_loop_points(file, LoopPoints(10, 499))
    with soundfile.SoundFile(file) as sound:
        words = sound.extra_info.split()
    assert words[words.index("Start") : words.index("Fraction", words.index("Start"))] == [
        *("Start", ":", "10", "End", ":", "499")
    ]


@pytest.mark.parametrize("points", [LoopPoints(-1, 5), LoopPoints(0, 1000), LoopPoints(6, 5)])
def test_points_outside_of_the_sound_are_named(tmp_path: Path, points: LoopPoints) -> None:
    file = tmp_path / "sound.wav"
    soundfile.write(file, np.zeros(1000), 16000)
    before = file.read_bytes()
    with pytest.raises(
        AudioError, match=rf"{points.first}\.\.{points.last} is outside .* samples are 0\.\.999"
    ):
        add_loop_points(file, points)
    assert file.read_bytes() == before


@pytest.mark.parametrize("content", [b"", b"RIFF", b"fLaC" + bytes(40), b"RIFF\x04\0\0\0WAVE"])
def test_what_is_no_wav_is_named(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "sound.wav"
    file.write_bytes(content)
    with pytest.raises(AudioError, match="sound.wav (is no WAV file|has no chunks)"):
        add_loop_points(file)
