"""Sound files to `.ecdc` files and back."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from soundloom.codecs import (
    AudioError,
    EnCodec,
    decode_file,
    describe_file,
    encode_file,
    read_ecdc,
    write_ecdc,
)
from soundloom.codecs.compression import CodecShelf, described_seconds
from soundloom.codecs.ecdc.ecdc_codes import new_language_model
from soundloom.codecs.ecdc.ecdc_header import EcdcError
from soundloom.core.audio import mix, resample
from soundloom.core.limiter import limit
from soundloom.evaluation.compare_files import compare_files
from tests.codecs.compression.pipe import Pipe, samples
from tests.codecs.encodec.small import NAMES, make_small
from tests.tiny_codecs import seanet, sound, write_sound


@pytest.fixture(params=NAMES)
def codec(request: pytest.FixtureRequest) -> EnCodec:
    codec = make_small(request.param)
    codec.name = request.param
    return codec


@pytest.mark.parametrize(("suffix", "rate", "channels"), [(".wav", 44100, 2), (".ogg", 16000, 1)])
def test_there_and_back(tmp_path: Path, codec: EnCodec, suffix: str, rate: int, channels: int) -> None:
    source = write_sound(tmp_path / f"a{suffix}", 2.2, rate, channels)
    packed, back = tmp_path / "a.ecdc", tmp_path / "b.wav"
    seconds: list[float] = []
    report = encode_file(source, packed, codec, bitrate=6000, progress=seconds.append)
    assert report.seconds == sum(seconds) == pytest.approx(2.2, rel=1e-3)
    assert report.size == packed.stat().st_size
    assert 5500 < report.bitrate < 6900
    assert (report.source_channels, report.header.channels) == (channels, codec.channels)
    codec.bandwidth = 3.0  # of no matter from here on
    prepared = codec.prepare(torch.from_numpy(samples(source).T), rate)
    expected = read_ecdc(packed, codec).samples[0]
    assert expected.shape == prepared.shape[1:]
    decoded = decode_file(packed, back, codec)
    assert decoded.size == back.stat().st_size
    assert not decoded.damaged
    info = soundfile.info(back)
    assert (info.samplerate, info.channels) == (codec.sample_rate, codec.channels)
    np.testing.assert_allclose(samples(back).T, limit(expected, codec.sample_rate), atol=1e-4)
    assert sorted(os.listdir(tmp_path)) == ["a.ecdc", source.name, "b.wav"]


def test_files_hold_what_write_ecdc_writes(tmp_path: Path, codec: EnCodec) -> None:
    source = write_sound(tmp_path / "a.wav", 2.5, 22050, 2)
    codec.bandwidth = 3.0
    encode_file(source, tmp_path / "a.ecdc", codec, bitrate=3000)
    write_ecdc(tmp_path / "b.ecdc", samples(source).T, 22050, codec)
    assert (tmp_path / "a.ecdc").read_bytes() == (tmp_path / "b.ecdc").read_bytes()


def test_streams(tmp_path: Path) -> None:
    codec = make_small("encodec-24khz")
    ogg = io.BytesIO(write_sound(tmp_path / "a.ogg", 0.5, 16000).read_bytes())
    encode_file(ogg, tmp_path / "a.ecdc", codec)  # whose samples have to be counted first
    encode_file(tmp_path / "a.ogg", tmp_path / "b.ecdc", codec)
    data = (tmp_path / "a.ecdc").read_bytes()
    assert data == (tmp_path / "b.ecdc").read_bytes()
    out = Pipe()
    decode_file(io.BufferedReader(Pipe(data)), out, codec)  # type: ignore[arg-type]
    decode_file(tmp_path / "a.ecdc", tmp_path / "a.wav", codec)
    assert bytes(out.data) == (tmp_path / "a.wav").read_bytes()
    described = describe_file(io.BufferedReader(Pipe(data)))
    assert described.to_dict() | {"file": ""} == describe_file(tmp_path / "a.ecdc").to_dict() | {"file": ""}


def test_parts_and_other_rates(tmp_path: Path, codec: EnCodec) -> None:
    encode_file(write_sound(tmp_path / "a.wav", 2.3, 16000), tmp_path / "a.ecdc", codec)
    whole = read_ecdc(tmp_path / "a.ecdc", codec).samples[0]
    decode_file(tmp_path / "a.ecdc", tmp_path / "b.wav", codec, start=0.4, stop=1.9, sample_rate=8000)
    expected = limit(resample(whole, codec.sample_rate, 8000), 8000)[:, 3200:15200]
    np.testing.assert_allclose(samples(tmp_path / "b.wav").T, expected, atol=1e-4)
    decode_file(tmp_path / "a.ecdc", tmp_path / "c.wav", codec, start=2.2, stop=9)
    assert len(samples(tmp_path / "c.wav")) == round(0.1 * codec.sample_rate)
    for part, message in (({"start": 2.3}, "ends at 2.3 s"), ({"start": 1, "stop": 1}, "not after start")):
        with pytest.raises(ValueError, match=message):
            decode_file(tmp_path / "a.ecdc", tmp_path / "d.wav", codec, **part)
    assert not (tmp_path / "d.wav").exists()


def test_description(tmp_path: Path, codec: EnCodec) -> None:
    path = tmp_path / "a.ecdc"
    encode_file(write_sound(tmp_path / "a.wav", 2.0, 16000), path, codec, bitrate=6000)
    found = describe_file(path)
    assert (found.seconds, found.size, found.length) == (2.0, path.stat().st_size, 2 * codec.sample_rate)
    text, codebooks = "\n".join(found.lines()), 8 if codec.channels == 1 else 4
    for part in ("2.000 s", f"{codec.sample_rate} Hz", f"{codebooks} codebooks of 1024", codec.name):
        assert part in text
    record = found.to_dict()
    assert record["codec"] == codec.name
    assert record["shape"] == [codebooks]
    assert record["bitrate"] == found.bitrate == pytest.approx(4 * found.size)
    assert described_seconds(path, 0.5, 1.5) == 1.0


def test_the_codec_is_found_on_this_machine_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    codec = make_small("encodec-24khz")
    path = tmp_path / "a.ecdc"
    encode_file(write_sound(tmp_path / "a.wav", 0.3), path, codec)
    asked: list[Any] = []

    def load(name: str, **settings: Any) -> EnCodec:
        asked.append((name, settings))
        return codec

    monkeypatch.setattr("soundloom.codecs.compression.loaded_codecs.load_codec", load)
    decode_file(path, tmp_path / "b.wav", CodecShelf())
    comparison = compare_files(tmp_path / "b.wav", path)
    assert comparison["si_sdr"] > 10
    assert comparison["notes"] == []
    assert asked == [("encodec-24khz", {"device": "cpu", "local_files_only": True})] * 2


def test_what_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    codec, other = make_small("encodec-24khz"), make_small("encodec-48khz")
    source, path = write_sound(tmp_path / "a.wav", 0.3), tmp_path / "a.ecdc"
    encode_file(source, path, codec)
    coded = write_ecdc(
        tmp_path / "lm.ecdc", sound(0.05, 24000), 24000, codec, language_model=new_language_model(codec)
    )
    wav, new = tmp_path / "b.wav", tmp_path / "b.ecdc"
    cases: list[tuple[type[Exception], str, Any]] = [
        (
            ValueError,
            "b.ecdc: an .ecdc .* 'tiny' is another",
            lambda: encode_file(source, new, seanet()),
        ),
        (ValueError, "a.ecdc: an .ecdc file holds what", lambda: decode_file(path, wav, seanet())),
        (ValueError, "a.ecdc was made by encodec_24khz", lambda: decode_file(path, wav, other)),
        (ValueError, "bitrate 1 kbit/s is", lambda: encode_file(source, new, codec, bitrate=1000)),
        (FileExistsError, "a.ecdc already exists", lambda: encode_file(source, path, codec)),
        (EcdcError, "which has no checks", lambda: decode_file(path, wav, codec, recover=True)),
        (OSError, "model encodec_lm_24khz.* is not in", lambda: decode_file(coded, wav, codec)),
    ]
    for kind, message, call in cases:
        with pytest.raises(kind, match=message):
            call()
    reading, writing = os.pipe()
    with os.fdopen(writing, "wb") as end:
        end.write(source.read_bytes())
    with os.fdopen(reading, "rb") as stream, pytest.raises(AudioError, match="is a pipe, whose length"):
        encode_file(stream, tmp_path / "b.ecdc", codec)
    assert sorted(os.listdir(tmp_path)) == ["a.ecdc", "a.wav", "lm.ecdc"]


def test_damaged_files_are_clear_errors_that_leave_nothing(tmp_path: Path, codec: EnCodec) -> None:
    path = tmp_path / "a.ecdc"
    encode_file(write_sound(tmp_path / "a.wav", 0.2), path, codec)
    data = path.read_bytes()
    for content in (data[:3], data[:8], data[:40], data[:-1], data + b"x", data[:4] + b"\7" + data[5:]):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"a\.ecdc(: byte|, byte)"):
            decode_file(path, tmp_path / "b.wav", codec)
        assert sorted(os.listdir(tmp_path)) == ["a.ecdc", "a.wav"]


def test_a_long_sound_in_pieces_is_that_of_the_whole(tmp_path: Path, codec: EnCodec) -> None:
    whole = sound(5, codec.sample_rate, codec.channels)
    soundfile.write(tmp_path / "a.wav", whole.T.numpy(), codec.sample_rate, subtype="FLOAT")
    encode_file(tmp_path / "a.wav", tmp_path / "a.ecdc", codec, bitrate=6000)
    codec.bandwidth = 6.0
    assert torch.equal(mix(whole, codec.channels), whole)
    write_ecdc(tmp_path / "b.ecdc", whole, codec.sample_rate, codec)
    assert (tmp_path / "a.ecdc").read_bytes() == (tmp_path / "b.ecdc").read_bytes()
