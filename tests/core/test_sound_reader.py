"""Sound files and pipes in blocks: all of the sound, no more than it, and what is said of odd files."""

from __future__ import annotations

import io
import os
import re
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest
import soundfile
import torch

from soundloom.core.audio import AudioError, TruncatedAudioError, check_axes, check_sound, read_audio
from soundloom.core.layout import find_layout
from soundloom.core.layout.mpeg import tag_size
from soundloom.core.layout.spliced import Spliced, Window
from soundloom.core.raw_format import RawFormat
from soundloom.core.sound_reader import open_sound
from tests.tiny_codecs import write_sound

RATE = 16000
# Suffix -> format and encoding, of which the header tells a size that can be compared with what is there.
SIZED = {
    ".wav": ("WAV", "PCM_16"),
    ".wavex": ("WAVEX", "PCM_24"),
    ".rf64": ("RF64", "PCM_16"),
    ".w64": ("W64", "PCM_16"),
    ".aiff": ("AIFF", "PCM_16"),
    ".au": ("AU", "FLOAT"),
    ".caf": ("CAF", "PCM_16"),
    ".svx": ("SVX", "PCM_16"),
    ".voc": ("VOC", "PCM_U8"),
    ".flac": ("FLAC", "PCM_16"),
    ".mp3": ("MP3", "MPEG_LAYER_III"),
    ".ogg": ("OGG", "VORBIS"),
    ".opus": ("OGG", "OPUS"),
    ".adpcm": ("WAV", "IMA_ADPCM"),
    ".gsm": ("WAV", "GSM610"),
}


def noise(
    seconds: float, level: float = 0.3, rate: int = RATE, channels: int = 1, seed: int = 0
) -> np.ndarray:
    """Frames `[N, C]`."""
    return np.random.default_rng(seed).uniform(-level, level, (round(seconds * rate), channels))


def encoded(frames: np.ndarray, format: str, subtype: str, rate: int = RATE, **options: object) -> bytes:
    """The bytes of a sound file."""
    buffer = io.BytesIO()
    soundfile.write(buffer, frames, rate, format=format, subtype=subtype, **options)
    return buffer.getvalue()


def length(data: bytes, **options: bool) -> int:
    samples, _ = read_audio(data, **options)
    return samples.shape[-1]


def without_first_frame(mp3: bytes) -> bytes:
    """An mp3 without its Info header, as encoders write it to a pipe."""
    return mp3[mp3.index(mp3[:2], 200) :]


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
        assert reader.length is None
        assert reader.seconds is None
        samples = torch.cat(list(reader.blocks(1000)), dim=-1)
    np.testing.assert_array_equal(samples.T.numpy(), soundfile.read(path, dtype="float32")[0])


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
        (TypeError, "None is no sound file; give a path, or a binary stream", None),
        (TypeError, "open the sound file with mode 'rb'", io.StringIO("sound")),
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


# --- all of the sound ------------------------------------------------------------------------------------


def test_an_mp3_whose_first_frames_are_larger_than_the_others_is_read_to_its_end() -> None:
    frames = np.concatenate([noise(1, 0.5), noise(5, 1e-4)])
    mp3 = encoded(frames, "MP3", "MPEG_LAYER_III", bitrate_mode="VARIABLE", compression_level=0.0)
    piped = without_first_frame(mp3)
    with soundfile.SoundFile(io.BytesIO(piped)) as file:
        assert file.frames < 0.9 * len(frames)  # what libsndfile takes for its length
    assert len(frames) <= length(piped) <= len(frames) + 3 * 1152
    assert length(mp3) == len(frames)
    with open_sound(piped) as sound:
        assert sound.seconds == pytest.approx(6, abs=0.2)
        whole = sound.read()
        torch.testing.assert_close(sound.read(50_000, 4000), whole[:, 50_000:54_000], atol=1e-4, rtol=0)


@pytest.mark.parametrize("tags", [b"", b"ID3\x04\0\0\0\0\x01\0" + bytes(128), b"TAG" + bytes(125)])
def test_joined_mp3_files(tags: bytes) -> None:
    one, two = (encoded(noise(s), "MP3", "MPEG_LAYER_III") for s in (2, 3))
    assert 5 * RATE <= length(one + tags + two) <= 5 * RATE + 3 * 1152
    assert length(tags[:138] + one if tags[:3] == b"ID3" else one) == 2 * RATE


@pytest.mark.parametrize("rate", [16000, 32000])
def test_joined_mp3_files_of_two_kinds_are_brought_to_the_first(rate: int) -> None:
    one = encoded(noise(2), "MP3", "MPEG_LAYER_III")
    two = encoded(noise(3, rate=rate, channels=2), "MP3", "MPEG_LAYER_III", rate)
    samples, found = read_audio(one + two)
    assert found == RATE
    assert samples.shape[0] == 1
    assert abs(samples.shape[1] - 5 * RATE) < 4 * 1152
    assert float(samples[:, 4 * RATE :].std()) > 0.05


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_chained_ogg_files(subtype: str) -> None:
    parts = [encoded(noise(s, seed=s), "OGG", subtype) for s in (2, 1, 3)]
    samples, _ = read_audio(b"".join(parts))
    alone = torch.cat([read_audio(part)[0] for part in parts], dim=-1)
    assert samples.shape[1] == 6 * RATE
    torch.testing.assert_close(samples, alone)
    with open_sound(b"".join(parts)) as sound:
        assert sound.count() == 6 * RATE
        torch.testing.assert_close(sound.read(2 * RATE + 5, RATE), alone[:, 2 * RATE + 5 : 3 * RATE + 5])


def test_chained_ogg_files_of_two_rates_are_brought_to_the_first() -> None:
    data = encoded(noise(2), "OGG", "VORBIS") + encoded(
        noise(1, rate=44100, channels=2), "OGG", "VORBIS", 44100
    )
    samples, rate = read_audio(data)
    assert (rate, *samples.shape) == (RATE, 1, 3 * RATE)


@pytest.mark.parametrize("suffix", SIZED)
def test_a_part_is_a_part_of_the_whole(suffix: str) -> None:
    data = encoded(noise(2), *SIZED[suffix])
    with open_sound(data) as sound:
        whole = sound.read()
        assert sound.about is not None
        assert abs(sound.about - whole.shape[1]) < 1200
        assert sound.length in (None, whole.shape[1])
        torch.testing.assert_close(sound.read(), whole)  # each reading begins anew
        part = sound.read(9000, 3000)
        tolerance = 0.02 if suffix in (".mp3", ".ogg", ".opus", ".gsm") else 1e-6
        torch.testing.assert_close(part, whole[:, 9000:12000], atol=tolerance, rtol=0)
        assert sound.read(10**6).shape[1] == 0
        assert sound.read(0, 0).shape == (1, 0)


# --- headers that do not tell the length -----------------------------------------------------------------


def flac_with_length(data: bytes, samples: int) -> bytes:
    head = bytearray(data)
    number = int.from_bytes(head[18:26], "big") >> 36 << 36 | samples
    head[18:26] = number.to_bytes(8, "big")
    return bytes(head)


@pytest.mark.parametrize("told", [0, 5, 20000, 31999, 32000])
def test_flac_that_tells_no_length_or_a_shorter_one(told: int) -> None:
    data = encoded(noise(2), "FLAC", "PCM_16")
    expected = read_audio(data)[0]
    odd = flac_with_length(data, told)
    torch.testing.assert_close(read_audio(odd)[0], expected)
    with open_sound(odd) as sound:
        assert sound.length == (None if told == 0 else 32000)
        assert sound.count() == 32000
        assert torch.equal(sound.read(20_000, 1000), expected[:, 20_000:21_000])


def test_joined_flac_is_read_to_its_end() -> None:
    first, second = encoded(noise(2), "FLAC", "PCM_16"), encoded(noise(1), "FLAC", "PCM_16")
    expected = torch.cat([read_audio(first)[0], read_audio(second)[0]], dim=-1)
    joined = first + flac_with_length(second, 0)
    torch.testing.assert_close(read_audio(joined)[0], expected)
    with open_sound(joined) as sound:
        torch.testing.assert_close(sound.read(31_000, 2000), expected[:, 31_000:33_000])
    with pytest.raises(TruncatedAudioError, match="3.00 s"):
        read_audio((first + second)[:-5000])
    part = read_audio((first + second)[:-5000], allow_truncated=True)[0]
    assert 2 * RATE <= part.shape[-1] < 3 * RATE
    assert torch.equal(part, expected[:, : part.shape[-1]])
    spoiled = bytearray(first + second)
    spoiled[len(first) // 2] ^= 255
    with pytest.raises(AudioError, match="damaged"):
        read_audio(bytes(spoiled))


def patched(data: bytes, *fields: tuple[bytes, int, bytes]) -> bytes:
    """Bytes with others in place of those at a distance from the first occurrence of a name."""
    changed = bytearray(data)
    for name, distance, value in fields:
        place = data.index(name) + distance
        changed[place : place + len(value)] = value
    return bytes(changed)


ZERO, FULL = bytes(8), b"\xff" * 8


@pytest.mark.parametrize(
    ("suffix", "fields"),
    [
        (".wav", [(b"RIFF", 4, ZERO[:4]), (b"data", 4, ZERO[:4])]),
        (".wav", [(b"data", 4, ZERO[:4])]),
        (".wav", [(b"RIFF", 4, FULL[:4]), (b"data", 4, FULL[:4])]),
        (".wav", [(b"data", 4, b"\0\xf0\xff\x7f")]),
        (".aiff", [(b"FORM", 4, ZERO[:4]), (b"COMM", 10, ZERO[:4]), (b"SSND", 4, ZERO[:4])]),
        (".au", [(b".snd", 8, FULL[:4])]),
        (".au", [(b".snd", 8, ZERO[:4])]),
        (".caf", [(b"data", 4, FULL)]),
        (".w64", [(b"data", 16, ZERO)]),
    ],
)
def test_sizes_that_a_recorder_did_not_fill_in(
    suffix: str, fields: list[tuple[bytes, int, bytes]], caplog: pytest.LogCaptureFixture
) -> None:
    data = encoded(noise(2), *SIZED[suffix])
    if suffix == ".aiff":  # libsndfile writes a chunk behind COMM that ends with the sound
        assert data.index(b"SSND") < 200
    assert length(patched(data, *fields)) == 2 * RATE
    assert ("never completed" in caplog.text) == (fields[-1][2] in (ZERO, ZERO[:4]))


def test_a_wav_with_no_samples_has_none() -> None:
    empty = encoded(np.zeros((0, 1)), "WAV", "PCM_16")
    for data in (empty, empty + b"LIST\x04\0\0\0INFO"):
        with pytest.raises(AudioError, match="0 samples"):
            read_audio(data)


@pytest.mark.parametrize("suffix", SIZED)
@pytest.mark.parametrize("where", ["tag before", "tag behind", "junk behind"])
def test_what_stands_around_a_sound_does_no_harm(suffix: str, where: str) -> None:
    data = encoded(noise(2), *SIZED[suffix])
    expected = read_audio(data)[0]
    if where == "tag before":
        odd = b"ID3\x04\0\0\0\0\x01\0" + bytes(128) + data
    else:
        odd = data + (b"TAG" + bytes(125) if where == "tag behind" else bytes(range(1, 200)) * 5)
    torch.testing.assert_close(read_audio(odd)[0], expected)


def test_mp3_in_wav() -> None:
    mp3 = without_first_frame(encoded(noise(2), "MP3", "MPEG_LAYER_III"))
    layout = struct.pack("<HHIIHHHHIHHH", 0x55, 1, RATE, 4000, 1, 0, 12, 1, 2, 576, 1, 0)
    body = b"WAVEfmt " + struct.pack("<I", len(layout)) + layout + b"data" + struct.pack("<I", len(mp3)) + mp3
    wav = b"RIFF" + struct.pack("<I", len(body)) + body
    assert 2 * RATE <= length(wav) <= 2 * RATE + 3 * 1152
    with pytest.raises(TruncatedAudioError, match="breaks off early: its header tells of 2"):
        read_audio(wav[: len(wav) // 2])


# --- files that break off early --------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", SIZED)
def test_half_a_file_breaks_off_early(tmp_path: Path, suffix: str, caplog: pytest.LogCaptureFixture) -> None:
    data = encoded(noise(6), *SIZED[suffix])
    path = tmp_path / "half.wav"  # told by content
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(TruncatedAudioError, match="half.wav breaks off early") as caught:
        read_audio(path)
    assert "allow_truncated=True" in str(caught.value)
    if suffix not in (".ogg", ".opus"):  # whose header does not tell
        told = re.search(r"its header tells of ([0-9.]+) s", str(caught.value))
        assert told is not None
        assert float(told[1]) == pytest.approx(6, abs=0.3)
    assert not caplog.records
    samples, _ = read_audio(path, allow_truncated=True)
    assert (0.5 if suffix in (".ogg", ".opus") else 0.9) * 3 < samples.shape[1] / RATE < 3.1
    expected = read_audio(data)[0][:, : samples.shape[1]]
    assert float((samples - expected)[:, :-3000].abs().max()) < 0.05
    assert "breaks off early" in caplog.text
    path.write_bytes(data)
    assert read_audio(path)[0].shape[1] >= 6 * RATE  # not what was known of the file before


@pytest.mark.parametrize("size", [300, 1000, 2000])
def test_the_first_bytes_of_an_mp3_are_no_sound_of_its_length(size: int) -> None:
    data = encoded(noise(60), "MP3", "MPEG_LAYER_III")
    with pytest.raises(AudioError, match="breaks off early|cannot read|0 samples"):
        read_audio(data[:size])
    if size == 2000:
        assert length(data[:size], allow_truncated=True) < RATE


def test_a_cut_mp3_without_a_header_ends_within_a_frame() -> None:
    mp3 = without_first_frame(encoded(noise(3), "MP3", "MPEG_LAYER_III"))
    with pytest.raises(TruncatedAudioError):
        read_audio(mp3[:-50])


def test_an_ogg_without_its_last_page_is_cut_in_every_part() -> None:
    data = encoded(noise(3), "OGG", "VORBIS")
    last = data.rindex(b"OggS")
    for odd in (data[:last], data[:last] + data, data + data[:last]):
        with pytest.raises(TruncatedAudioError, match="its last page is missing"):
            read_audio(odd)


def test_damage_within_is_said(tmp_path: Path) -> None:
    data = bytearray(encoded(noise(3), "FLAC", "PCM_16"))
    data[40000:50000] = bytes(10000)
    with pytest.raises(AudioError, match="damaged after [01]"):
        read_audio(bytes(data))


def test_a_pipe_that_ends_early(tmp_path: Path) -> None:
    data = encoded(noise(2), "WAV", "PCM_16")
    with pipe(data[:-20000]) as stream, pytest.raises(TruncatedAudioError), open_sound(stream) as sound:
        list(sound.blocks(1000))
    empty = patched(data, (b"RIFF", 4, ZERO[:4]), (b"data", 4, ZERO[:4]))
    with (
        pipe(empty) as stream,
        pytest.raises(AudioError, match="header tells of no samples"),
        open_sound(stream),
    ):
        pass


# --- what comes in ---------------------------------------------------------------------------------------


def test_bytes_and_streams(tmp_path: Path) -> None:
    path = write_sound(tmp_path / "a.flac", 0.5, RATE, 2)
    data = path.read_bytes()
    expected = read_audio(path)[0]
    for source in (data, bytearray(data), memoryview(data), io.BytesIO(data)):
        assert torch.equal(read_audio(source)[0], expected)
    with path.open("rb") as file:
        assert torch.equal(read_audio(file)[0], expected)
        assert torch.equal(read_audio(file)[0], expected)  # from the beginning again


@pytest.mark.parametrize(
    ("head", "message"),
    [
        (b"\0\0\0\x1cftypM4A isom", r"MPEG-4 audio .*ffmpeg -i .*\.m4a .*\.wav"),
        (b"\xff\xf1\x50\x80\x02\x1f\xfc", "AAC"),
        (b"\x1aE\xdf\xa3\x01", "WebM or Matroska"),
        (b"<!DOCTYPE html><html>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1", "git lfs pull"),
        (b"", "it is empty"),
    ],
)
def test_what_is_no_sound_is_told_with_the_fix(tmp_path: Path, head: bytes, message: str) -> None:
    path = tmp_path / "song.m4a"
    path.write_bytes(head + bytes(1000) * bool(head))
    with pytest.raises(AudioError, match=message):
        read_audio(path)


@pytest.mark.parametrize(("full", "fix"), [(2**15, "32768.0"), (2**23, "8388608.0")])
def test_samples_on_the_scale_of_integers(full: int, fix: str) -> None:
    whole = torch.from_numpy((noise(0.1).T * full).round()).float()
    resampled = whole + 0.25
    quiet = (whole / full * 40).round()
    for samples in (whole, resampled, quiet):
        data = encoded(samples.numpy().T, "WAV", "FLOAT")
        with pytest.raises(AudioError, match="full scale is 1: divide by"):
            read_audio(data)
    with pytest.raises(AudioError, match=fix):
        check_sound(whole)
    for fine in (whole / full, 30 * whole / full, torch.tensor([[0.0, 1.0, -1.0, 2.0]]), torch.zeros(1, 5)):
        check_sound(fine)


def test_sample_rates_that_no_sound_has() -> None:
    data = bytearray(encoded(noise(1), "WAV", "PCM_16"))
    data[24:28] = struct.pack("<I", 1493188224)
    with pytest.raises(AudioError, match="1493188224 Hz; 1 to 1000000 Hz"):
        read_audio(bytes(data))


def test_axes() -> None:
    for shape in ((64, 2), (65, 100), (3, 2), (2, 48, 8), (0, 5)):
        with pytest.raises(AudioError, match="transpose"):
            check_axes(torch.zeros(shape))
    for shape in ((1, 1), (2, 1), (8, 8), (64, 64), (3, 1, 100), (5, 0)):
        check_axes(torch.zeros(shape))


# --- parts -----------------------------------------------------------------------------------------------


def test_spliced_bytes() -> None:
    spliced = Spliced(io.BytesIO(bytes(range(100))), ((10, 20), b"abc", (50, 52)), hole=200)
    assert spliced.read(12) == bytes(range(10, 20)) + b"ab"
    assert spliced.seek(-2, os.SEEK_CUR) == 10
    assert spliced.read(100) == b"abc" + bytes((50, 51))
    assert spliced.ended
    assert spliced.seek(-128, os.SEEK_END) == 15 + 200 - 128
    assert spliced.read(200) == bytes(128)
    closed = io.BytesIO(b"abc")
    broken = Spliced(closed, ((0, 3),))
    closed.close()
    assert broken.read(3) == b""
    assert broken.error is not None


def test_window_and_tags() -> None:
    data = bytes(5000) + b"needle" + bytes(5000)
    window = Window(io.BytesIO(data), 0, len(data), size=64)
    assert window.find(b"needle", 0, len(data)) == 5000
    assert window.find(b"needle", 0, 5000) == -1
    assert window.find(b"needle", 5001, len(data)) == -1
    assert window.peek(5000, 6) == b"needle"
    assert window.peek(len(data) - 2, 6) == bytes(2)
    assert window.peek(-1, 6) == window.peek(len(data), 6) == window.peek(2**63, 6) == b""
    ape = b"APETAGEX" + struct.pack("<IIII", 2000, 500, 1, 0xA0000000) + bytes(8)
    assert tag_size(Window(io.BytesIO(ape), 0, 32), 0) == 532
    assert find_layout(io.BytesIO(data)).kind == ""


@pytest.mark.slow
def test_memory_is_bounded_by_twice_the_result(tmp_path: Path) -> None:
    path = tmp_path / "half_an_hour.flac"
    with soundfile.SoundFile(path, "w", 44100, 2, "PCM_16") as file:
        for second in range(30):
            for _ in range(60):
                file.write(noise(1, rate=44100, channels=2, seed=second))
    program = (
        "import resource, sys, soundloom.core.sound_reader; from soundloom.core.audio import read_audio\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024\n"
        "before = peak(); samples, _ = read_audio(sys.argv[1])\n"
        "print((peak() - before) / (samples.numel() * 4))"
    )
    result = subprocess.run(
        [sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True
    )
    assert float(result.stdout) < 2.0, result.stdout
