"""Bounded latents, codes, and noise that belongs to an item."""

from __future__ import annotations

import pytest
import torch

from soundloom.codecs.music2latent2.bottleneck import FSQ, from_gaussian, to_gaussian
from soundloom.codecs.music2latent2.chunk_decoders import draw_noise


@pytest.mark.parametrize("levels", [(11, 11, 11, 11), (4, 5, 8)])
def test_fsq_indices_are_a_bijection(levels: tuple[int, ...]) -> None:
    fsq = FSQ(levels)
    count = torch.tensor(levels).prod()
    indices = torch.arange(count)
    codes = fsq.from_indices(indices)
    assert torch.equal(fsq.to_indices(codes), indices)
    assert codes.unique(dim=0).shape[0] == count
    torch.testing.assert_close(fsq.quantize(codes), codes)
    bounded = fsq.bound(10 * torch.randn(500, len(levels)))
    assert fsq.to_indices(bounded).min() >= 0
    assert fsq.to_indices(bounded).max() < count


def test_fsq_dropout_leaves_a_share_unrounded() -> None:
    fsq = FSQ((5, 5))
    raw = torch.randn(4000, 3, 2, requires_grad=True)
    out = fsq(raw, 0.75)
    unrounded = (out != fsq.quantize(out)).flatten(1).any(1)
    assert 0.7 < unrounded.float().mean() < 0.8
    out.sum().backward()
    assert raw.grad is not None
    assert (raw.grad != 0).all(), "rounding must pass the gradient through"
    assert torch.equal(fsq(raw, 1.0), fsq.bound(raw))
    assert torch.equal(fsq(raw, 0.0), fsq.quantize(fsq.bound(raw)))


def test_gaussian_latents_come_back() -> None:
    latents = torch.randn(2, 3, 8, 4).tanh() * 0.999
    vectors = to_gaussian(latents, 16)
    assert vectors.shape == (2, 3, 2, 16)
    torch.testing.assert_close(from_gaussian(vectors, 4), latents, atol=1e-5, rtol=0)
    assert torch.isfinite(to_gaussian(torch.ones(1, 1, 8, 4))).all()
    with pytest.raises(ValueError, match="must divide the 32 values"):
        to_gaussian(latents, 5)


def test_noise_of_an_item_is_its_own() -> None:
    def generators(*seeds: int) -> list[torch.Generator]:
        return [torch.Generator().manual_seed(seed) for seed in seeds]

    device = torch.device("cpu")
    pair = draw_noise(generators(1, 2), (2, 3, 4), device)
    assert torch.equal(pair[1:], draw_noise(generators(2), (1, 3, 4), device))
    replayed = draw_noise(iter([pair]), (2, 3, 4), device)
    assert torch.equal(replayed, pair)
    with pytest.raises(ValueError, match=r"wanted, but the next one is \[2, 3, 4\]"):
        draw_noise(iter([pair]), (2, 3, 5), device)
