"""SEANet encoder and decoder: strided convolutions, residual blocks, an LSTM.

The sequence numbers of the layers equal those of the published EnCodec checkpoints, so that a converted state
dict needs no renaming. Source: EnCodec (Defossez et al. 2022), section 3.1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from .layers import (
    Conv,
    ConvTranspose,
    ResidualBlock,
    SkipLSTM,
    StreamState,
    init_variance_preserving,
    run_layers,
)


class SEANetEncoder(nn.Module):
    """Waveform `[B, C, N]` -> latent `[B, dimension, ceil(N / hop)]`, hop = product of `ratios`.

    Args:
        channels: audio channels.
        dimension: width of the latent.
        n_filters: channels after the first convolution; doubled by every stride.
        ratios: strides of the *decoder*, in its order; the encoder runs through them backwards.
        n_residual_layers: residual blocks per stage.
        kernel_size, residual_kernel_size, last_kernel_size: in samples of their layer.
        dilation_base: dilation of the j-th residual block of a stage is `dilation_base ** j`.
        lstm: LSTM layers, 0 for none.
        compress, true_skip: see ResidualBlock.
        elu_alpha: of every activation.
        causal, norm, pad_mode: see Conv.
        init_gain: factor on the first convolution's initial weights; waveforms are quiet, so it is above 1.
        linear_path: add a linear map of each frame, from zero on (see components.py); causal networks only.
    """

    def __init__(
        self,
        *,
        channels: int = 1,
        dimension: int = 128,
        n_filters: int = 64,
        ratios: Sequence[int] = (8, 5, 4, 2),
        n_residual_layers: int = 1,
        kernel_size: int = 7,
        residual_kernel_size: int = 3,
        last_kernel_size: int = 7,
        dilation_base: int = 2,
        compress: int = 2,
        true_skip: bool = True,
        lstm: int = 2,
        elu_alpha: float = 1.0,
        causal: bool = False,
        norm: str = "weight_norm",
        pad_mode: str = "constant",
        init_gain: float = 5.0,
        linear_path: bool = False,
    ) -> None:
        super().__init__()
        _check_linear_path(linear_path, causal)
        shared: dict[str, Any] = {"causal": causal, "norm": norm, "pad_mode": pad_mode}
        layers: list[nn.Module] = [Conv(channels, n_filters, kernel_size, **shared)]
        width = n_filters
        for ratio in reversed(ratios):
            layers += [
                ResidualBlock(
                    width,
                    kernel_size=residual_kernel_size,
                    dilation=dilation_base**j,
                    compress=compress,
                    true_skip=true_skip,
                    elu_alpha=elu_alpha,
                    **shared,
                )
                for j in range(n_residual_layers)
            ]
            layers += [nn.ELU(elu_alpha), Conv(width, 2 * width, 2 * ratio, stride=ratio, **shared)]
            width *= 2
        if lstm:
            layers.append(SkipLSTM(width, lstm))
        layers += [nn.ELU(elu_alpha), Conv(width, dimension, last_kernel_size, **shared)]
        self.model = nn.ModuleList(layers)
        init_variance_preserving(self.model, first_gain=init_gain)
        self.linear: Conv | None = None
        if linear_path:
            hop = math.prod(ratios)
            self.linear = Conv(channels, dimension, hop, stride=hop, causal=True, norm="none")
            _zero(self.linear.conv)

    def forward(self, audio: Tensor, state: StreamState | None = None) -> Tensor:
        return _run_paths(self.model, self.linear, audio, state)


class SEANetDecoder(nn.Module):
    """Latent `[B, dimension, T]` -> waveform `[B, C, T * hop]`; the mirror of SEANetEncoder.

    Args:
        trim_right_ratio: see ConvTranspose.
        final_activation: name of a module of `torch.nn` put after the last convolution, or None.
        init_gain: factor on the last convolution's initial weights.
        linear_path: as in SEANetEncoder; the map of a frame also adds to the one after it.
    """

    def __init__(
        self,
        *,
        channels: int = 1,
        dimension: int = 128,
        n_filters: int = 64,
        ratios: Sequence[int] = (8, 5, 4, 2),
        n_residual_layers: int = 1,
        kernel_size: int = 7,
        residual_kernel_size: int = 3,
        last_kernel_size: int = 7,
        dilation_base: int = 2,
        compress: int = 2,
        true_skip: bool = True,
        lstm: int = 2,
        elu_alpha: float = 1.0,
        causal: bool = False,
        norm: str = "weight_norm",
        pad_mode: str = "constant",
        trim_right_ratio: float = 1.0,
        final_activation: str | None = None,
        init_gain: float = 0.1,
        linear_path: bool = False,
    ) -> None:
        super().__init__()
        _check_linear_path(linear_path, causal)
        shared: dict[str, Any] = {"causal": causal, "norm": norm, "pad_mode": pad_mode}
        width = n_filters * 2 ** len(ratios)
        layers: list[nn.Module] = [Conv(dimension, width, kernel_size, **shared)]
        if lstm:
            layers.append(SkipLSTM(width, lstm))
        for ratio in ratios:
            layers += [
                nn.ELU(elu_alpha),
                ConvTranspose(
                    width, width // 2, ratio, causal=causal, norm=norm, trim_right_ratio=trim_right_ratio
                ),
            ]
            width //= 2
            layers += [
                ResidualBlock(
                    width,
                    kernel_size=residual_kernel_size,
                    dilation=dilation_base**j,
                    compress=compress,
                    true_skip=true_skip,
                    elu_alpha=elu_alpha,
                    **shared,
                )
                for j in range(n_residual_layers)
            ]
        layers += [nn.ELU(elu_alpha), Conv(width, channels, last_kernel_size, **shared)]
        if final_activation is not None:
            layers.append(getattr(nn, final_activation)())
        self.model = nn.ModuleList(layers)
        init_variance_preserving(self.model, last_gain=init_gain)
        self.linear: ConvTranspose | None = None
        if linear_path:
            self.linear = ConvTranspose(dimension, channels, math.prod(ratios), causal=True, norm="none")
            _zero(self.linear.convtr)

    def forward(self, latent: Tensor, state: StreamState | None = None) -> Tensor:
        return _run_paths(self.model, self.linear, latent, state)


def _check_linear_path(linear_path: bool, causal: bool) -> None:
    if linear_path and not causal:
        raise ValueError("linear_path is for causal networks, which emit a frame when they get it")


def _zero(layer: nn.Module) -> None:
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)


def _run_paths(
    network: nn.ModuleList, linear: Conv | ConvTranspose | None, x: Tensor, state: StreamState | None
) -> Tensor:
    """`[B, C_in, N]` through the network and, if there is one, the linear path beside it."""
    x = x.transpose(1, 2)
    y = run_layers(network, x, state)
    return (y if linear is None else y + linear(x, state)).transpose(1, 2)
