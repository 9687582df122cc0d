"""Reading compressed files whole, and verifying them while they are made."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
import torch

from soundloom.codecs import ContainerError, decode_file, encode_file
from soundloom.codecs.compression import CheckError, CodecShelf, check_file
from soundloom.codecs.container import ContainerWriter
from soundloom.core.audio import read_audio, write_audio
from soundloom.core.sound_tags import GENERATED, read_tags
from tests.tiny_codecs import codecs, seanet, write_sound

CODECS = codecs()


class Here(CodecShelf):
    """A shelf with one codec of a test."""

    def __init__(self, codec: Any) -> None:
        super().__init__()
        self._codec = codec

    def find(self, name: str, source: str) -> Any:
        return self._codec


@pytest.mark.parametrize("kind", CODECS)
def test_a_whole_file(tmp_path: Path, kind: str) -> None:
    source = write_sound(tmp_path / "a.wav", 2.5, 11025, 1)
    encode_file(source, tmp_path / "a.loom", CODECS[kind], verify=True)
    seconds: list[float] = []
    found = check_file(tmp_path / "a.loom", Here(CODECS[kind]), progress=seconds.append)
    assert (found.seconds, found.decoded, found.missing) == (pytest.approx(2.5, abs=1e-3), True, "")
    assert sum(seconds) == pytest.approx(2.5, abs=1e-3)
    assert check_file(tmp_path / "a.loom", decode=False).decoded is False


def test_every_byte_counts(tmp_path: Path) -> None:
    encode_file(write_sound(tmp_path / "a.wav", 1.2, 8000, 1), tmp_path / "a.loom", seanet())
    data = (tmp_path / "a.loom").read_bytes()
    for place in range(0, len(data), 7):
        broken = bytearray(data)
        broken[place] ^= 0x10
        with pytest.raises(ContainerError):
            check_file(io.BytesIO(bytes(broken)), decode=False)
    for size in range(0, len(data), 11):
        with pytest.raises(ContainerError):
            check_file(io.BytesIO(data[:size]), decode=False)
    with pytest.raises(ContainerError):
        check_file(io.BytesIO(data + b"x" + data[-8:]), decode=False)


def test_a_codec_that_is_not_here_is_told(tmp_path: Path) -> None:
    encode_file(write_sound(tmp_path / "a.wav", 0.3, 8000, 1), tmp_path / "a.loom", seanet())
    found = check_file(tmp_path / "a.loom")
    assert not found.decoded
    assert "'tiny'" in found.missing
    with pytest.raises(ContainerError, match="configuration"):
        check_file(tmp_path / "a.loom", Here(seanet(dimension=6)))


def test_a_decoder_that_gives_no_sound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encode_file(write_sound(tmp_path / "a.wav", 0.3, 8000, 1), tmp_path / "a.loom", seanet())
    monkeypatch.setattr(
        "soundloom.codecs.compression.loom_files.decode_blocks",
        lambda *args, **settings: iter([torch.full((1, 2400), float("nan"))]),
    )
    with pytest.raises(CheckError, match="NaN"):
        check_file(tmp_path / "a.loom", Here(seanet()))
    monkeypatch.setattr(
        "soundloom.codecs.compression.loom_files.decode_blocks",
        lambda *args, **settings: iter([torch.zeros(1, 2399)]),
    )
    with pytest.raises(CheckError, match="says 2400 samples and decodes to 2399"):
        check_file(tmp_path / "a.loom", Here(seanet()))


def test_a_file_that_is_not_what_was_encoded_gets_no_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_sound(tmp_path / "a.wav", 1.0, 8000, 1)
    real = ContainerWriter.write
    monkeypatch.setattr(ContainerWriter, "write", lambda self, frames: real(self, (frames + 1) % 16))
    with pytest.raises(ContainerError, match="other frames than were encoded"):
        encode_file(source, tmp_path / "a.loom", seanet(), verify=True)
    assert not (tmp_path / "a.loom").exists()
    encode_file(source, tmp_path / "b.loom", seanet())
    with pytest.raises(ValueError, match="neither pipes nor"):
        encode_file(source, io.BytesIO(), seanet(), verify=True)


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".mp3"])
def test_tags_go_there_and_back(tmp_path: Path, suffix: str) -> None:
    tags = {"title": "Größe", "artist": "me", "comment": f"{GENERATED} {{}}", "software": "an editor"}
    source = write_audio(tmp_path / f"a{suffix}", torch.rand(1, 4000) - 0.5, 8000, tags=tags)
    encode_file(source, tmp_path / "a.loom", seanet())
    kept = {name: text for name, text in tags.items() if name != "software"}
    for back in ("b.wav", "b.flac", "b.ogg", "b.mp3"):
        decode_file(tmp_path / "a.loom", tmp_path / back, seanet())
        assert kept.items() <= read_tags(tmp_path / back).items()
    stream = io.BytesIO()
    decode_file(tmp_path / "a.loom", stream, seanet())
    assert read_tags(stream.getvalue()) == kept
    decode_file(tmp_path / "a.loom", tmp_path / "n.wav", seanet(), metadata=False)
    assert read_tags(tmp_path / "n.wav") == {"comment": GENERATED}
    encode_file(source, tmp_path / "n.loom", seanet(), metadata=False)
    decode_file(tmp_path / "n.loom", tmp_path / "m.wav", seanet())
    assert read_tags(tmp_path / "m.wav") == {"comment": GENERATED}
    np_back, _ = read_audio(tmp_path / "m.wav")
    assert torch.equal(np_back, read_audio(tmp_path / "b.wav")[0])


@pytest.mark.parametrize("subtype", ["PCM_24", "PCM_32", "FLOAT"])
def test_decoding_to_other_subtypes(tmp_path: Path, subtype: str) -> None:
    source = write_sound(tmp_path / "a.wav", 0.5, 8000, 1)
    encode_file(source, tmp_path / "a.loom", seanet())
    decode_file(tmp_path / "a.loom", tmp_path / "b.wav", seanet(), subtype=subtype)
    stream = io.BytesIO()
    decode_file(tmp_path / "a.loom", stream, seanet(), subtype=subtype)
    (tmp_path / "c.wav").write_bytes(stream.getvalue())
    for name in ("b.wav", "c.wav"):
        from soundloom.core.sound_description import describe_sound

        found = describe_sound(tmp_path / name)
        assert (found.subtype, found.length) == (subtype, 4000)
    assert torch.equal(read_audio(tmp_path / "b.wav")[0], read_audio(tmp_path / "c.wav")[0])
    with pytest.raises(ValueError, match=r"\.ogg files have VORBIS"):
        decode_file(tmp_path / "a.loom", tmp_path / "b.ogg", seanet(), subtype=subtype)
