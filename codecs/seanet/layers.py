"""The building blocks of SEANet: padded convolutions, residual blocks and an LSTM with a skip connection.

Inside the network sound is `[B, N, C]`, channels last, for the reason that convolutions.py says.
SEANetEncoder and SEANetDecoder turn it at the door.

Every block knows how to run on a stream: `block(x, state)` with a `StreamState` consumes a chunk and emits
the next samples of what the whole signal would have given. A block that looks ahead emits later than it
consumes; with the last chunk, `state.closing` makes it emit the rest. A chunk may have no samples.

Sources: SoundStream (Zeghidour et al. 2021), EnCodec (Defossez et al. 2022), section 3.1.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm
from torch.nn.utils.parametrize import is_parametrized

from ..convolutions import convolve, convolve_transposed, reflect
from ..stepwise_lstm import StepwiseLSTM


class StreamState:
    """What a network remembers between two chunks, keyed by the layer that owns it.

    Attributes:
        closing: the signal ends with the next chunk.
    """

    def __init__(self) -> None:
        self._memory: dict[nn.Module, Any] = {}
        self.closing = False

    def get(self, layer: nn.Module) -> Any:
        return self._memory.get(layer)

    def set(self, layer: nn.Module, value: Any) -> None:
        self._memory[layer] = value

    def reset(self) -> None:
        """Forget everything: the next chunk begins a new signal."""
        self._memory.clear()
        self.closing = False


@dataclass
class _ConvMemory:
    """Of a convolution: padded input from the next window on, the end of the plain input, how much came."""

    padded: Tensor | None = None
    recent: Tensor | None = None
    received: int = 0


def _pad(x: Tensor, left: int, right: int, mode: str) -> Tensor:
    """Pad the time axis of `[B, N, C]`; zeros extend a signal that is shorter than its reflection."""
    if not left and not right:
        return x
    if mode == "constant":
        return F.pad(x, (0, 0, left, right))
    # A signal that is shorter than its reflection is filled up, and that cut off again.
    missing = max(0, max(left, right) - x.shape[1] + 1)
    padded = reflect(F.pad(x, (0, 0, 0, missing)) if missing else x, left, right)
    return padded[:, : padded.shape[1] - missing]


def _join(before: Tensor | None, x: Tensor, enough: int | None = None) -> Tensor:
    """`[B, N, C]` after what came before, which may be left out once `x` has `enough` samples."""
    if before is None or before.shape[1] == 0 or (enough is not None and x.shape[1] >= enough):
        return x
    return torch.cat([before, x], dim=1)


def _weight_norm(layer: nn.Module, norm: str) -> Any:
    if norm == "weight_norm":
        return weight_norm(layer)
    if norm == "none":
        return layer
    raise ValueError(f"norm {norm!r} is not supported; allowed: 'weight_norm', 'none'")


class Conv(nn.Module):
    """1-d convolution `[B, N, C_in] -> [B, ceil(N / stride), C_out]`.

    Args:
        in_channels, out_channels, kernel_size, stride, dilation, groups: as in `nn.Conv1d`.
        causal: pad only on the left, but for the look-ahead.
        look_ahead: steps after one that a causal convolution sees.
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
        groups: int = 1,
        causal: bool = False,
        look_ahead: int = 0,
        norm: str = "weight_norm",
        pad_mode: str = "constant",
    ) -> None:
        super().__init__()
        inner = nn.Conv1d(
            in_channels, out_channels, kernel_size, stride=stride, dilation=dilation, groups=groups
        )
        self.conv: Any = _weight_norm(inner, norm)
        self.out_channels = out_channels
        self.stride = stride
        self.dilation = dilation
        self.groups = groups
        self.reach = (kernel_size - 1) * dilation + 1
        padding = self.reach - stride
        self.right = look_ahead if causal else padding // 2
        self.left = padding - self.right
        self.pad_mode = pad_mode

    def forward(self, x: Tensor, state: StreamState | None = None) -> Tensor:
        if state is not None:
            return self._stream(x, state)
        return self._convolve(_pad(x, self.left, self.right + -x.shape[1] % self.stride, self.pad_mode))

    def _convolve(self, x: Tensor) -> Tensor:
        return convolve(x, self.conv.weight, self.conv.bias, self.stride, self.dilation, self.groups)

    def _stream(self, x: Tensor, state: StreamState) -> Tensor:
        memory = state.get(self) or _ConvMemory()
        state.set(self, memory)
        # How much of the padding at the end is due: what fills the last stride is known only then.
        memory.received += x.shape[1]
        right = self.right + (-memory.received % self.stride if state.closing else 0)
        # Zeros need to know nothing of the signal; a reflection at either end needs the samples next to it.
        reflects = self.pad_mode != "constant"
        kept = max(self.left, self.right + self.stride - 1) + 1 if reflects else 0
        recent = _join(memory.recent, x, kept if memory.padded is not None else None)
        memory.recent = recent[:, max(0, recent.shape[1] - kept) :].clone()
        padded = x
        if memory.padded is not None:
            padded = _join(memory.padded, x)
        elif memory.received > (self.left if reflects else 0) or (state.closing and memory.received):
            padded = _pad(recent, self.left, right if state.closing else 0, self.pad_mode)
            padded = padded[:, : self.left + recent.shape[1]]
        else:
            return x.new_zeros(x.shape[0], 0, self.out_channels)
        if state.closing:
            ended = _pad(recent, self.left, right, self.pad_mode)
            padded = torch.cat([padded, ended[:, self.left + recent.shape[1] :]], dim=1)
        # As many outputs as windows are complete; the next window's beginning is kept.
        outputs = max(0, (padded.shape[1] - self.reach) // self.stride + 1)
        # A copy: a view would keep the whole chunk in memory.
        memory.padded = padded[:, outputs * self.stride :].clone()
        if outputs == 0:
            return x.new_zeros(x.shape[0], 0, self.out_channels)
        return self._convolve(padded[:, : (outputs - 1) * self.stride + self.reach])


class ConvTranspose(nn.Module):
    """1-d transposed convolution `[B, N, C_in] -> [B, N * stride, C_out]` with kernel `2 * stride`.

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
        self.convtr: Any = _weight_norm(
            nn.ConvTranspose1d(in_channels, out_channels, 2 * stride, stride=stride), norm
        )
        self.out_channels = out_channels
        self.stride = stride
        # Samples of the surplus that are cut at the end and at the beginning.
        self.right = math.ceil(stride * trim_right_ratio) if causal else stride // 2
        self.left = stride - self.right

    def forward(self, x: Tensor, state: StreamState | None = None) -> Tensor:
        if state is not None:
            return self._stream(x, state)
        y = convolve_transposed(x, self.convtr.weight, self.convtr.bias, self.stride)
        return y[:, self.left : y.shape[1] - self.right]

    def _stream(self, x: Tensor, state: StreamState) -> Tensor:
        overlap = state.get(self)
        if x.shape[1] == 0:
            y = x.new_zeros(x.shape[0], 0, self.out_channels)
        else:
            y = convolve_transposed(x, self.convtr.weight, None, self.stride)
            if overlap is not None:
                y[:, : self.stride] += overlap
            # The last `stride` samples still wait for the next frame.
            before, overlap = overlap, y[:, -self.stride :].clone()
            y = y[:, 0 if before is not None else self.left : -self.stride]
            state.set(self, overlap)
        if state.closing and overlap is not None:
            y = torch.cat([y, overlap[:, : self.left]], dim=1)
        return y if self.convtr.bias is None else y + self.convtr.bias


class SkipLSTM(nn.Module):
    """LSTM over time with a skip connection, `[B, N, C] -> [B, N, C]`; unidirectional, so causal."""

    def __init__(self, channels: int, num_layers: int = 2) -> None:
        super().__init__()
        self.lstm = StepwiseLSTM(channels, channels, num_layers, batch_first=True)

    def forward(self, x: Tensor, state: StreamState | None = None) -> Tensor:
        if x.shape[1] == 0:
            return x
        y, memory = self.lstm(x, None if state is None else state.get(self))
        if state is not None:
            state.set(self, memory)
        return x + y


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
        shared: dict[str, Any] = {"causal": causal, "norm": norm, "pad_mode": pad_mode}
        self.block = nn.ModuleList(
            [
                nn.ELU(elu_alpha),
                Conv(channels, hidden, kernel_size, dilation=dilation, **shared),
                nn.ELU(elu_alpha),
                Conv(hidden, channels, 1, **shared),
            ]
        )
        self.shortcut = None if true_skip else Conv(channels, channels, 1, **shared)

    def forward(self, x: Tensor, state: StreamState | None = None) -> Tensor:
        skip = x if self.shortcut is None else self.shortcut(x, state)
        y = run_layers(self.block, x, state)
        if state is not None:
            waiting = state.get(self)
            skip = _join(waiting, skip)
            state.set(self, skip[:, y.shape[1] :].clone())
            skip = skip[:, : y.shape[1]]
        return skip + y


def run_layers(layers: nn.ModuleList, x: Tensor, state: StreamState | None = None) -> Tensor:
    """Apply layers in order, handing the stream state to those that keep one."""
    own = False  # whether a layer here made x, so that nobody else reads it
    for layer in layers:
        if isinstance(layer, nn.ELU) and own and not torch.is_grad_enabled():
            x = F.elu_(x, layer.alpha)
        else:
            keeps_state = isinstance(layer, Conv | ConvTranspose | SkipLSTM | ResidualBlock)
            x = layer(x, state) if keeps_state else layer(x)
        own = True
    return x


def count_emitted(layers: Iterable[nn.Module], count: int) -> int:
    """Samples that layers have emitted once they have got `count`, and more are to come."""
    for layer in layers:
        if isinstance(layer, ResidualBlock):
            count = count_emitted(layer.block, count)
        elif isinstance(layer, Conv):
            if layer.pad_mode != "constant" and count <= layer.left:
                return 0  # the reflection at the beginning needs more
            count = max(0, (count + layer.left - layer.reach) // layer.stride + 1)
        elif isinstance(layer, ConvTranspose):
            count = max(0, count * layer.stride - layer.left)
    return count


def count_history(layers: Iterable[nn.Module]) -> int:
    """Samples into these layers, before a place, that the sample that they emit there depends on."""
    count = 0
    for layer in reversed(list(layers)):
        if isinstance(layer, ResidualBlock):
            count += count_history(layer.block)
        elif isinstance(layer, Conv):
            count = count * layer.stride + layer.left
        elif isinstance(layer, ConvTranspose):
            count = -(-count // layer.stride) + 1
    return count


@torch.no_grad()
def init_variance_preserving(
    layers: nn.ModuleList, *, first_gain: float = 1.0, last_gain: float = 1.0
) -> None:
    """Draw convolution weights so that a signal keeps its spread from layer to layer; biases start at zero.

    PyTorch's default shrinks the variance threefold per convolution: after a dozen of them the output hardly
    depends on the input, and the first hundreds of steps are spent growing back what was lost.

    Args:
        layers: of one network, in order.
        first_gain, last_gain: factors for the first and the last convolution, which meet the quiet waveform.
    """
    convolutions = [m for layer in layers for m in layer.modules() if isinstance(m, Conv | ConvTranspose)]
    for position, module in enumerate(convolutions):
        inner: Any = module.conv if isinstance(module, Conv) else module.convtr
        # Each output sample of a transposed convolution of kernel 2 * stride sums two taps a channel.
        taps = inner.kernel_size[0] if isinstance(module, Conv) else 2
        gain = 1.2 * (first_gain if position == 0 else 1.0)
        gain *= last_gain if position == len(convolutions) - 1 else 1.0
        weight = torch.randn_like(inner.weight) * gain / math.sqrt(inner.in_channels * taps)
        if is_parametrized(inner, "weight"):
            inner.weight = weight
        else:
            inner.weight.copy_(weight)
        nn.init.zeros_(inner.bias)
