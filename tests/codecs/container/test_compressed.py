"""A compressed sound in memory and as a file."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from soundloom.codecs.container import (
    Compressed,
    ContainerError,
)
from tests.codecs.container.samples import (
    SAMPLES,
    make_header,
)


def test_save_and_load(tmp_path: Path) -> None:
    header, frames = SAMPLES["codes"]
    compressed = Compressed(header, frames)
    path = tmp_path / "sound.loom"
    assert compressed.save(path) == path
    back = Compressed.load(path)
    assert back.header == header
    assert torch.equal(back.frames, frames)
    assert compressed.bits == 8 * path.stat().st_size
    assert compressed.bitrate == compressed.bits / (3200 / 16000)
    with pytest.raises(FileExistsError, match="already exists"):
        compressed.save(path)
    Compressed(make_header(length=10), frames[:, :1]).save(path, force=True)
    assert Compressed.load(path).header.length == 10
    assert list(tmp_path.iterdir()) == [path]


def test_saving_what_cannot_be_saved_leaves_nothing(tmp_path: Path) -> None:
    good = Compressed(*SAMPLES["codes"])
    with pytest.raises(FileNotFoundError, match="does not exist; create it"):
        good.save(tmp_path / "none" / "x.loom")
    with pytest.raises(IsADirectoryError, match="give a file name"):
        good.save(tmp_path)
    with pytest.raises(ContainerError):
        Compressed(make_header(), torch.full((2, 10), 1024)).save(tmp_path / "x.loom")
    assert list(tmp_path.iterdir()) == []


def test_load_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "noise.loom"
    path.write_bytes(b"RIFF....WAVE")
    with pytest.raises(ContainerError, match=r"noise.loom, byte 0: this is no soundloom file"):
        Compressed.load(path)
    with pytest.raises(FileNotFoundError):
        Compressed.load(tmp_path / "absent.loom")
