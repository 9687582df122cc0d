"""Parity of the SEANet codec with the reference implementation on every AudioGen fixture."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from soundloom.codecs.seanet.model import SEANetCodec
from tests.fixture_paths import fixture_folders

TOLERANCE = 1e-5
FOLDERS = fixture_folders("audiogen")


class Case:
    """One fixture folder: its codec and its expected tensors."""

    def __init__(self, folder: Path) -> None:
        self.codec = SEANetCodec.from_pretrained(folder)
        self.expected = load_file(folder / "expected.safetensors")

    @torch.no_grad()
    def embeddings(self) -> Tensor:
        return self.codec.encoder(self.expected["codec.wav"])

    def codes(self) -> Tensor:
        return self.codec.encode(self.expected["codec.wav"])

    def latent(self) -> Tensor:
        return self.codec.quantizer.decode(self.expected["codec.codes"].long())

    def decoded(self) -> Tensor:
        return self.codec.decode(self.expected["codec.codes"].long())

    def generated(self) -> Tensor:
        return self.codec.decode(self.expected["gen.tokens"].long())


# tensor of the fixture -> how we compute it; the input waveform itself is checked for its length only
CHECKS: dict[str, Callable[[Case], Tensor]] = {
    "codec.wav": lambda case: case.expected["codec.wav"],
    "codec.embeddings": Case.embeddings,
    "codec.codes": Case.codes,
    "codec.latent": Case.latent,
    "codec.decoded": Case.decoded,
    "gen.audio": Case.generated,
}


@functools.lru_cache
def case(folder: Path) -> Case:
    return Case(folder)


@pytest.mark.parametrize("name", CHECKS)
@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_tensor_equals_the_reference(folder: Path, name: str) -> None:
    this = case(folder)
    expected, actual = this.expected[name], CHECKS[name](this)
    assert actual.shape == expected.shape
    if expected.is_floating_point():
        torch.testing.assert_close(actual, expected, atol=TOLERANCE, rtol=0)
    else:
        assert torch.equal(actual, expected.long())


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_forward_is_the_decoded_sound_cut_to_the_input(folder: Path) -> None:
    this = case(folder)
    audio = this.expected["codec.wav"]
    with torch.no_grad():
        output = this.codec(audio).audio
    expected = this.expected["codec.decoded"][..., : audio.shape[-1]]
    torch.testing.assert_close(output, expected, atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_every_codec_tensor_of_the_fixture_is_checked(folder: Path) -> None:
    listed = {name for name in case(folder).expected if name.startswith("codec.") or name == "gen.audio"}
    assert listed == set(CHECKS)


def test_the_bundled_fixture_is_found() -> None:
    assert FOLDERS
