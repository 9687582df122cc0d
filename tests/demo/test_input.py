"""Sound files that somebody dropped on the page."""

from __future__ import annotations

from pathlib import Path

import pytest
import soundfile

from soundloom.core.audio import AudioError, TruncatedAudioError
from soundloom.demo.input import read_upload
from tests.tiny_codecs import write_sound


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".mp3", ".ogg"])
def test_the_length_is_limited(tmp_path: Path, suffix: str) -> None:
    path = write_sound(tmp_path / f"a{suffix}", 1.0, 16000, 2)
    samples, rate = read_upload(path, limit=1.0)
    assert (rate, *samples.shape) == (16000, 2, 16000)
    with pytest.raises(AudioError, match=r"a\.\w+ lasts 1 s; here at most 0.9 s are allowed: cut it"):
        read_upload(path, limit=0.9)


def test_a_length_that_the_header_does_not_tell_is_found(tmp_path: Path) -> None:
    path = write_sound(tmp_path / "a.flac", 1.0, 16000)
    head = bytearray(path.read_bytes())
    head[18:26] = (int.from_bytes(head[18:26], "big") >> 36 << 36).to_bytes(8, "big")
    path.write_bytes(head)
    assert soundfile.info(path).frames > 2**60
    assert read_upload(path, limit=1.0)[0].shape == (1, 16000)
    with pytest.raises(AudioError, match="lasts more than 0.9 s"):
        read_upload(path, limit=0.9)


def test_half_a_file_is_refused(tmp_path: Path) -> None:
    path = write_sound(tmp_path / "a.wav", 1.0, 16000)
    path.write_bytes(path.read_bytes()[:10000])
    with pytest.raises(TruncatedAudioError, match=r"^a\.wav breaks off early"):
        read_upload(path, limit=5)
