"""Compressed sounds come back at the level they had, and within full scale."""

from __future__ import annotations

import io
import math
import os
from dataclasses import replace
from pathlib import Path

import pytest
import soundfile
import torch
from torch import Tensor

from soundloom.codecs import Codec, Compressed, decode_file, describe_file, encode_file, load_codec
from soundloom.codecs.container import ContainerError, Header
from soundloom.core.loudness import integrated_loudness
from tests.tiny_codecs import codecs, music2latent2, seanet, sound


def level(samples: Tensor) -> float:
    return float(10 * samples.double().square().mean().log10())


def louder(compressed: Compressed, db: float) -> Compressed:
    """The same frames, told to be decoded by so many dB louder."""
    settings = {**compressed.header.settings, "gain_db": db}
    return Compressed(replace(compressed.header, settings=settings), compressed.frames)


def tonal() -> dict[str, Tensor]:
    """Sounds that a codec of 2 kbit/s gets wrong, 2.5 s at 16 kHz."""
    time = torch.arange(40000, dtype=torch.float64) / 16000
    rate = math.log(7500 / 50) / 2.5
    struck = time % 0.5
    notes = sum(
        0.6**h * torch.sin(2 * math.pi * 330 * (h + 1) * time) * torch.exp(-4 * struck) for h in range(5)
    )
    assert isinstance(notes, Tensor)
    return {
        "sweep": 0.3 * torch.sin(2 * math.pi * 50 * (torch.exp(rate * time) - 1) / rate),
        "sine": 0.8 * torch.sin(2 * math.pi * 1000 * time),
        "notes": 0.2 * notes,
    }


@pytest.mark.parametrize("name", list(tonal()))
def test_tonal_sounds_keep_their_level_and_full_scale(name: str) -> None:
    codec, samples = load_codec("seanet-16khz"), tonal()[name].float()
    restored, _ = codec.decompress(codec.compress(samples, 16000))
    assert float(restored.abs().max()) <= 1
    assert level(restored) == pytest.approx(level(samples), abs=1.0)


@pytest.mark.parametrize("name", list(codecs()))
def test_every_kind_of_codec_keeps_the_level(name: str) -> None:
    codec = codecs()[name]
    samples = sound(1.5, codec.sample_rate, codec.channels)
    compressed = codec.compress(samples, codec.sample_rate)
    plain = codec.compress(samples, codec.sample_rate, level=False)
    assert plain.header.gain == 1.0
    assert torch.equal(plain.frames, compressed.frames)
    off = abs(level(codec.decompress(plain)[0]) - level(samples))
    left = abs(level(codec.decompress(compressed)[0]) - level(samples))
    assert left < 0.5 or (abs(compressed.header.settings.get("gain_db", 0.0)) == 24.0 and left < off)  # type: ignore[arg-type]


def test_silence_has_no_level_to_keep() -> None:
    assert "gain_db" not in seanet().compress(torch.zeros(8000), 8000).header.settings


def test_files_hold_the_same_gain_and_pipes_none(tmp_path: Path) -> None:
    codec, samples = seanet(), sound(1.1, 8000)
    soundfile.write(tmp_path / "a.wav", samples.T.numpy(), 8000, subtype="FLOAT")
    encode_file(tmp_path / "a.wav", tmp_path / "a.loom", codec)
    encode_file(tmp_path / "a.wav", tmp_path / "plain.loom", codec, level=False)
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as pipe:
        os.write(writing, (tmp_path / "a.wav").read_bytes())  # fewer bytes than a pipe holds
        os.close(writing)
        encode_file(pipe, tmp_path / "piped.loom", codec)
    compressed = codec.compress(samples, 8000)
    assert compressed.header.settings["gain_db"]
    assert describe_file(tmp_path / "a.loom").header == compressed.header
    for name in ("a", "plain", "piped"):
        held = Compressed.load(tmp_path / f"{name}.loom")
        assert torch.equal(held.frames, compressed.frames)
        assert ("gain_db" in held.header.settings) == (name == "a")


@pytest.mark.parametrize("name", ["seanet", "latents"])
def test_files_and_memory_are_limited_alike(tmp_path: Path, name: str) -> None:
    codec: Codec = seanet() if name == "seanet" else music2latent2()
    compressed = louder(codec.compress(sound(1.0, 8000), 8000), 30.0)
    whole, _ = codec.decompress(compressed)
    assert float(whole.abs().max()) == pytest.approx(1.0, abs=1e-3)
    assert float(whole.abs().max()) <= 1
    compressed.save(tmp_path / "a.loom")
    report = decode_file(tmp_path / "a.loom", tmp_path / "a.wav", codec)
    assert report.gain_reduction > 1
    stream = io.BytesIO()
    decode_file(tmp_path / "a.loom", stream, codec)
    for written in (tmp_path / "a.wav", io.BytesIO(stream.getvalue())):
        read = torch.from_numpy(soundfile.read(written, dtype="float32", always_2d=True)[0].T.copy())
        torch.testing.assert_close(read, whole, atol=1e-4, rtol=0)


def test_a_part_is_limited_as_it_is_within_the_whole() -> None:
    codec = seanet()
    compressed = louder(codec.compress(sound(4.0, 8000), 8000), 40.0)
    whole, _ = codec.decompress(compressed)
    for start, stop in ((2.5, 3.0), (1.01, 3.999), (0.1, 0.2)):
        part, _ = codec.decompress(compressed, start=start, stop=stop)
        torch.testing.assert_close(
            part, whole[:, round(start * 8000) : round(stop * 8000)], atol=1e-4, rtol=0
        )


def test_a_sound_beyond_full_scale_may_come_back_so() -> None:
    codec = seanet()
    compressed = codec.compress(5 * sound(1.0, 8000), 8000)
    peak = float((5 * sound(1.0, 8000)).abs().max())
    assert compressed.header.peak == pytest.approx(peak, abs=1e-5)
    again = Compressed.from_bytes(compressed.to_bytes())
    assert again.header == compressed.header
    restored = codec.decompress(louder(again, 60.0))[0]
    assert 0.9 * peak < float(restored.abs().max()) <= peak + 1e-5


def test_headers_without_a_level_are_as_before() -> None:
    header = seanet().compress(sound(0.2, 8000), 8000, level=False).header
    assert (header.gain, header.peak) == (1.0, 1.0)
    assert set(header.settings) == {"weights"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("gain_db", 61.0),
        ("gain_db", math.nan),
        ("gain_db", 3),
        ("peak", 0.5),
        ("peak", math.inf),
        ("peak", "2"),
    ],
)
def test_made_up_levels_are_refused(name: str, value: float) -> None:
    header: Header = seanet().compress(sound(0.2, 8000), 8000, level=False).header
    with pytest.raises(ContainerError, match=f"setting {name} is"):
        replace(header, settings={name: value})


@pytest.mark.parametrize("lufs", [-35.0, -14.0])
def test_decoding_to_a_loudness(tmp_path: Path, lufs: float) -> None:
    codec = seanet()
    codec.compress(sound(2.0, 8000), 8000).save(tmp_path / "a.loom")
    decode_file(tmp_path / "a.loom", tmp_path / "a.wav", codec, loudness=lufs)
    read, rate = soundfile.read(tmp_path / "a.wav", dtype="float32", always_2d=True)
    assert integrated_loudness(torch.from_numpy(read.T.copy()), rate) == pytest.approx(lufs, abs=0.5)


def test_a_loudness_for_a_pipe_is_refused(tmp_path: Path) -> None:
    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

    data = seanet().compress(sound(0.5, 8000), 8000).to_bytes()
    with pytest.raises(ValueError, match="is a pipe, and the loudness"):
        decode_file(Pipe(data), tmp_path / "a.wav", seanet(), loudness=-20.0)
    with pytest.raises(ValueError, match="use -70 to 0 LUFS"):
        decode_file(io.BytesIO(data), tmp_path / "a.wav", seanet(), loudness=5.0)
