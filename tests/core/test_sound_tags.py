"""Tags of sound files: every format, long and hostile ones."""

from __future__ import annotations

import io
import logging
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from soundloom.core.audio import WRITE_FORMATS, read_audio, write_audio
from soundloom.core.audio_blocks import FileWriter, PipeWriter
from soundloom.core.sound_tags import (
    GENERATED,
    MAX_TAG_BYTES,
    TAGS,
    clean_tags,
    generated_mark,
    id3_tag,
    info_chunk,
    printable,
    read_tags,
)

SOUND = torch.linspace(-0.5, 0.5, 2000)[None]
UNREAD = {".mp3": {"license"}}  # libsndfile knows no such frame


def full() -> dict[str, str]:
    return {name: f"{name} – ä 日本 🐕 {'x' * (9000 if name == 'comment' else 9)}" for name in TAGS}


@pytest.mark.parametrize("suffix", WRITE_FORMATS)
def test_every_format_keeps_them_and_its_samples(tmp_path: Path, suffix: str) -> None:
    plain, path = tmp_path / f"plain{suffix}", tmp_path / f"tagged{suffix}"
    write_audio(plain, SOUND, 16000)
    write_audio(path, SOUND, 16000, tags=full())
    assert read_tags(plain).keys() <= {"software"}, "which an encoder may write"
    expected = {name: text for name, text in full().items() if name not in UNREAD.get(suffix, ())}
    assert read_tags(path) == expected
    assert read_tags(path.read_bytes()) == expected
    with path.open("rb") as file:
        file.seek(5)
        assert read_tags(file) == expected
        assert file.tell() == 5
    for read in (lambda file: read_audio(file)[0], lambda file: soundfile.read(file)[0]):
        np.testing.assert_array_equal(read(plain), read(path))


@pytest.mark.parametrize("suffix", WRITE_FORMATS)
def test_files_in_blocks_keep_them(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    writer = FileWriter(path, suffix, sample_rate=16000, channels=1, shown=path, tags=full())
    writer.write(SOUND)
    writer.close()
    assert read_tags(path)["comment"] == full()["comment"]
    write_audio(tmp_path / f"b{suffix}", SOUND, 16000)
    np.testing.assert_array_equal(read_audio(path)[0], read_audio(tmp_path / f"b{suffix}")[0])


def test_a_pipe_has_them_before_its_samples() -> None:
    stream = io.BytesIO()
    PipeWriter(stream, sample_rate=16000, channels=1, length=2000, tags={"title": "odd"}).write(SOUND)
    assert read_tags(stream.getvalue()) == {"title": "odd"}
    assert stream.getvalue().index(b"odd") < stream.getvalue().index(b"data")
    assert soundfile.info(io.BytesIO(stream.getvalue())).frames == 2000
    assert read_audio(stream.getvalue())[0].shape == (1, 2000)


texts = st.text(st.characters(exclude_characters="\0"), max_size=40)


@settings(max_examples=25, deadline=None)
@given(st.dictionaries(st.sampled_from(TAGS), texts), st.sampled_from([".wav", ".flac"]))
def test_any_text_comes_back(tmp_path_factory: pytest.TempPathFactory, tags: dict, suffix: str) -> None:
    path = tmp_path_factory.mktemp("tags") / f"a{suffix}"
    write_audio(path, SOUND[:, :100], 16000, tags=tags)
    assert read_tags(path) == clean_tags(tags, "here")


def test_texts_that_are_too_long_are_left_out_and_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tags = {"comment": "ä" * MAX_TAG_BYTES, "title": "kept"}
    with caplog.at_level(logging.WARNING):
        write_audio(tmp_path / "a.wav", SOUND, 16000, tags=tags)
    assert read_tags(tmp_path / "a.wav") == {"title": "kept"}
    assert (
        f"the tag comment has {2 * MAX_TAG_BYTES} bytes, of which at most {MAX_TAG_BYTES} are" in caplog.text
    )


def wav_with(chunk: bytes) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, np.zeros(10), 8000, format="WAV")
    data = buffer.getvalue() + chunk
    return data[:4] + struct.pack("<I", len(data) - 8) + data[8:]


def info(*fields: tuple[bytes, bytes]) -> bytes:
    body = b"INFO" + b"".join(
        name + struct.pack("<I", len(text)) + text + b"\0" * (len(text) % 2) for name, text in fields
    )
    return b"LIST" + struct.pack("<I", len(body)) + body


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".mp3"])
def test_ten_megabytes_of_comment_are_left_out(suffix: str, caplog: pytest.LogCaptureFixture) -> None:
    long = {"comment": "x" * 10_000_000, "title": "kept"}
    buffer = io.BytesIO()
    container, subtype = WRITE_FORMATS[suffix]
    with soundfile.SoundFile(buffer, "w", 16000, 1, subtype, format=container) as file:
        if suffix == ".flac":
            file.comment, file.title = long["comment"], long["title"]
        file.write(SOUND[0].numpy())
    data = buffer.getvalue()
    data = id3_tag(long) + data if suffix == ".mp3" else data
    data = wav_with(info_chunk(long)) if suffix == ".wav" else data
    assert len(data) > 10_000_000
    with caplog.at_level(logging.WARNING):
        assert {**read_tags(data), "software": ""} == {"title": "kept", "software": ""}
    assert "10000000 bytes" in caplog.text or "10000001 bytes" in caplog.text
    assert read_audio(data)[0].shape[-1] >= 10


@pytest.mark.parametrize(
    ("chunk", "expected"),
    [
        (info((b"INAM", b"caf\xe9\0")), {"title": "café"}),  # of Windows, not UTF-8
        (info((b"INAM", b"a\0b\0")), {"title": "a"}),
        (info((b"INAM", b"one"), (b"IPRT", b"3\0"), (b"IXYZ", b"no")), {"title": "one", "tracknumber": "3"}),
        (info((b"INAM", b"kept\0"))[:-1], {"title": "kept"}),
        (b"LIST" + struct.pack("<I", 2**32 - 1) + b"INFOINAM" + struct.pack("<I", 2**32 - 1), {}),
        (b"LIST\0\0\0\0" * 3 + info((b"INAM", b"ok")), {"title": "ok"}),
        (b"LIST" + struct.pack("<I", 9) + b"adtlINAMx", {}),
        (info((b"INAM", b"\x1b[31mred\x07\r\n")), {"title": "\x1b[31mred\x07"}),
        (info((b"INAM", b"   \0")), {}),
    ],
)
def test_odd_lists_of_wav_files(chunk: bytes, expected: dict[str, str]) -> None:
    assert read_tags(wav_with(chunk)) == expected


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=80))
def test_any_bytes_are_no_trouble(noise: bytes) -> None:
    for data in (
        noise,
        wav_with(b"LIST" + noise),
        b"RIFF\0\0\0\0WAVE" + noise,
        b"ID3\4\0\0" + noise,
        b"fLaC" + noise,
    ):
        for text in read_tags(data).values():
            text.encode()


def test_files_without_sound_have_none(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("no sound")
    assert read_tags(tmp_path / "a.txt") == {}
    with pytest.raises(FileNotFoundError, match="gone"):
        read_tags(tmp_path / "gone.wav")


def test_what_a_terminal_would_act_on_is_escaped() -> None:
    text = "a\x1b]0;x\x07\n\r\t\x9b31m\u202eb\u2028\u200b\ud800ä🐕 é"
    shown = printable(text)
    assert shown == r"a\x1b]0;x\x07\n\r\t\x9b31m\u202eb\u2028\u200b\ud800ä🐕 é"


def test_only_the_mark() -> None:
    assert generated_mark({"comment": f"{GENERATED} {{}}", "title": "a secret"}) == {"comment": GENERATED}
    assert generated_mark({"comment": "by hand", "title": "a secret"}) == {}
