"""Streaming layers of a causal EnCodec: convolutions, transposed ones, LSTM and residual blocks in pieces.

Each stage wraps one of the `encodec` package's layers and keeps what the next piece needs: a convolution its
last inputs, a transposed one its last frame, the recurrent layer its state.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn

from .channels_last import reflect


class Stage(ABC):
    """A layer that takes its input `[B, C, N]` in pieces. None stands for no samples."""

    @abstractmethod
    def push(self, x: Tensor | None, last: bool) -> Tensor | None:
        """Take a piece; return what is settled by now. `last`: nothing more comes."""


class PointwiseStage(Stage):
    """A layer that looks at one sample at a time."""

    def __init__(self, layer: nn.Module) -> None:
        self.layer = layer

    def push(self, x: Tensor | None, last: bool) -> Tensor | None:
        return None if x is None else self.layer(x)


class ConvStage(Stage):
    """A causal convolution that reflects the beginning, and the end up to a whole stride."""

    def __init__(self, layer: Any) -> None:
        self.layer, self.conv = layer, layer.conv.conv
        self.stride = self.conv.stride[0]
        self.kernel = (self.conv.kernel_size[0] - 1) * self.conv.dilation[0] + 1
        self.left = self.kernel - self.stride
        self.held: Tensor | None = None
        self.started = False

    def push(self, x: Tensor | None, last: bool) -> Tensor | None:
        held = join(self.held, x)
        if held is None:
            return None
        if not self.started:
            if held.shape[-1] <= self.left:
                self.held = held
                return self.layer(held) if last else None
            held, self.started = reflect(held, self.left, 0), True
        # As many outputs as strides are complete; at the end the last one is filled up by reflection.
        missing = -(held.shape[-1] - self.left) % self.stride
        if last and missing:
            held = reflect(held, 0, missing)
        count = (held.shape[-1] - self.left) // self.stride
        self.held = held[..., count * self.stride :]
        return self.conv(held[..., : self.left + count * self.stride]) if count else None


class TransposedStage(Stage):
    """A causal transposed convolution of kernel 2 x stride: a frame also shapes the next one's samples."""

    def __init__(self, layer: Any) -> None:
        self.conv = layer.convtr.convtr
        self.stride = self.conv.stride[0]
        assert self.conv.kernel_size[0] == 2 * self.stride
        self.before: Tensor | None = None

    def push(self, x: Tensor | None, last: bool) -> Tensor | None:
        if x is None:
            return None
        known = 0 if self.before is None else self.stride
        made = self.conv(join(self.before, x))[..., known : known + x.shape[-1] * self.stride]
        self.before = x[..., -1:]
        return made


class LSTMStage(Stage):
    """The recurrent layer with its state."""

    def __init__(self, layer: Any) -> None:
        self.lstm = layer.lstm
        self.state: tuple[Tensor, Tensor] | None = None

    def push(self, x: Tensor | None, last: bool) -> Tensor | None:
        if x is None:
            return None
        steps = x.permute(2, 0, 1)  # [N, B, C]
        made, self.state = self.lstm(steps, self.state)
        # [N, B, C] -> [B, C, N]
        return (made + steps).permute(1, 2, 0)


class ResidualStage(Stage):
    """A residual block: its two ways are added as far as both have come."""

    def __init__(self, layer: Any) -> None:
        self.ways = [ChainStage([layer.shortcut]), ChainStage(layer.block)]
        self.held: list[Tensor | None] = [None, None]

    def push(self, x: Tensor | None, last: bool) -> Tensor | None:
        made = [join(held, way.push(x, last)) for held, way in zip(self.held, self.ways, strict=True)]
        count = min(0 if part is None else part.shape[-1] for part in made)
        self.held = [None if part is None else part[..., count:] for part in made]
        if not count:
            return None
        short, long = (part[..., :count] for part in made if part is not None)
        return short + long


class ChainStage(Stage):
    """Layers one after the other."""

    def __init__(self, layers: Any) -> None:
        self.stages = [_stage(layer) for layer in layers]

    def push(self, x: Tensor | None, last: bool) -> Tensor | None:
        for stage in self.stages:
            x = stage.push(x, last)
        return x


def _stage(layer: nn.Module) -> Stage:
    """The stage for one of the package's layers."""
    kinds: dict[str, type[Stage]] = {
        "SConv1d": ConvStage,
        "SConvTranspose1d": TransposedStage,
        "SLSTM": LSTMStage,
        "SEANetResnetBlock": ResidualStage,
        "ELU": PointwiseStage,
    }
    return kinds[type(layer).__name__](layer)  # type: ignore[call-arg]


def join(before: Tensor | None, after: Tensor | None) -> Tensor | None:
    """Two pieces `[B, C, N]`, each perhaps missing, as one, in the layout of the second."""
    if before is None or after is None:
        return after if before is None else before
    if after.stride(1) == 1:  # channels last, which joining along N would turn back
        return torch.cat([before.mT, after.mT], dim=1).mT
    return torch.cat([before, after], dim=-1)
