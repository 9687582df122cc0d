"""What compressed files say about themselves, and whose codec they find."""

from __future__ import annotations

import copy
import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from soundloom.codecs import ContainerError, decode_file, describe_file, encode_file
from soundloom.codecs.compression import CodecShelf
from soundloom.codecs.container import Compressed
from soundloom.codecs.frames.storage import codebooks_in_words
from soundloom.codecs.weights_hash import weights_hash
from tests.codecs.compression.pipe import samples
from tests.tiny_codecs import seanet, sound, write_sound


def test_one_codebook_is_no_plural() -> None:
    assert [codebooks_in_words(count) for count in (1, 2)] == ["1 codebook", "2 codebooks"]


def test_description(tmp_path: Path) -> None:
    encode_file(write_sound(tmp_path / "a.wav", 2, 44100, 2), tmp_path / "a.loom", seanet(), codebooks=2)
    found = describe_file(tmp_path / "a.loom")
    size = (tmp_path / "a.loom").stat().st_size
    assert (found.length, found.frames, found.size) == (88200, 200, size)
    assert found.bitrate == pytest.approx(4 * size)
    text = "\n".join(found.lines())
    for part in ("2.000 s", "44100 Hz, mono", "2 codebooks of 16", "100 a second", f"{size} bytes", "tiny"):
        assert part in text
    record = found.to_dict()
    assert record["codec"] == "tiny"
    assert record["shape"] == [2]
    assert record["seconds"] == 2.0
    assert record["bitrate"] == found.bitrate
    assert record["bytes"] == size


def test_the_codec_is_found_by_the_name_in_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    seanet().save_pretrained(tmp_path / "tiny")
    encode_file(write_sound(tmp_path / "a.wav", 0.2), tmp_path / "a.loom", seanet())
    shelf = CodecShelf()
    decode_file("a.loom", "b.wav", shelf)
    decode_file("a.loom", "c.wav", seanet())
    assert (tmp_path / "b.wav").read_bytes() == (tmp_path / "c.wav").read_bytes()
    header = describe_file("a.loom").header
    assert shelf.find(header.codec, "a.loom") is shelf.find(header.codec, "a.loom")


@pytest.mark.parametrize("name", ["no-such-codec", "someone/elses-codec"])
def test_a_codec_that_is_not_here_is_not_fetched(tmp_path: Path, name: str) -> None:
    compressed = seanet().compress(sound(0.1, 8000), 8000, name=name)
    path = compressed.save(tmp_path / "a.loom")
    with pytest.raises(
        ContainerError, match=f"a.loom was made with the codec '{name}', which is not here; .*--codec"
    ) as caught:
        decode_file(path, tmp_path / "a.wav")
    assert "did you mean" not in str(caught.value)
    assert os.listdir(tmp_path) == ["a.loom"]


def test_another_training_of_the_codec(tmp_path: Path) -> None:
    retrained = copy.deepcopy(seanet())
    with torch.no_grad():
        for parameter in retrained.parameters():
            parameter.mul_(1.01)
    path = tmp_path / "a.loom"
    report = encode_file(write_sound(tmp_path / "a.wav", 0.2), path, seanet())
    ours, theirs = weights_hash(seanet()), weights_hash(retrained)
    assert report.header.weights == ours
    assert f"weights {ours}" in "\n".join(describe_file(path).lines())
    assert describe_file(path).to_dict()["weights"] == ours
    message = rf"a.loom was made with weights {ours} of the codec 'tiny'.*weights {theirs}.*--any-weights"
    with pytest.raises(ContainerError, match=message):
        decode_file(path, tmp_path / "b.wav", retrained)
    with pytest.raises(ContainerError, match=f"this sound was made with weights {ours}"):
        retrained.decompress(Compressed.load(path))
    assert sorted(os.listdir(tmp_path)) == ["a.loom", "a.wav"]
    assert decode_file(path, tmp_path / "b.wav", retrained, any_weights=True).other_weights
    assert len(samples(tmp_path / "b.wav")) == 3200
    assert retrained.decompress(Compressed.load(path), any_weights=True)[0].shape == (1, 3200)
    assert not decode_file(path, tmp_path / "c.wav", seanet(), any_weights=True).other_weights


def test_a_file_that_does_not_say_its_weights_is_decoded_by_any(tmp_path: Path) -> None:
    """As those of versions before."""
    made = seanet().compress(sound(0.2, 8000), 8000)
    path = Compressed(replace(made.header, settings={}), made.frames).save(tmp_path / "old.loom")
    found = describe_file(path)
    assert found.header.weights is None
    assert "weights unknown" in "\n".join(found.lines())
    assert not decode_file(path, tmp_path / "b.wav", seanet()).other_weights
    assert len(samples(tmp_path / "b.wav")) == 1600


def test_another_codec(tmp_path: Path) -> None:
    encode_file(write_sound(tmp_path / "a.wav", 0.2), tmp_path / "a.loom", seanet())
    with pytest.raises(ContainerError, match="a.loom was made with the codec 'tiny' of configuration"):
        decode_file(tmp_path / "a.loom", tmp_path / "b.wav", seanet(channels=2))
