"""The package's layers in another arrangement of memory compute what they did."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch

from soundloom.codecs.encodec.channels_last import Conv1d, GroupNorm, keep_channels_last, reflect
from soundloom.codecs.encodec.convert import randomize
from soundloom.codecs.encodec.encodec_config import EnCodecConfig
from soundloom.codecs.encodec.network import build_network, package_network

SETTINGS: dict[str, dict[str, Any]] = {
    "causal": {},
    "norms": {"channels": 2, "causal": False, "norm": "time_group_norm", "normalize": True, "segment": 1.0},
}


def networks(kind: str) -> tuple[Any, Any]:
    """One as the package has it, one of ours, with the same weights."""
    small = {"n_filters": 4, "dimension": 8, "ratios": (4, 2), "bandwidths": (40.0,), "codebook_size": 16}
    config = EnCodecConfig(**(small | {"bandwidths": (200.0,)} | SETTINGS[kind]))
    theirs, ours = package_network(config).eval(), build_network(config).eval()
    randomize(theirs)
    ours.load_state_dict(theirs.state_dict())
    return theirs, ours


@torch.no_grad()
@pytest.mark.parametrize("kind", SETTINGS)
@pytest.mark.parametrize("length", [1, 2, 5, 7, 8, 64, 333])
def test_sound_and_latents_are_those_of_the_package(kind: str, length: int) -> None:
    theirs, ours = networks(kind)
    audio = torch.randn(2, theirs.channels, length)
    wanted, found = theirs.encoder(audio), ours.encoder(audio)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(ours.decoder(wanted), theirs.decoder(wanted), rtol=1e-4, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("kind", SETTINGS)
def test_nothing_on_the_way_turns_the_memory_back(kind: str) -> None:
    _, ours = networks(kind)
    places = []
    for layer in ours.modules():
        if isinstance(layer, Conv1d | GroupNorm) or type(layer).__name__ == "SConv1d":
            layer.register_forward_hook(
                lambda layer, inputs, y: places.append(y.transpose(1, 2).is_contiguous())
            )
    ours.encoder(torch.randn(1, ours.channels, 64))
    assert len(places) > 10
    assert all(places)


@torch.no_grad()
def test_a_copy_is_arranged_alike_and_weights_keep_their_names() -> None:
    theirs, ours = networks("causal")
    again = copy.deepcopy(ours)
    assert list(theirs.state_dict()) == list(again.state_dict())
    audio = torch.randn(1, 1, 100)
    assert torch.equal(again.encoder(audio), ours.encoder(audio))
    keep_channels_last(again)  # a second time changes nothing
    assert torch.equal(again.encoder(audio), ours.encoder(audio))


@pytest.mark.parametrize(("left", "right"), [(0, 0), (3, 0), (0, 2), (2, 3)])
def test_ends_are_mirrored(left: int, right: int) -> None:
    x = torch.arange(10.0).reshape(1, 2, 5)
    found = reflect(x, left, right)
    torch.testing.assert_close(found, torch.nn.functional.pad(x, (left, right), mode="reflect"))
