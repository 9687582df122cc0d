"""Convolutional frontends: spectrogram of a chunk <-> grid of tokens, with the maps of every resolution.

Letters: B items, P parts (channels of the spectrogram), F bins, M frames, E width of the noise embedding.
All maps are `[B, channels, frequency, time]`, kept in channels-last memory, which CPU and GPU convolutions
like.
Source: Music2Latent (arXiv 2408.06500, section 3.2); sizes from CoDiCodec (arXiv 2509.09836).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

GROUP_EPS = 1e-5


@dataclass
class Maps:
    """What a frontend gives: its `output`, and the map after each convolution block, last block first.

    The reversed order lines the maps up with the blocks of the frontend of the other direction.
    """

    output: Tensor
    skips: list[Tensor]


class ChannelNorm(nn.Module):
    """Group normalisation times a scale: learned, or computed from a noise embedding; never a shift."""

    def __init__(self, channels: int, noise_dim: int | None = None) -> None:
        super().__init__()
        self.groups = min(channels // 4, 32)
        self.weight = nn.Parameter(torch.ones(channels)) if noise_dim is None else None
        self.condition = None if noise_dim is None else zero_init(nn.Linear(noise_dim, channels))

    def forward(self, x: Tensor, noise: Tensor | None = None) -> Tensor:
        if torch.compiler.is_compiling():
            scale, shift = self.affine(x, noise)
            return x * scale + shift
        scale = self._scale(noise)
        if len(scale) == 1:  # one item: its scale is a plain weight, which saves a pass over the map
            return F.group_norm(x, self.groups, scale[0], eps=GROUP_EPS)
        return F.group_norm(x, self.groups, eps=GROUP_EPS) * scale[:, :, None, None]

    def affine(self, x: Tensor, noise: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """What norms `x [B, C, F, M]`: a factor and a shift for every channel, each `[B, C, 1, 1]`.

        They come from statistics of channels, not of groups: compiled code then reads memory in order.
        """
        variance, mean = (  # [B, groups, C / groups] each
            part.unflatten(1, (self.groups, -1)) for part in torch.var_mean(x.float(), (2, 3), correction=0)
        )
        # The variance of a group: that within its channels, and that of their means.
        middle = mean.mean(2, keepdim=True)
        spread = (variance + (mean - middle).square()).mean(2, keepdim=True)
        scale = self._scale(noise).unflatten(1, (self.groups, -1)) * (spread + GROUP_EPS).rsqrt()
        # [B, groups, C / groups] -> [B, C] -> [B, C, 1, 1]
        return tuple(part.to(x.dtype).flatten(1)[:, :, None, None] for part in (scale, -middle * scale))

    def _scale(self, noise: Tensor | None) -> Tensor:
        """The scale after normalising, `[B or 1, C]`."""
        if self.condition is None:
            assert self.weight is not None
            return self.weight[None]
        assert noise is not None
        return 1 + self.condition(noise)


class ConvBlock(nn.Module):
    """Residual block: norm, 3x3 convolution, SiLU, 3x3 convolution (which starts at zero)."""

    def __init__(self, channels: int, noise_dim: int | None = None) -> None:
        super().__init__()
        self.norm = ChannelNorm(channels, noise_dim)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        nn.init.xavier_uniform_(self.conv1.weight)
        nn.init.zeros_(self.conv2.weight)

    def forward(self, x: Tensor, noise: Tensor | None = None, feature: Tensor | None = None) -> Tensor:
        """Run on a map `[B, C, F, M]`, into which `feature`, another, is averaged, keeping the variance."""
        if feature is not None:
            x = (x + feature).mul_(0.5**0.5)
        return x + self.conv2(F.silu(self.conv1(self.norm(x, noise))))


class Downsample(nn.Module):
    """Strided convolution beside a fixed shortcut: mean over the window, channels repeated in place."""

    def __init__(self, channels: int, out_channels: int, stride: tuple[int, int]) -> None:
        super().__init__()
        self.stride, self.repeat = stride, out_channels // channels
        self.norm = ChannelNorm(channels)
        self.conv = nn.Conv2d(channels, out_channels, stride, stride, bias=False)
        nn.init.zeros_(self.conv.weight)

    def forward(self, x: Tensor) -> Tensor:
        # Channels last while repeating, so that the map stays in channels-last memory.
        mean = F.avg_pool2d(x, self.stride).permute(0, 2, 3, 1)  # [B, F', M', C]
        shortcut = mean.repeat_interleave(self.repeat, dim=-1).permute(0, 3, 1, 2)  # [B, C_out, F', M']
        return shortcut + self.conv(self.norm(x))


class Upsample(nn.Module):
    """Transposed convolution beside a fixed shortcut: mean of neighbouring channels, nearest neighbour."""

    def __init__(self, channels: int, out_channels: int, stride: tuple[int, int]) -> None:
        super().__init__()
        self.stride, self.group = stride, channels // out_channels
        self.norm = ChannelNorm(channels)
        self.conv = nn.ConvTranspose2d(channels, out_channels, stride, stride, bias=False)
        nn.init.zeros_(self.conv.weight)

    def forward(self, x: Tensor) -> Tensor:
        # Channels last while averaging, so that the map stays in channels-last memory.
        # [B, F, M, C] -> [B, F, M, C_out, group] -> [B, F, M, C_out] -> [B, C_out, F, M]
        mean = x.permute(0, 2, 3, 1).unflatten(-1, (-1, self.group)).mean(-1).permute(0, 3, 1, 2)
        scale = (float(self.stride[0]), float(self.stride[1]))
        return F.interpolate(mean, scale_factor=scale, mode="nearest") + self.conv(self.norm(x))


class Frontend(nn.Module):
    """What both directions share: a flat list of blocks and resamplings, and the links that join blocks."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList()
        self.gradient_checkpointing = False  # switched by ModelMixin.enable_gradient_checkpointing

    def run(self, x: Tensor, noise: Tensor | None, features: Sequence[Tensor] | None) -> Maps:
        """Run the layers; `features[j]` goes into block j."""
        skips: list[Tensor] = []
        for layer in self.layers:
            if isinstance(layer, ConvBlock):
                x = self._call(layer, x, noise, features[len(skips)] if features else None)
                skips.append(x)
            else:
                x = self._call(layer, x)
        return Maps(output=x, skips=skips[::-1])

    def _call(self, layer: nn.Module, *inputs: Tensor | None) -> Tensor:
        if self.gradient_checkpointing and torch.is_grad_enabled():
            return self._gradient_checkpointing_func(layer, *inputs)  # type: ignore[operator]
        return layer(*inputs)


class DownFrontend(Frontend):
    """Spectrogram of a chunk `[B, P, F, M]` -> map `[B, widths[-1], F', M']`.

    Args:
        parts: P.
        widths: channels of each stage.
        blocks: convolution blocks of each stage.
        strides: between the stages.
        noise_dim: E where the blocks are conditioned on noise, else None.
    """

    def __init__(
        self,
        *,
        parts: int,
        widths: Sequence[int],
        blocks: Sequence[int],
        strides: Sequence[tuple[int, int]],
        noise_dim: int | None = None,
    ) -> None:
        super().__init__()
        self.conv_in = nn.Conv2d(parts, widths[0], 3, padding=1)
        nn.init.xavier_uniform_(self.conv_in.weight)
        nn.init.zeros_(_bias(self.conv_in))
        for stage, width in enumerate(widths):
            self.layers.extend(ConvBlock(width, noise_dim) for _ in range(blocks[stage]))
            if stage < len(strides):
                self.layers.append(Downsample(width, widths[stage + 1], strides[stage]))

    def forward(
        self,
        spectrogram: Tensor,
        gain: Tensor,
        noise: Tensor | None = None,
        features: Sequence[Tensor] | None = None,
    ) -> Maps:
        """Args: `gain [B or 1, 1, F, 1]`, `noise [B, E]`, `features` as a Maps.skips of an UpFrontend."""
        x = spectrogram.contiguous(memory_format=torch.channels_last)
        return self.run(self.conv_in(x) * gain, noise, features)


class UpFrontend(Frontend):
    """Map `[B, widths[-1], F', M']` -> map `[B, widths[0], F, M]`, or with a head spectrogram `[B, P, F, M]`.

    Args:
        parts: P for an output head, None for none; the others as DownFrontend's, from fine to coarse.
    """

    def __init__(
        self,
        *,
        parts: int | None,
        widths: Sequence[int],
        blocks: Sequence[int],
        strides: Sequence[tuple[int, int]],
        noise_dim: int | None = None,
    ) -> None:
        super().__init__()
        for stage in reversed(range(len(widths))):
            self.layers.extend(ConvBlock(widths[stage], noise_dim) for _ in range(blocks[stage]))
            if stage:
                self.layers.append(Upsample(widths[stage], widths[stage - 1], strides[stage - 1]))
        self.norm_out = self.conv_out = None
        if parts is not None:
            self.norm_out = ChannelNorm(widths[0], noise_dim)
            self.conv_out = nn.Conv2d(widths[0], parts, 3, padding=1)
            nn.init.zeros_(self.conv_out.weight)
            nn.init.zeros_(_bias(self.conv_out))

    def forward(
        self,
        x: Tensor,
        gain: Tensor | None = None,
        noise: Tensor | None = None,
        features: Sequence[Tensor] | None = None,
    ) -> Maps:
        """Args: as DownFrontend's; `gain` acts before the head's last convolution."""
        maps = self.run(x.contiguous(memory_format=torch.channels_last), noise, features)
        if self.norm_out is not None and self.conv_out is not None:
            assert gain is not None
            maps.output = self.conv_out(self.norm_out(maps.output, noise) * gain)
        return maps


def zero_init(linear: nn.Linear) -> nn.Linear:
    """A linear layer that starts as zero."""
    nn.init.zeros_(linear.weight)
    if linear.bias is not None:
        nn.init.zeros_(linear.bias)
    return linear


def xavier_init(linear: nn.Linear) -> nn.Linear:
    """A linear layer with Xavier-uniform weight and zero bias."""
    nn.init.xavier_uniform_(linear.weight)
    if linear.bias is not None:
        nn.init.zeros_(linear.bias)
    return linear


def _bias(conv: nn.Conv2d) -> Tensor:
    assert conv.bias is not None
    return conv.bias
