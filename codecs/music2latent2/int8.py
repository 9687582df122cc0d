"""Inference in 8-bit integers on a CPU: the large sizes spend their time in products, and these are faster.

A CPU with integer dot products (VNNI) multiplies 8-bit integers several times as fast as float32. Weights are
rounded once, with one scale for each output channel; activations when they come in, with one scale for each
token (linear layers) or each map (convolutions). Sums are exact 32-bit integers. Norms, resampling shortcuts
and everything narrow stay in float32; attention does where it is not compiled.

All layers here become one matrix product: a linear layer is one, so is a convolution whose windows do not
overlap, and a 3x3 convolution is one over windows laid out as rows.

Source: quantization by rows and columns as in LLM.int8() (Dettmers et al. 2022), without its outliers.
Letters: B items, C channels, O output channels, M rows.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .blocks import ConvBlock, Downsample, Upsample
from .transformer import Attention, GatedMLP

LEVELS = 127
NARROWEST = 64  # channels; below, laying out and scaling cost more than the product saves
BLOCK_BYTES = 2**21  # windows of a 3x3 convolution laid out at a time: about what a core's cache holds


def _quantize(x: Tensor, largest: Tensor) -> tuple[Tensor, Tensor]:
    """`x` as int8, and the scale that belongs to its largest modulus, of the shape of that."""
    scale = largest.clamp_min_(1e-12).div_(LEVELS)
    return (x * scale.reciprocal()).round_().to(torch.int8), scale


def quantize_rows(x: Tensor) -> tuple[Tensor, Tensor]:
    """Rows of `x [..., C]` as int8, and their scales `[..., 1]`: `x` is about `int8 * scale`."""
    return _quantize(x, x.abs().amax(dim=-1, keepdim=True))


class Int8Layer(nn.Module):
    """Weights `[O, K]`, kept as int8 `[K, O]`, and their scales `[O]`; what layers multiply with."""

    weight: Tensor
    scale: Tensor

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        levels, scale = quantize_rows(weight.detach().float())
        self.register_buffer("weight", levels.t().contiguous())
        self.register_buffer("scale", scale[:, 0].clone())

    def product(self, x: Tensor, scale: Tensor, rows: slice = slice(None)) -> Tensor:
        """int8 `x [M, K]` with scale (a scalar, or `[M, 1]`) -> float32 `[M, O]`, or those rows of O."""
        sums = torch._int_mm(x, self.weight[:, rows]).float()
        if scale.ndim == 0:
            return sums.mul_(self.scale[rows] * scale)
        return sums.mul_(self.scale[rows]).mul_(scale)


class Int8Linear(Int8Layer):
    """`nn.Linear` without bias; float in and out, any leading axes."""

    def forward(self, x: Tensor, rows: slice = slice(None)) -> Tensor:
        levels, scale = quantize_rows(x.flatten(0, -2))
        return self.product(levels, scale, rows).unflatten(0, x.shape[:-1])


class _Int8Conv(Int8Layer):
    """Convolutions of maps `[B, C, F, M]` in channels-last memory; a scale for each map of the batch."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([self.one(item.permute(1, 2, 0)) for item in x]).permute(0, 3, 1, 2)

    def one(self, x: Tensor) -> Tensor:
        """`[F, M, C]` -> `[F', M', O]`."""
        raise NotImplementedError

    @staticmethod
    def quantize(x: Tensor) -> tuple[Tensor, Tensor]:
        """A map as int8, and its scale, a scalar."""
        low, high = torch.aminmax(x)
        return _quantize(x, torch.maximum(-low, high))


class Int8Conv3x3(_Int8Conv):
    """A 3x3 convolution with padding 1 and without bias."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__(weight.permute(0, 2, 3, 1).flatten(1))

    def one(self, x: Tensor) -> Tensor:
        height, width, channels = x.shape
        levels, scale = self.quantize(x)
        padded = F.pad(levels, (0, 0, 1, 1, 1, 1))
        row = (width + 2) * channels
        # In memory the three pixels of a window's row lie side by side: [F, M, 3, 3 C] without a copy.
        windows = padded.as_strided((height, width, 3, 3 * channels), (row, channels, row, 1))
        lines = max(1, BLOCK_BYTES // (width * 9 * channels))
        parts = [self.product(part.reshape(-1, 9 * channels), scale) for part in windows.split(lines)]
        return torch.cat(parts).view(height, width, -1)


class Int8Downsample(_Int8Conv):
    """A convolution whose stride is its window."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__(weight.permute(0, 2, 3, 1).flatten(1))
        self.stride = tuple(weight.shape[2:])

    def one(self, x: Tensor) -> Tensor:
        (high, wide), (height, width, channels) = self.stride, x.shape
        levels, scale = self.quantize(x)
        windows = levels.view(height // high, high, width // wide, wide, channels).transpose(1, 2)
        rows = windows.reshape(-1, high * wide * channels)
        return self.product(rows, scale).view(height // high, width // wide, -1)


class Int8Upsample(_Int8Conv):
    """A transposed convolution whose stride is its window."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__(weight.permute(2, 3, 1, 0).flatten(0, 2))
        self.stride = tuple(weight.shape[2:])

    def one(self, x: Tensor) -> Tensor:
        (high, wide), (height, width, _) = self.stride, x.shape
        levels, scale = self.quantize(x)
        made = self.product(levels.flatten(0, 1), scale).view(height, width, high, wide, -1)
        return made.transpose(1, 2).reshape(height * high, width * wide, -1)


def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Scaled dot-product attention, in integers where it is compiled.

    Takes queries `[B, H, n, head_dim]`, keys and values `[B, H, m, head_dim]`; the result is as the queries.
    Scores are rounded after the exponential, whose largest is 1 in every row. Not compiled, the passes over
    the scores cost more than the products save.
    """
    if not torch.compiler.is_compiling():
        return F.scaled_dot_product_attention(query, key, value)
    queries, query_scale = quantize_rows((query * query.shape[-1] ** -0.5).flatten(0, 1))
    keys, key_scale = quantize_rows(key.flatten(0, 1))
    values, value_scale = quantize_rows(value.flatten(0, 1).transpose(1, 2))
    mixed = []
    for head in range(len(queries)):
        scores = (
            torch._int_mm(queries[head], keys[head].t()).float() * query_scale[head] * key_scale[head].t()
        )
        weights = ((scores - scores.amax(1, keepdim=True)).exp() * LEVELS).round()
        sums = torch._int_mm(weights.to(torch.int8), values[head].t()).float()
        mixed.append(sums / weights.sum(1, keepdim=True) * value_scale[head].t())
    return torch.stack(mixed).view(query.shape)


def quantize_layers(model: nn.Module, narrowest: int = NARROWEST) -> None:
    """Make layers of a Music2Latent2 with `narrowest` or more channels, in and out, 8-bit ones, in place."""
    wide: list[tuple[type, dict[str, Any]]] = [
        (Attention, {"qkv": Int8Linear, "out": Int8Linear}),
        (GatedMLP, {"up": Int8Linear, "down": Int8Linear}),
        (ConvBlock, {"conv1": Int8Conv3x3, "conv2": Int8Conv3x3}),
        (Downsample, {"conv": Int8Downsample}),
        (Upsample, {"conv": Int8Upsample}),
    ]
    for module in list(model.modules()):
        for kind, layers in wide:
            if isinstance(module, kind):
                for name, replacement in layers.items():
                    weight = getattr(module, name).weight
                    if min(weight.shape[:2]) >= narrowest:
                        setattr(module, name, replacement(weight))
        if isinstance(module, Attention) and module.head_dim >= narrowest:
            module.attend = attend


def is_quantized(model: nn.Module) -> bool:
    """Whether `quantize_layers` was applied to a model."""
    return any(isinstance(module, Int8Layer) for module in model.modules())
