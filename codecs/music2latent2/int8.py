"""Int8 quantization for inference on a CPU: the large sizes spend their time in products.

A CPU with integer dot products (VNNI) multiplies 8-bit integers several times as fast as float32. Weights are
rounded once, with one scale for each output channel; activations when they come in, with one scale for each
token (linear layers) or each map (convolutions). Sums are exact 32-bit integers. Norms, resampling shortcuts
and everything narrow stay in float32; attention does where it is not compiled.

The products are oneDNN's, behind `torch._int_mm` and the operators that PyTorch's own quantization ends in.

Source: quantization by rows and columns as in LLM.int8() (Dettmers et al. 2022), without its outliers.
Letters: B items, C channels, F bins, M frames, O output channels, K input channels, H heads,
E width of the noise embedding.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...core.processor import has_vnni
from .chunk_transformer import Attention, GatedMLP
from .frontends import ChannelNorm, ConvBlock, Downsample, Upsample

LEVELS = 127  # on either side of 0
ZERO = 128  # the byte that stands for 0 in a map
NARROWEST = 64  # channels; below, rounding and scaling cost more than the product saves


def _step(largest: Tensor, levels: int = LEVELS) -> Tensor:
    """What one level stands for where the largest modulus is `largest`; the same shape, and memory."""
    return largest.clamp_min_(1e-12).div_(levels)


def _quantize(x: Tensor, largest: Tensor, levels: int = LEVELS) -> tuple[Tensor, Tensor]:
    """`x` as int8, and the scale that belongs to its largest modulus, of the shape of that."""
    scale = _step(largest, levels)
    return (x * scale.reciprocal()).round_().to(torch.int8), scale


def quantize_rows(x: Tensor, levels: int = LEVELS) -> tuple[Tensor, Tensor]:
    """Rows of `x [..., K]` as int8, and their scales `[..., 1]`: `x` is about `int8 * scale`."""
    return _quantize(x, x.abs().amax(dim=-1, keepdim=True), levels)


def quantize_weight(weight: Tensor) -> tuple[Tensor, Tensor]:
    """A weight `[O, ...]` as int8 of the same shape, and the scales of its output channels, `[O]`.

    Without VNNI x86 CPUs add two products in 16 bits, so that weights must do with 7 bits there.
    """
    rows = weight.detach().float().flatten(1)  # [O, everything else]
    levels, scale = quantize_rows(rows, LEVELS if has_vnni() else LEVELS // 2)
    return levels.view_as(weight), scale[:, 0].clone()


class Int8Linear(nn.Module):
    """`nn.Linear` without bias; float32 `[..., K]` in, `[..., O]` out. Its weights lie as `[K, O]`."""

    weight: Tensor
    scale: Tensor

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        levels, scale = quantize_weight(weight)
        self.register_buffer("weight", levels.t().contiguous(), persistent=False)
        self.register_buffer("scale", scale, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        levels, scale = quantize_rows(x.flatten(0, -2))  # [tokens, K], [tokens, 1]
        sums = torch._int_mm(levels, self.weight).float()  # [tokens, O]
        return sums.mul_(self.scale).mul_(scale).unflatten(0, x.shape[:-1])


class Levels(NamedTuple):
    """A map in 8 bits: bytes `[B, C, F, M]` in which ZERO stands for 0, and a step `[B, 1, 1, 1]`."""

    bytes: Tensor
    step: Tensor

    @classmethod
    def of(cls, x: Tensor) -> Levels:
        """Round a map `[B, C, F, M]`."""
        step = _step(x.abs().amax((1, 2, 3), keepdim=True))
        levels = torch.addcmul(torch.tensor(float(ZERO)), x, step.reciprocal())
        return cls(levels.round_().to(torch.uint8), step)


class Int8Norm(nn.Module):
    """A ChannelNorm whose result is rounded; compiled, the normed map is never in memory."""

    def __init__(self, norm: ChannelNorm) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, x: Tensor, noise: Tensor | None = None) -> Levels:
        """Arguments as ChannelNorm's: a map `x [B, C, F, M]`, `noise [B or 1, E]` where it is conditioned."""
        if not torch.compiler.is_compiling():
            return Levels.of(self.norm(x, noise))
        scale, shift = self.norm.affine(x, noise)
        ends = [end((2, 3), keepdim=True) * scale + shift for end in (x.amin, x.amax)]
        step = _step(torch.cat(ends, dim=1).abs().amax(1, keepdim=True))
        levels = torch.addcmul(shift / step + ZERO, x, scale / step)
        # Where the mean is far larger than the spread, the last digits can lead out of a byte.
        return Levels(levels.clamp_(0, 255).round_().to(torch.uint8), step)


class Int8Conv(nn.Module):
    """`nn.Conv2d` without bias; float32 maps `[B, C, F, M]` or Levels in, float32 `[B, O, F', M']` out.

    Maps lie channels last. `weight` is `[O, C, height, width]`.
    """

    weight: Tensor
    scale: Tensor
    bias: Tensor
    zeros: Tensor

    def __init__(
        self, weight: Tensor, stride: Sequence[int] = (1, 1), padding: Sequence[int] = (0, 0)
    ) -> None:
        super().__init__()
        levels, scale = quantize_weight(weight)
        self.padding = (padding[1], padding[1], padding[0], padding[0])
        self.geometry = (list(stride), [0, 0], [1, 1], 1)  # stride, padding, dilation, groups
        self.register_buffer("weight", levels, persistent=False)
        self.register_buffer("scale", scale, persistent=False)
        # Takes ZERO off every byte. Given a zero point, oneDNN does that at run time, which is slower.
        self.register_buffer("bias", -ZERO * scale * levels.flatten(1).sum(1), persistent=False)
        # The zero points of the weights, which the operator asks for.
        self.register_buffer("zeros", torch.zeros(len(weight), dtype=torch.int32), persistent=False)
        self._pack()

    def _pack(self) -> None:
        """Lay the weights out as oneDNN wants them."""
        packed = torch.ops.onednn.qconv_prepack(self.weight, self.scale, 1.0, 0, *self.geometry)
        self.register_buffer("packed", packed, persistent=False)

    def __getstate__(self) -> dict[str, Any]:
        """For copies and pickles, which can't hold what is packed."""
        kept = {name: buffer for name, buffer in self._buffers.items() if name != "packed"}
        return {**self.__dict__, "_buffers": kept}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._pack()

    def forward(self, x: Tensor | Levels) -> Tensor:
        levels = x if isinstance(x, Levels) else Levels.of(x)
        padded = F.pad(levels.bytes, self.padding, value=ZERO)
        weights = (self.packed, self.scale, self.zeros, self.bias, *self.geometry)
        # Unit scale, no zero point, no activation.
        output: tuple[Any, ...] = (1.0, 0, torch.float32, "none", [], "")
        return torch.ops.onednn.qconv2d_pointwise(padded, 1.0, 0, *weights, *output).mul_(levels.step)


class Int8Upsample(nn.Module):
    """A transposed convolution whose stride is its window: one for each place in it, side by side.

    Maps `[B, C, F, M]` or Levels in, float32 `[B, O, F * high, M * wide]` out. `weight` is
    `[C, O, high, wide]`.
    """

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.stride = tuple(weight.shape[2:])
        # [C, O, high, wide] -> [high, wide, O, C] -> [high * wide * O, C, 1, 1]
        self.conv = Int8Conv(weight.permute(2, 3, 1, 0).flatten(0, 2)[:, :, None, None])

    def forward(self, x: Tensor | Levels) -> Tensor:
        made = self.conv(x).permute(0, 2, 3, 1)  # [B, F, M, high * wide * O]
        batch, height, width, _ = made.shape
        high, wide = self.stride
        windows = made.unflatten(3, (high, wide, -1)).transpose(2, 3)  # [B, F, high, M, wide, O]
        # [B, F * high, M * wide, O] -> [B, O, F * high, M * wide]
        return windows.reshape(batch, height * high, width * wide, -1).permute(0, 3, 1, 2)


def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Scaled dot-product attention, in integers where it is compiled.

    Takes queries `[B, H, n, head_dim]`, keys and values `[B, H, m, head_dim]`; the result is as the queries.
    Scores are rounded after the exponential, whose largest is 1 in every row. Not compiled, the passes over
    the scores cost more than the products save.
    """
    if not torch.compiler.is_compiling():
        return F.scaled_dot_product_attention(query, key, value)
    # [B, H, n, head_dim] -> [B * H, n, head_dim]; the scores are then powers of 2
    queries, query_scale = quantize_rows((query * (query.shape[-1] ** -0.5 / math.log(2))).flatten(0, 1))
    key, value = key.flatten(0, 1), value.flatten(0, 1)
    keys, key_scale = _quantize(key, key.abs().amax((1, 2), keepdim=True))
    values, value_scale = _quantize(value, value.abs().amax(1, keepdim=True))
    scale = query_scale * key_scale  # one a row, so that a row is read in order
    mixed = []
    for head in range(len(queries)):
        scores = torch._int_mm(queries[head], keys[head].t())  # [n, m]
        below = (scores - scores.amax(1, keepdim=True)).float() * scale[head]
        weights = (below.exp2() * LEVELS).round()
        sums = torch._int_mm(weights.to(torch.int8), values[head]).float()
        mixed.append(sums / weights.sum(1, keepdim=True) * value_scale[head])
    # [B * H, n, head_dim] -> [B, H, n, head_dim]
    return torch.stack(mixed).view(query.shape)


def _in_8_bits(module: nn.Module, layer: nn.Module) -> nn.Module | None:
    """What takes the place of a layer of a module; None where it stays."""
    if isinstance(module, Attention | GatedMLP) and isinstance(layer, nn.Linear):
        return Int8Linear(layer.weight)
    if isinstance(module, ConvBlock | Downsample | Upsample):
        if isinstance(layer, nn.Conv2d):
            assert not isinstance(layer.padding, str)
            return Int8Conv(layer.weight, layer.stride, layer.padding)
        if isinstance(layer, nn.ConvTranspose2d):
            return Int8Upsample(layer.weight)
    return None


def quantize_layers(model: nn.Module, narrowest: int = NARROWEST) -> None:
    """Make layers of a Music2Latent2 with `narrowest` or more channels, in and out, 8-bit ones, in place.

    Raises:
        ValueError: this PyTorch was built without oneDNN.
    """
    if not torch.backends.mkldnn.is_available():
        raise ValueError("int8 needs a PyTorch that was built with oneDNN; use float32 or bfloat16")
    for module in list(model.modules()):
        for name, layer in list(module.named_children()):
            weight = getattr(layer, "weight", None)
            if weight is None or weight.ndim < 2 or min(weight.shape[:2]) < narrowest:
                continue
            if (replacement := _in_8_bits(module, layer)) is not None:
                setattr(module, name, replacement)
                if isinstance(norm := getattr(module, "norm", None), ChannelNorm):
                    module.norm = Int8Norm(norm)
        if isinstance(module, Attention) and module.head_dim >= narrowest and has_vnni():
            module.attend = attend


def is_quantized(model: nn.Module) -> bool:
    """Whether `quantize_layers` was applied to a model."""
    return any(isinstance(module, Int8Linear | Int8Conv) for module in model.modules())
