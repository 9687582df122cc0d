"""SEANet encoder and decoder: strided convolutions, residual blocks, an LSTM.

The sequence numbers of the layers equal those of the published EnCodec checkpoints, so that a converted state
dict needs no renaming. Source: EnCodec (Defossez et al. 2022), section 3.1.
"""

from __future__ import annotations

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
from .seanet_config import NetworkConfig


class SEANetEncoder(nn.Module):
    """Waveform `[B, C, N]` -> latent `[B, dimension, ceil(N / hop)]`, hop = product of `ratios`.

    Args:
        config: sizes.
        init_gain: factor on the first convolution's initial weights; waveforms are quiet, so it is above 1.
    """

    def __init__(self, config: NetworkConfig, *, init_gain: float = 5.0) -> None:
        super().__init__()
        shared = _conv_settings(config)
        width = config.n_filters
        layers: list[nn.Module] = [Conv(config.channels, width, config.kernel_size, **shared)]
        # Every stage widens the channels twofold and shortens time by its ratio.
        for ratio in reversed(config.ratios):
            layers += _residual_blocks(config, width)
            layers += [nn.ELU(config.elu_alpha), Conv(width, 2 * width, 2 * ratio, stride=ratio, **shared)]
            width *= 2
        if config.lstm:
            layers.append(SkipLSTM(width, config.lstm))
        layers += [
            nn.ELU(config.elu_alpha),
            Conv(width, config.dimension, config.last_kernel_size, **shared),
        ]
        self.model = nn.ModuleList(layers)
        init_variance_preserving(self.model, first_gain=init_gain)
        self.linear: Conv | None = None
        if config.linear_path:
            self.linear = Conv(
                config.channels, config.dimension, config.hop, stride=config.hop, causal=True, norm="none"
            )
            _zero(self.linear.conv)

    def forward(self, audio: Tensor, state: StreamState | None = None) -> Tensor:
        return _run_paths(self.model, self.linear, audio, state)


class SEANetDecoder(nn.Module):
    """Latent `[B, dimension, T]` -> waveform `[B, C, T * hop]`; the mirror of SEANetEncoder.

    Args:
        config: sizes. The linear path's map of a frame also adds to the one after it.
        trim_right_ratio: see ConvTranspose.
        final_activation: name of a module of `torch.nn` put after the last convolution, or None.
        init_gain: factor on the last convolution's initial weights.
    """

    def __init__(
        self,
        config: NetworkConfig,
        *,
        trim_right_ratio: float = 1.0,
        final_activation: str | None = None,
        init_gain: float = 0.1,
    ) -> None:
        super().__init__()
        shared = _conv_settings(config)
        transposed: dict[str, Any] = {"causal": config.causal, "norm": config.norm}
        width = config.n_filters * 2 ** len(config.ratios)
        layers: list[nn.Module] = [Conv(config.dimension, width, config.kernel_size, **shared)]
        if config.lstm:
            layers.append(SkipLSTM(width, config.lstm))
        # Every stage stretches time by its ratio and halves the channels.
        for ratio in config.ratios:
            layers += [
                nn.ELU(config.elu_alpha),
                ConvTranspose(width, width // 2, ratio, trim_right_ratio=trim_right_ratio, **transposed),
            ]
            width //= 2
            layers += _residual_blocks(config, width)
        layers += [
            nn.ELU(config.elu_alpha),
            Conv(width, config.channels, config.last_kernel_size, **shared),
        ]
        if final_activation is not None:
            layers.append(getattr(nn, final_activation)())
        self.model = nn.ModuleList(layers)
        init_variance_preserving(self.model, last_gain=init_gain)
        self.linear: ConvTranspose | None = None
        if config.linear_path:
            self.linear = ConvTranspose(
                config.dimension, config.channels, config.hop, causal=True, norm="none"
            )
            _zero(self.linear.convtr)

    def forward(self, latent: Tensor, state: StreamState | None = None) -> Tensor:
        return _run_paths(self.model, self.linear, latent, state)


def _conv_settings(config: NetworkConfig) -> dict[str, Any]:
    return {"causal": config.causal, "norm": config.norm, "pad_mode": config.pad_mode}


def _residual_blocks(config: NetworkConfig, width: int) -> list[ResidualBlock]:
    """The residual blocks of a stage."""
    return [
        ResidualBlock(
            width,
            kernel_size=config.residual_kernel_size,
            dilation=config.dilation_base**j,
            compress=config.compress,
            true_skip=config.true_skip,
            elu_alpha=config.elu_alpha,
            **_conv_settings(config),
        )
        for j in range(config.n_residual_layers)
    ]


def _zero(layer: nn.Module) -> None:
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)


def _run_paths(
    network: nn.ModuleList, linear: Conv | ConvTranspose | None, x: Tensor, state: StreamState | None
) -> Tensor:
    """`[B, C_in, N]` through the network and, if there is one, the linear path beside it."""
    x = x.transpose(1, 2)  # [B, N, C_in]: the layers want channels last
    y = run_layers(network, x, state)
    return (y if linear is None else y + linear(x, state)).transpose(1, 2)
