"""Codebooks are silenced and shuffled."""

from __future__ import annotations

import pytest
import torch

from soundloom.codecs.base import Codec
from soundloom.codecs.code_arithmetic import can_mute, decode_without, shuffle
from soundloom.codecs.registry import load_codec
from soundloom.core.errors import ArgumentError


@pytest.fixture(scope="module")
def codec() -> Codec:
    return load_codec("seanet-16khz")


def test_muting_the_last_ones_is_keeping_the_first(codec: Codec) -> None:
    codes = torch.randint(0, codec.codebook_size, (2, 4, 12), generator=torch.Generator().manual_seed(0))
    for kept in (1, 3):
        expected = codec.decode(codes[:, :kept])
        found = decode_without(codec, codes, range(kept, 4))
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)
    torch.testing.assert_close(decode_without(codec, codes, []), codec.decode(codes))
    # Without the first nothing of its codes is left.
    other = codes.clone()
    other[:, 0] = codes[:, 0].flip(-1)
    torch.testing.assert_close(
        decode_without(codec, codes, [0], 900), decode_without(codec, other, [0], 900), atol=1e-4, rtol=0
    )


def test_shuffling_keeps_the_codes_and_changes_their_order() -> None:
    codes = torch.arange(24).view(1, 3, 8)
    changed = shuffle(codes, [0, 2], seed=1)
    assert torch.equal(changed[:, 1], codes[:, 1])
    assert torch.equal(changed.sort(-1).values, codes)
    assert not torch.equal(changed[:, 0], codes[:, 0])
    assert torch.equal(changed[:, 2] - changed[:, 0], codes[:, 2] - codes[:, 0])  # one order
    assert torch.equal(shuffle(codes, [0], seed=1)[:, 0], changed[:, 0])


def test_what_there_is_not_is_refused(codec: Codec) -> None:
    codes = torch.zeros(1, 4, 3, dtype=torch.int64)
    with pytest.raises(ArgumentError, match="there is no codebook 4; they are 0 to 3"):
        shuffle(codes, [4])
    with pytest.raises(ArgumentError, match="there is no codebook -1"):
        decode_without(codec, codes, [-1])
    latents = load_codec("music2latent2")
    assert can_mute(codec)
    assert not can_mute(latents)
    with pytest.raises(ArgumentError, match="has no code vectors that add up"):
        decode_without(latents, codes, [0])
