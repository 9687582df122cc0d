"""The `encodec` package's layers with sound kept as `[B, N, C]` in memory, under the shape `[B, C, N]`.

With few channels and many samples CPU convolutions are up to twice as fast in that layout, as long as nothing
in between turns it back: padding and norms would, on three axes. The layers are the package's own objects
with their weights; only what they call is another class.
"""

from __future__ import annotations

import functools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..convolutions import convolve, convolve_transposed
from ..convolutions import reflect as reflect_rows
from ..stepwise_lstm import StepwiseLSTM


def _image(x: Tensor) -> Tensor:
    """`[B, C, N]` as an image `[B, C, 1, N]` with channels last; copied only where it is not yet."""
    return x.unsqueeze(2).contiguous(memory_format=torch.channels_last)


def _rows(x: Tensor) -> Tensor:
    """`[B, C, N]` as `[B, N, C]`, contiguous."""
    return x.transpose(1, 2).contiguous()


class Conv1d(nn.Conv1d):
    """A convolution without padding of its own."""

    def forward(self, x: Tensor) -> Tensor:
        if not x.is_cpu:
            return super().forward(x)
        if self.in_channels == 1 and self.dilation == (1,):
            # [B, 1, N] -> windows [B, N', kernel] -> [B, N', C]: a product, where both layouts look the same.
            windows = x[:, 0].unfold(1, self.kernel_size[0], self.stride[0])
            return F.linear(windows, self.weight[:, 0], self.bias).transpose(1, 2)
        return convolve(_rows(x), self.weight, self.bias, *self.stride, *self.dilation).transpose(1, 2)


class ConvTranspose1d(nn.ConvTranspose1d):
    """A transposed convolution without padding of its own."""

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        if not x.is_cpu or output_size is not None or self.kernel_size[0] != 2 * self.stride[0]:
            return super().forward(x, output_size)
        return convolve_transposed(_rows(x), self.weight, self.bias, *self.stride).transpose(1, 2)


class GroupNorm(nn.GroupNorm):
    """A norm over channels and samples."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(_image(x)).squeeze(2) if x.is_cpu else super().forward(x)


def reflect(x: Tensor, left: int, right: int) -> Tensor:
    """Mirror the beginning and the end of `[B, C, N]`, which are shorter than the sound."""
    if not left and not right:
        return x
    if not x.is_cpu:
        return F.pad(x, (left, right), mode="reflect")
    return reflect_rows(_rows(x), left, right).transpose(1, 2)


@functools.cache
def _padded(kind: type[nn.Module]) -> type[nn.Module]:
    """The package's convolution with padding, which asks it how much."""

    class SConv1d(kind):  # type: ignore[valid-type, misc]
        def forward(self, x: Tensor) -> Tensor:
            conv = self.conv.conv
            stride = conv.stride[0]
            total = (conv.kernel_size[0] - 1) * conv.dilation[0] - (stride - 1)
            extra = -(x.shape[-1] - conv.kernel_size[0] + total) % stride
            right = 0 if self.causal else total // 2
            left, right = total - right, right + extra
            if x.shape[-1] <= max(left, right) or self.pad_mode != "reflect":
                y: Tensor = super().forward(x)
                return y
            return self.conv(reflect(x, left, right))

    return SConv1d


def keep_channels_last(network: nn.Module) -> None:
    """Give the layers of one of the package's networks these classes."""
    plain: dict[type[nn.Module], type[nn.Module]] = {
        nn.Conv1d: Conv1d,
        nn.ConvTranspose1d: ConvTranspose1d,
        nn.GroupNorm: GroupNorm,
        nn.LSTM: StepwiseLSTM,
    }
    for layer in network.modules():
        kind = type(layer)
        if kind in plain:
            layer.__class__ = plain[kind]
        elif kind.__name__ == "SConv1d":
            layer.__class__ = _padded(kind)  # type: ignore[arg-type]
