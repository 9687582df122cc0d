"""Convolutions in `[B, N, C]` are those of torch, as convolutions and as products."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from soundloom.codecs import convolutions
from soundloom.codecs.convolutions import convolve, convolve_transposed, reflect


@pytest.mark.parametrize("large", [0, 10**9])  # as products, as convolutions
@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("biased", [True, False])
@torch.no_grad()
def test_convolutions_are_torchs(
    monkeypatch: pytest.MonkeyPatch, large: int, batch: int, biased: bool
) -> None:
    monkeypatch.setattr(convolutions, "LARGE_WEIGHTS", large)
    torch.manual_seed(0)
    x, bias = torch.randn(batch, 40, 5), torch.randn(64) if biased else None
    weight = torch.randn(64, 5, 6)
    wanted = F.conv1d(x.mT, weight, bias, stride=3).mT
    assert torch.allclose(convolve(x, weight, bias, 3), wanted, atol=1e-5)
    dilated = F.conv1d(x.mT, weight, bias, dilation=2).mT
    assert torch.allclose(convolve(x, weight, bias, 1, 2), dilated, atol=1e-5)
    weight = torch.randn(5, 64, 6)
    wanted = F.conv_transpose1d(x.mT, weight, bias, stride=3).mT
    assert torch.allclose(convolve_transposed(x, weight, bias, 3), wanted, atol=1e-5)


@torch.no_grad()
def test_a_product_gives_each_sound_what_it_gets_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convolutions, "LARGE_WEIGHTS", 0)
    x, weight = torch.randn(3, 20, 32), torch.randn(64, 32, 4)
    for made in (
        lambda part: convolve(part, weight, None, 2),
        lambda part: convolve_transposed(part, weight.transpose(0, 1).contiguous(), None, 2),
    ):
        assert torch.equal(made(x), torch.cat([made(part) for part in x.split(1)]))


def test_products_are_for_inference() -> None:
    """Gradients come by the convolution's own backward pass."""
    x, weight = torch.randn(1, 8, 16), torch.randn(1024, 16, 80)
    assert weight.numel() > convolutions.LARGE_WEIGHTS
    weight.requires_grad_()
    convolve(F.pad(x, (0, 0, 40, 40)), weight, None).sum().backward()
    assert weight.grad is not None


@pytest.mark.parametrize(("left", "right"), [(0, 0), (3, 0), (0, 2), (3, 2)])
def test_reflection_is_torchs(left: int, right: int) -> None:
    x = torch.randn(2, 9, 4)
    assert torch.equal(reflect(x, left, right), F.pad(x.mT, (left, right), mode="reflect").mT)
