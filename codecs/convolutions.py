"""1-d convolutions of sound as inference on a CPU is fast with; SEANet and EnCodec both run on them.

Sound is `[B, N, C]`, channels last: with few channels and many samples, CPU convolutions are up to eight
times faster in that layout than in `[B, C, N]`. Weights are those of `nn.Conv1d` and `nn.ConvTranspose1d`.
oneDNN lays them out anew at every call, which takes longer than the convolution where large ones meet few
frames, as in the innermost layers of a codec, above all in a stream: these run as plain products.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

# Weights from which a convolution of few frames is a product; those of the codecs that ship stay below.
LARGE_WEIGHTS = 1_250_000


def convolve(
    x: Tensor, weight: Tensor, bias: Tensor | None, stride: int = 1, dilation: int = 1, groups: int = 1
) -> Tensor:
    """Convolve without padding.

    Args:
        x: `[B, N, C_in]`.
        weight: `[C_out, C_in / groups, kernel]`.
        bias: `[C_out]`.

    Returns:
        `[B, (N - reach) // stride + 1, C_out]`, reach = (kernel - 1) * dilation + 1.
    """
    kernel, plain = weight.shape[2], dilation == groups == 1
    if plain and _as_product(x, weight, (x.shape[1] - kernel) // stride + 1, len(weight)):
        windows = x.unfold(1, kernel, stride)  # a view [B, frames, C_in, kernel]
        return _each(windows, lambda item: F.linear(item.flatten(1), weight.flatten(1), bias))
    # A view [B, C, 1, N] whose strides say channels_last; no data moves.
    image = x.transpose(1, 2).unsqueeze(2)
    y = F.conv2d(image, weight.unsqueeze(2), bias, stride=(1, stride), dilation=(1, dilation), groups=groups)
    return y.squeeze(2).transpose(1, 2)


def convolve_transposed(x: Tensor, weight: Tensor, bias: Tensor | None, stride: int) -> Tensor:
    """Convolve transposed, kernel `2 * stride`: a frame adds to its own samples and to those of the next.

    Args:
        x: `[B, N, C_in]`.
        weight: `[C_in, C_out, 2 * stride]`.
        bias: `[C_out]`.

    Returns:
        `[B, (N + 1) * stride, C_out]`.
    """
    if not _as_product(x, weight, x.shape[1], weight.shape[1]):
        image = x.transpose(1, 2).unsqueeze(2)
        y = F.conv_transpose2d(image, weight.unsqueeze(2), bias, stride=(1, stride))
        return y.squeeze(2).transpose(1, 2)

    def overlap(item: Tensor) -> Tensor:
        # [N, C_in] -> [N, C_out, 2 * stride] -> two of [N, stride, C_out]
        own, following = torch.mm(item, weight.flatten(1)).unflatten(1, weight.shape[1:]).mT.split(stride, 1)
        y = F.pad(own, (0, 0, 0, 0, 0, 1))  # [N + 1, stride, C_out]
        y[1:] += following
        return (y if bias is None else y.add_(bias)).flatten(0, 1)

    return _each(x, overlap)


def reflect(x: Tensor, left: int, right: int) -> Tensor:
    """Mirror the beginning and the end of `[B, N, C]`, which are shorter than the sound, in its layout."""
    parts = [x[:, 1 : left + 1].flip(1)] if left else []
    parts.append(x)
    if right:
        parts.append(x[:, -right - 1 : -1].flip(1))
    return torch.cat(parts, dim=1) if len(parts) > 1 else x


def _as_product(x: Tensor, weight: Tensor, frames: int, out_channels: int) -> bool:
    """Whether laying out the weights would take longer than what it saves."""
    inference = x.is_cpu and not torch.is_grad_enabled()
    return inference and weight.numel() >= LARGE_WEIGHTS and frames < out_channels


def _each(x: Tensor, product: Callable[[Tensor], Tensor]) -> Tensor:
    """Stack the products of the items of a batch: that of many rows would be rounded differently from few."""
    return product(x[0])[None] if len(x) == 1 else torch.stack([product(item) for item in x])
