"""What is said of sound files, and telling samples apart by what a file stores of them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from soundloom.core.audio import SUBTYPES, AudioError, write_audio
from soundloom.core.sound_description import describe_sound, samples_digest, stored_samples, tag_lines

SOUND = torch.rand(2, 3000, generator=torch.Generator().manual_seed(0)) * 2 - 1


@pytest.mark.parametrize(
    ("suffix", "subtype"), [(suffix, subtype) for suffix in (".wav", ".flac") for subtype in SUBTYPES[suffix]]
)
def test_the_digest_is_that_of_the_file(tmp_path: Path, suffix: str, subtype: str) -> None:
    path = write_audio(tmp_path / f"a{suffix}", SOUND, 22050, subtype=subtype, tags={"title": "x"})
    found = describe_sound(path)
    assert (found.format, found.subtype, found.length, found.channels) == (
        suffix[1:].upper(),
        subtype,
        3000,
        2,
    )
    digest = samples_digest(SOUND, found.format, subtype)
    assert stored_samples(path) == digest
    assert digest.startswith(f"{found.format} {subtype} ")
    changed = SOUND.clone()
    changed[1, 1234] += 0.001
    assert samples_digest(changed.clamp(-1, 1), found.format, subtype) != digest


def test_lossy_formats_store_other_samples(tmp_path: Path) -> None:
    path = write_audio(tmp_path / "a.ogg", SOUND, 22050)
    assert stored_samples(path) is None
    assert samples_digest(SOUND, "OGG", "VORBIS").startswith("RAW FLOAT ")
    (tmp_path / "a.txt").write_text("x")
    assert stored_samples(tmp_path / "a.txt") is None


def test_in_words_and_for_json(tmp_path: Path) -> None:
    path = write_audio(tmp_path / "a.flac", SOUND, 22050, tags={"title": "a\x1b[2J"})
    found = describe_sound(path)
    assert found.lines()[1:3] == [
        "  sound   0.136 s, 3000 samples at 22050 Hz, stereo",
        "  stored  FLAC, PCM_16",
    ]
    assert tag_lines(found.tags) == [r"  title   a\x1b[2J"]
    assert found.to_dict()["tags"] == {"title": "a\x1b[2J"}
    with pytest.raises(AudioError):
        (tmp_path / "b.wav").write_text("no sound")
        describe_sound(tmp_path / "b.wav")
