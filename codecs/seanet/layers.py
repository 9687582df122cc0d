"""The building blocks of SEANet: padded convolutions, residual blocks and an LSTM with a skip connection.

Every block carries audio-like tensors `[B, C, N]` and knows how to run on a stream: `block(x, state)` with a
`StreamState` consumes a chunk and emits exactly the samples that the whole signal would have given at that
place. Streaming is exact for causal models only; a non-causal block refuses a state.

Sources: SoundStream (Zeghidour et al. 2021), EnCodec (Defossez et al. 2022), section 3.1.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm


class StreamState:
    """What a causal network remembers between two chunks, keyed by the layer that owns it."""

    def __init__(self) -> None:
        self._memory: dict[nn.Module, Tensor | tuple[Tensor, Tensor]] = {}

    def get(self, layer: nn.Module) -> Tensor | tuple[Tensor, Tensor] | None:
        return self._memory.get(layer)

    def set(self, layer: nn.Module, value: Tensor | tuple[Tensor, Tensor]) -> None:
        self._memory[layer] = value

    def reset(self) -> None:
        """Forget everything: the next chunk begins a new signal."""
        self._memory.clear()


def _pad(x: Tensor, left: int, right: int, mode: str) -> Tensor:
    """Pad the last axis; a reflection wider than the signal first extends the signal by zeros."""
    if mode != "reflect" or x.shape[-1] > max(left, right):
        return F.pad(x, (left, right), mode=mode)
    missing = max(left, right) - x.shape[-1] + 1
    padded = F.pad(F.pad(x, (0, missing)), (left, right), mode=mode)
    return padded[..., : padded.shape[-1] - missing]


def _weight_norm(layer: nn.Module, norm: str) -> nn.Module:
    if norm == "weight_norm":
        return weight_norm(layer)
    if norm == "none":
        return layer
    raise ValueError(f"norm {norm!r} is not supported; allowed: 'weight_norm', 'none'")


class Conv(nn.Module):
    """1-d convolution `[B, C_in, N] -> [B, C_out, ceil(N / stride)]`.

    Args:
        in_channels, out_channels, kernel_size, stride, dilation: as in `nn.Conv1d`.
        causal: pad only on the left.
        norm: "weight_norm" or "none".
        pad_mode: "constant" (zeros) or "reflect".
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        stride: int = 1,
        dilation: int = 1,
        causal: bool = False,
        norm: str = "weight_norm",
        pad_mode: str = "constant",
    ) -> None:
        super().__init__()
        self.conv = _weight_norm(
            nn.Conv1d(in_channels, out_channels, kernel_size, stride=stride, dilation=dilation), norm
        )
        self.stride = stride
        self.reach = (kernel_size - 1) * dilation + 1
        self.causal = causal
        self.pad_mode = pad_mode

    def forward(self, x: Tensor, state: StreamState | None = None) -> Tensor:
        if state is not None:
            return self._stream(x, state)
        padding = self.reach - self.stride
        right = 0 if self.causal else padding // 2
        windows = math.ceil((x.shape[-1] - self.reach + padding) / self.stride + 1)
        extra = (windows - 1) * self.stride + (self.reach - padding) - x.shape[-1]
        return self.conv(_pad(x, padding - right, right + extra, self.pad_mode))

    def _stream(self, x: Tensor, state: StreamState) -> Tensor:
        if not self.causal or self.pad_mode != "constant":
            raise ValueError("streaming needs a causal model with constant padding")
        past = state.get(self)
        if past is None:
            past = x.new_zeros(*x.shape[:-1], self.reach - self.stride)
        assert isinstance(past, Tensor)
        x = torch.cat([past, x], dim=-1)
        outputs = max(0, (x.shape[-1] - self.reach) // self.stride + 1)
        state.set(self, x[..., outputs * self.stride :])
        if outputs == 0:
            return x.new_zeros(x.shape[0], self.conv.out_channels, 0)
        return self.conv(x[..., : (outputs - 1) * self.stride + self.reach])


class ConvTranspose(nn.Module):
    """1-d transposed convolution `[B, C_in, N] -> [B, C_out, N * stride]` with kernel `2 * stride`.

    Args:
        trim_right_ratio: share of the surplus that is cut at the end when causal; 1 means no look-ahead.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int,
        *,
        causal: bool = False,
        norm: str = "weight_norm",
        trim_right_ratio: float = 1.0,
    ) -> None:
        super().__init__()
        if trim_right_ratio != 1.0 and not causal:
            raise ValueError(f"trim_right_ratio={trim_right_ratio} is meant for causal models; use 1.0")
        self.convtr = _weight_norm(
            nn.ConvTranspose1d(in_channels, out_channels, 2 * stride, stride=stride), norm
        )
        self.stride = stride
        self.causal = causal
        self.trim_right_ratio = trim_right_ratio

    def forward(self, x: Tensor, state: StreamState | None = None) -> Tensor:
        if state is not None:
            return self._stream(x, state)
        y = self.convtr(x)
        surplus = self.stride
        right = math.ceil(surplus * self.trim_right_ratio) if self.causal else surplus // 2
        return y[..., surplus - right : y.shape[-1] - right]

    def _stream(self, x: Tensor, state: StreamState) -> Tensor:
        if not self.causal or self.trim_right_ratio != 1.0:
            raise ValueError("streaming needs a causal model with trim_right_ratio 1")
        if x.shape[-1] == 0:
            return x.new_zeros(x.shape[0], self.convtr.out_channels, 0)
        y = self.convtr(x)
        overlap = state.get(self)
        if overlap is not None:
            assert isinstance(overlap, Tensor)
            y = torch.cat([y[..., : self.stride] + overlap, y[..., self.stride :]], dim=-1)
        # The last `stride` samples still wait for the next frame; the bias must not be added twice.
        tail = y[..., -self.stride :]
        if self.convtr.bias is not None:
            tail = tail - self.convtr.bias[:, None]
        state.set(self, tail)
        return y[..., : -self.stride]


class SkipLSTM(nn.Module):
    """LSTM over time with a skip connection, `[B, C, N] -> [B, C, N]`; unidirectional, so causal."""

    def __init__(self, channels: int, num_layers: int = 2) -> None:
        super().__init__()
        self.lstm = nn.LSTM(channels, channels, num_layers)

    def forward(self, x: Tensor, state: StreamState | None = None) -> Tensor:
        if x.shape[-1] == 0:
            return x
        memory = None if state is None else state.get(self)
        y, memory = self.lstm(x.permute(2, 0, 1), memory)
        if state is not None:
            state.set(self, memory)
        return x + y.permute(1, 2, 0)


class ResidualBlock(nn.Module):
    """`x + conv1(ELU(conv_k(ELU(x))))`, channels narrowed by `compress` in between.

    Args:
        true_skip: identity skip; otherwise a learned 1x1 convolution.
    """

    def __init__(
        self,
        channels: int,
        *,
        kernel_size: int = 3,
        dilation: int = 1,
        compress: int = 2,
        true_skip: bool = True,
        elu_alpha: float = 1.0,
        causal: bool = False,
        norm: str = "weight_norm",
        pad_mode: str = "constant",
    ) -> None:
        super().__init__()
        hidden = channels // compress
        shared = {"causal": causal, "norm": norm, "pad_mode": pad_mode}
        self.block = nn.ModuleList(
            [
                nn.ELU(elu_alpha),
                Conv(channels, hidden, kernel_size, dilation=dilation, **shared),  # type: ignore[arg-type]
                nn.ELU(elu_alpha),
                Conv(hidden, channels, 1, **shared),  # type: ignore[arg-type]
            ]
        )
        self.shortcut = None if true_skip else Conv(channels, channels, 1, **shared)  # type: ignore[arg-type]

    def forward(self, x: Tensor, state: StreamState | None = None) -> Tensor:
        skip = x if self.shortcut is None else self.shortcut(x, state)
        return skip + run_layers(self.block, x, state)


def run_layers(layers: nn.ModuleList, x: Tensor, state: StreamState | None = None) -> Tensor:
    """Apply layers in order, handing the stream state to those that keep one."""
    for layer in layers:
        x = layer(x) if isinstance(layer, nn.ELU | nn.Identity | nn.Tanh) else layer(x, state)
    return x
