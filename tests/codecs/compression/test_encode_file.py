"""Compressed files: there and back, other formats, what is refused."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from soundloom.codecs import ContainerError, decode_file, describe_file, encode_file
from soundloom.codecs.container import Compressed
from soundloom.core.audio import AudioError
from tests.codecs.compression.pipe import samples
from tests.tiny_codecs import codecs, seanet, write_sound

CODECS = codecs()
every_codec = pytest.mark.parametrize("kind", CODECS)


@every_codec
@pytest.mark.parametrize(("rate", "channels"), [(44100, 2), (8000, 1), (11025, 3)])
def test_there_and_back(tmp_path: Path, kind: str, rate: int, channels: int) -> None:
    codec = CODECS[kind]
    source = write_sound(tmp_path / "a.wav", 0.4, rate, channels)
    packed, back = tmp_path / "a.loom", tmp_path / "b.wav"
    seconds: list[float] = []
    report = encode_file(source, packed, codec, progress=seconds.append)
    kept = channels if channels <= codec.channels else 1
    assert report.seconds == pytest.approx(0.4)
    assert sum(seconds) == pytest.approx(0.4)
    assert report.size == packed.stat().st_size
    assert report.bitrate == pytest.approx(8 * report.size / 0.4)
    assert (report.source_channels, report.header.channels) == (channels, kept)
    decoded = decode_file(packed, back, codec)
    assert decoded.size == back.stat().st_size
    info = soundfile.info(back)
    assert (info.frames, info.samplerate, info.channels) == (round(0.4 * rate), rate, kept)
    assert sorted(os.listdir(tmp_path)) == ["a.loom", "a.wav", "b.wav"], "nothing else is left behind"


@every_codec
def test_files_hold_what_compress_makes(tmp_path: Path, kind: str) -> None:
    codec = CODECS[kind]
    source = write_sound(tmp_path / "a.wav", 0.5, 22050, 2)
    encode_file(source, tmp_path / "a.loom", codec)
    direct = codec.compress(samples(source).T, 22050)
    assert (tmp_path / "a.loom").read_bytes() == direct.to_bytes()
    decode_file(tmp_path / "a.loom", tmp_path / "b.flac", codec)
    expected, _ = codec.decompress(Compressed.load(tmp_path / "a.loom"))
    np.testing.assert_allclose(samples(tmp_path / "b.flac").T, expected.clamp(-1, 1), atol=1e-4)


@pytest.mark.parametrize("suffix", [".flac", ".ogg", ".mp3", ".aiff"])
def test_sources_of_other_formats(tmp_path: Path, suffix: str) -> None:
    source = write_sound(tmp_path / f"a{suffix}", 0.5, 16000, 2)
    encode_file(source, tmp_path / "a.loom", seanet())
    assert describe_file(tmp_path / "a.loom").length == len(samples(source))


@pytest.mark.parametrize("suffix", [".flac", ".ogg", ".mp3"])
def test_destinations_of_other_formats(tmp_path: Path, suffix: str) -> None:
    encode_file(write_sound(tmp_path / "a.wav", 0.5), tmp_path / "a.loom", seanet())
    decode_file(tmp_path / "a.loom", tmp_path / f"b{suffix}", seanet(), sample_rate=24000)
    assert soundfile.info(tmp_path / f"b{suffix}").samplerate == 24000


def test_existing_files_stay_unless_forced(tmp_path: Path) -> None:
    codec = seanet()
    source = write_sound(tmp_path / "a.wav", 0.2)
    packed = tmp_path / "a.loom"
    packed.write_text("precious")
    with pytest.raises(FileExistsError, match="a.loom already exists"):
        encode_file(source, packed, codec)
    assert packed.read_text() == "precious"
    encode_file(source, packed, codec, force=True)
    before = source.read_bytes()
    with pytest.raises(FileExistsError, match="a.wav already exists"):
        decode_file(packed, source, codec)
    assert source.read_bytes() == before
    decode_file(packed, source, codec, force=True)
    assert source.read_bytes() != before


def test_a_source_is_never_replaced_by_what_it_becomes(tmp_path: Path) -> None:
    source = write_sound(tmp_path / "a.wav", 0.2)
    os.link(source, tmp_path / "a.loom")  # a sound under the name of a compressed file
    with pytest.raises(FileExistsError, match="a.loom is the source itself"):
        encode_file(source, tmp_path / "a.loom", seanet(), force=True)
    assert samples(source).shape == (3200, 1)


def test_places_that_are_refused(tmp_path: Path) -> None:
    codec = seanet()
    source = write_sound(tmp_path / "a.wav", 0.2)
    packed = tmp_path / "a.loom"
    encode_file(source, packed, codec)
    cases: list[tuple[type[Exception], str, Any, Any, Any]] = [
        (ContainerError, "b.wav does not end in .loom.*b.loom", encode_file, source, tmp_path / "b.wav"),
        (
            FileNotFoundError,
            "folder .*gone does not exist",
            encode_file,
            source,
            tmp_path / "gone" / "b.loom",
        ),
        (FileNotFoundError, "no such file", encode_file, tmp_path / "gone.wav", tmp_path / "b.loom"),
        (AudioError, "unknown sound file suffix '.xyz'", decode_file, packed, tmp_path / "b.xyz"),
        (FileNotFoundError, "no such file", decode_file, tmp_path / "gone.loom", tmp_path / "b.wav"),
        (IsADirectoryError, "is a folder", decode_file, tmp_path, tmp_path / "b.wav"),
        (ContainerError, "a.wav, byte 0: ", decode_file, source, tmp_path / "b.wav"),
    ]
    for kind, message, function, given, wanted in cases:
        with pytest.raises(kind, match=message):
            function(given, wanted, codec)
    with pytest.raises(IsADirectoryError, match="is a folder"):
        describe_file(tmp_path)
    assert sorted(os.listdir(tmp_path)) == ["a.loom", "a.wav"]


@pytest.mark.parametrize("fault", ["empty", "nan", "damaged"])
def test_a_sound_that_fails_leaves_nothing(tmp_path: Path, fault: str) -> None:
    source = tmp_path / "a.wav"
    content = np.zeros(0 if fault == "empty" else 40000, dtype="float32")
    if fault == "nan":
        content[30000] = np.nan
    soundfile.write(source, content, 8000, subtype="FLOAT")
    if fault == "damaged":
        source = write_sound(tmp_path / "a.flac", 5)
        source.write_bytes(source.read_bytes()[:-30000])
    with pytest.raises(AudioError, match=f"{source.name} (holds 0 samples|breaks off early)|NaN"):
        encode_file(source, tmp_path / "a.loom", seanet())
    assert "a.loom" not in os.listdir(tmp_path)
    assert not list(tmp_path.glob(".*"))


def test_a_stop_beyond_the_end_is_the_end_and_a_start_there_an_error(tmp_path: Path) -> None:
    packed = tmp_path / "a.loom"
    encode_file(write_sound(tmp_path / "a.wav", 0.5, 8000), packed, seanet())
    decode_file(packed, tmp_path / "b.wav", seanet(), start=0.4, stop=9)
    assert len(samples(tmp_path / "b.wav")) == 800
    with pytest.raises(ValueError, match="start is 0.5 s, but the sound ends at 0.5 s"):
        decode_file(packed, tmp_path / "c.wav", seanet(), start=0.5)
