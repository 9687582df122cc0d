"""The configuration of a SEANet codec and of its networks, checked when it is built."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

# Settings that only the decoder has, and only in `decoder_overrides`.
DECODER_ONLY = ("trim_right_ratio", "final_activation")


@dataclass(frozen=True, kw_only=True)
class NetworkConfig:
    """Sizes of an encoder or a decoder.

    Args:
        channels: audio channels, or bins of a spectral transform.
        dimension: width of the latent.
        n_filters: channels after the encoder's first convolution; doubled by every stride.
        ratios: strides of the *decoder*, in its order; the encoder runs through them backwards.
        n_residual_layers: residual blocks per stage.
        kernel_size, residual_kernel_size, last_kernel_size: in samples of their layer.
        dilation_base: dilation of the j-th residual block of a stage is `dilation_base ** j`.
        compress, true_skip: see ResidualBlock.
        lstm: LSTM layers, 0 for none.
        elu_alpha: of every activation.
        causal, norm, pad_mode: see Conv.
        linear_path: add a linear map of each frame, from zero on, which can start from principal components
            (see components.py); causal networks only.

    Raises:
        ValueError: a value that is not possible; the message names it and what is allowed.
    """

    channels: int = 1
    dimension: int = 128
    n_filters: int = 64
    ratios: tuple[int, ...] = (8, 5, 4, 2)
    n_residual_layers: int = 1
    kernel_size: int = 7
    residual_kernel_size: int = 3
    last_kernel_size: int = 7
    dilation_base: int = 2
    compress: int = 2
    true_skip: bool = True
    lstm: int = 2
    elu_alpha: float = 1.0
    causal: bool = False
    norm: str = "weight_norm"
    pad_mode: str = "constant"
    linear_path: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "ratios", tuple(self.ratios))  # JSON and YAML know lists only
        if not self.ratios or min(self.ratios) < 1:
            raise ValueError(f"ratios are {list(self.ratios)}; give strides of at least 1, such as [8, 5]")
        may_be_none = {"lstm", "n_residual_layers", "look_ahead", "griffin_lim_rounds", "kmeans_iterations"}
        may_be_none.add("texture_blocks")
        for one in fields(self):
            value, least = getattr(self, one.name), 0 if one.name in may_be_none else 1
            if one.type == "int" and value < least:
                raise ValueError(f"{one.name} is {value}; it must be at least {least}")
        for name, allowed in (("norm", ("weight_norm", "none")), ("pad_mode", ("constant", "reflect"))):
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} is {getattr(self, name)!r}; allowed: {', '.join(allowed)}")
        if self.linear_path and not self.causal:
            raise ValueError("linear_path is for causal networks, which emit a frame when they get it")

    @property
    def hop(self) -> int:
        """Steps of the network's input per frame of the latent: the product of `ratios`."""
        return math.prod(self.ratios)


@dataclass(frozen=True, kw_only=True)
class SEANetConfig(NetworkConfig):
    """Settings of a codec; both networks have those of NetworkConfig, but for the overrides.

    Args:
        sample_rate: Hz.
        channels: audio channels, 1 or 2.
        num_codebooks: K.
        codebook_size: codes per codebook.
        encoder_overrides: settings of NetworkConfig that are others in the encoder.
        decoder_overrides: settings of NetworkConfig that are others in the decoder, and `trim_right_ratio`
            and `final_activation`, see SEANetDecoder.
        transform: "none" feeds the waveform to the network, "spectral" magnitudes (see spectral.py; mono
            only).
        transform_hop: samples per frame of the transform.
        look_ahead: frames of codes after one that the decoder sees when it makes its sound; with transform
            "spectral" only.
        griffin_lim_rounds: rounds that make the phases of a spectral transform agree; each adds 3 frames of
            the transform to the latency.
        texture_blocks: blocks of the network that adds texture (see texture.py), 0 for none; each adds a
            frame of the transform to the latency. With transform "spectral" only.
        texture_width: its width.
        threshold_dead, kmeans_iterations, codebook_decay: see EuclideanCodebook; used in training only.

    Raises:
        ValueError: a value that is not possible, or settings that do not go together.
    """

    sample_rate: int = 16000
    num_codebooks: int = 4
    codebook_size: int = 2048
    encoder_overrides: Mapping[str, Any] | None = None
    decoder_overrides: Mapping[str, Any] | None = None
    transform: str = "none"
    transform_hop: int = 160
    look_ahead: int = 0
    griffin_lim_rounds: int = 0
    texture_blocks: int = 0
    texture_width: int = 384
    threshold_dead: float = 2.0
    kmeans_iterations: int = 50
    codebook_decay: float = 0.99

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.channels not in (1, 2):
            raise ValueError(f"channels is {self.channels}; allowed: 1, 2")
        if self.transform not in ("none", "spectral"):
            raise ValueError(f"transform is {self.transform!r}; allowed: 'none', 'spectral'")
        if self.transform == "spectral" and self.channels != 1:
            raise ValueError(f"transform 'spectral' is for 1 channel, not {self.channels}; use 'none'")
        if self.linear_path and self.transform != "spectral":
            raise ValueError("linear_path starts from components of magnitudes: set transform='spectral' too")
        if self.transform != "spectral" and (
            self.look_ahead or self.griffin_lim_rounds or self.texture_blocks
        ):
            raise ValueError(
                "look_ahead, griffin_lim_rounds and texture_blocks need transform='spectral'; set it, or all "
                "of them to 0"
            )
        self.encoder_network(), self.decoder_network()  # which check themselves

    def encoder_network(self, channels: int | None = None) -> NetworkConfig:
        """Sizes of the encoder; `channels`: of its input, if not the audio's."""
        return self._network(self.encoder_overrides, channels, "encoder_overrides", ())

    def decoder_network(self, channels: int | None = None) -> NetworkConfig:
        """Sizes of the decoder; `channels`: of its output, if not the audio's."""
        return self._network(self.decoder_overrides, channels, "decoder_overrides", DECODER_ONLY)

    def decoder_ending(self) -> dict[str, Any]:
        """What `decoder_overrides` says of `trim_right_ratio` and `final_activation`."""
        return {key: value for key, value in (self.decoder_overrides or {}).items() if key in DECODER_ONLY}

    def _network(
        self, overrides: Mapping[str, Any] | None, channels: int | None, name: str, also: tuple[str, ...]
    ) -> NetworkConfig:
        known = [one.name for one in fields(NetworkConfig)]
        if unknown := set(overrides or {}) - {*known, *also}:
            raise ValueError(f"{name} has {sorted(unknown)}; known are {', '.join([*known, *also])}")
        shared = NetworkConfig(**{key: getattr(self, key) for key in known})
        shared = replace(shared, channels=self.channels if channels is None else channels)
        return replace(shared, **{key: value for key, value in (overrides or {}).items() if key in known})
