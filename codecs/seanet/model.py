"""SEANetCodec: the 16 kHz neural codec that AudioGen speaks (SEANet + residual vector quantization).

Source: EnCodec (Defossez et al. 2022) with AudioGen's 16 kHz settings (Kreuk et al. 2023, section 3.1).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor
from torch.nn.utils import parametrize

from ...core.errors import ArgumentError, ModelError
from ...core.hub import BUNDLED_MODELS, DEFAULT_CODEC, resolve_model
from ...core.safetensors_files import SharedWeights, check_folder
from ...core.threads import is_small, one_thread
from ..base import Codec
from ..precision import check_float32, gives_audio, takes_audio
from .convert import PUBLISHED_FILE, load_published
from .quantizer import ResidualVectorQuantizer
from .seanet import SEANetDecoder, SEANetEncoder
from .spectral import SpectralTransform
from .streaming import SEANetStreamDecoder, SEANetStreamEncoder, count_history


@dataclass
class CodecOutput:
    """A training pass.

    Attributes:
        audio: `[B, C, N]`.
        codes: `[B, K, T]`, or None if nothing was quantized.
        commitment: the quantizer's loss, scalar.
    """

    audio: Tensor
    codes: Tensor | None
    commitment: Tensor


@dataclass
class DescriptionOutput:
    """A training pass of a codec with a spectral transform, which needs no waveform.

    Attributes:
        losses: scalars by name, see SpectralTransform.losses.
        described: what the decoder says, `[B, 2 bins, T]`.
        magnitude: of the sound, `[B, bins, T]`.
        codes, commitment: as in CodecOutput.
    """

    losses: dict[str, Tensor]
    described: Tensor
    magnitude: Tensor
    codes: Tensor | None
    commitment: Tensor


class SEANetCodec(SharedWeights, ModelMixin, ConfigMixin, Codec):
    """Waveform `[B, C, N]` <-> codes `[B, K, T]`, T = ceil(N / hop), hop = product of `ratios`.

    Args:
        sample_rate: Hz.
        channels: 1 or 2.
        num_codebooks: K.
        codebook_size: codes per codebook.
        dimension, n_filters, ratios, n_residual_layers, kernel_size, residual_kernel_size, last_kernel_size,
            dilation_base, compress, true_skip, lstm, elu_alpha, causal, norm, pad_mode: see SEANetEncoder.
        encoder_overrides: settings that hold for the encoder only.
        decoder_overrides: settings that hold for the decoder only (`trim_right_ratio`, `final_activation`, or
            another value for any of the above).
        transform: "none" feeds the waveform to the network, "spectral" magnitudes (see spectral.py; mono
            only).
        transform_hop: samples per frame of the transform.
        look_ahead: frames of codes after one that the decoder sees when it makes its sound; with transform
            "spectral" only.
        griffin_lim_rounds: rounds that make the phases of a spectral transform agree; each adds 3 frames of
            the transform to the latency.
        linear_path: give both networks a linear path, which can start from principal components (see
            components.py); with transform "spectral" only.
        threshold_dead, kmeans_iterations, codebook_decay: see EuclideanCodebook; used in training only.
    """

    config_name = "config.json"
    LATER_SETTINGS: ClassVar = {"look_ahead": 0, "griffin_lim_rounds": 0}  # see config_hash

    @register_to_config
    def __init__(
        self,
        *,
        sample_rate: int = 16000,
        channels: int = 1,
        num_codebooks: int = 4,
        codebook_size: int = 2048,
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
        encoder_overrides: Mapping[str, Any] | None = None,
        decoder_overrides: Mapping[str, Any] | None = None,
        transform: str = "none",
        transform_hop: int = 160,
        look_ahead: int = 0,
        griffin_lim_rounds: int = 0,
        linear_path: bool = False,
        threshold_dead: float = 2.0,
        kmeans_iterations: int = 50,
        codebook_decay: float = 0.99,
    ) -> None:
        super().__init__()
        network: dict[str, Any] = {
            "dimension": dimension,
            "n_filters": n_filters,
            "ratios": tuple(ratios),
            "n_residual_layers": n_residual_layers,
            "kernel_size": kernel_size,
            "residual_kernel_size": residual_kernel_size,
            "last_kernel_size": last_kernel_size,
            "dilation_base": dilation_base,
            "compress": compress,
            "true_skip": true_skip,
            "lstm": lstm,
            "elu_alpha": elu_alpha,
            "causal": causal,
            "norm": norm,
            "pad_mode": pad_mode,
            "linear_path": linear_path,
        }
        if transform not in ("none", "spectral"):
            raise ValueError(f"transform is {transform!r}; allowed: 'none', 'spectral'")
        if transform == "spectral" and channels != 1:
            raise ValueError(f"transform 'spectral' is for 1 channel, not {channels}; use 'none'")
        if linear_path and transform != "spectral":
            raise ValueError("linear_path starts from components of magnitudes: set transform='spectral' too")
        if transform != "spectral" and (look_ahead or griffin_lim_rounds):
            raise ValueError(
                "look_ahead and griffin_lim_rounds need transform='spectral'; set it, or both to 0"
            )
        self.spectral = (
            SpectralTransform(
                transform_hop, sample_rate, ahead=look_ahead * math.prod(ratios), rounds=griffin_lim_rounds
            )
            if transform == "spectral"
            else None
        )
        seen: dict[str, Any] = {"channels": channels}
        made: dict[str, Any] = {"channels": channels}
        if self.spectral is not None:
            seen = {"channels": self.spectral.bins, "init_gain": 1.0}
            made = {"channels": 2 * self.spectral.bins, "init_gain": 0.3}
        self.encoder = SEANetEncoder(**{**network, **seen, **(encoder_overrides or {})})
        self.decoder = SEANetDecoder(**{**network, **made, **(decoder_overrides or {})})
        self.quantizer = ResidualVectorQuantizer(
            num_codebooks=num_codebooks,
            bins=codebook_size,
            dimension=dimension,
            decay=codebook_decay,
            threshold_dead=threshold_dead,
            kmeans_iterations=kmeans_iterations,
        )

    @property
    def sample_rate(self) -> int:
        return int(self.config["sample_rate"])

    @property
    def channels(self) -> int:
        return int(self.config["channels"])

    @property
    def hop_length(self) -> int:
        """Samples per frame."""
        return math.prod(self.config["ratios"]) * (1 if self.spectral is None else self.spectral.hop)

    @property
    def frame_rate(self) -> float:
        return self.sample_rate / self.hop_length

    @property
    def num_codebooks(self) -> int:
        return int(self.config["num_codebooks"])

    @property
    def codebook_size(self) -> int:
        return int(self.config["codebook_size"])

    @property
    def bitrate(self) -> float:
        """Bits per second of plainly packed codes."""
        return self.num_codebooks * math.ceil(math.log2(self.codebook_size)) * self.frame_rate

    def forward(self, audio: Tensor, *, quantize: bool = True) -> CodecOutput:
        """Training pass: encode, quantize with a straight-through gradient, decode, cut to the length.

        With `quantize=False` the latent goes to the decoder as it is, codes is None and commitment zero.
        """
        latent, codes, commitment = self._quantize(self.encode_latent(audio), quantize)
        return CodecOutput(self.decode_latent(latent)[..., : audio.shape[-1]], codes, commitment)

    def describe(
        self, audio: Tensor, *, quantize: bool = True, num_codebooks: Tensor | None = None
    ) -> DescriptionOutput:
        """Training pass of a codec with a transform: `[B, 1, N]` -> how well the decoder describes it.

        `num_codebooks` `[B]`: how many codebooks each sound keeps, see ResidualVectorQuantizer.
        """
        assert self.spectral is not None
        with torch.autocast(audio.device.type, enabled=False):
            magnitude = self.spectral.magnitude(self._whole(audio.float()))
            features = self.spectral.features(magnitude)
        latent, codes, commitment = self._quantize(self.encoder(features), quantize, num_codebooks)
        described = self._describe(latent).float()
        with torch.autocast(audio.device.type, enabled=False):
            losses = self.spectral.losses(described, magnitude)
        return DescriptionOutput(losses, described, magnitude, codes, commitment)

    def _describe(self, latent: Tensor) -> Tensor:
        """Latent `[B, dimension, T]` -> what the decoder says of its frames, `[B, 2 bins, frames]`."""
        assert self.spectral is not None
        ends = [latent[..., -1:]] * self.config["look_ahead"]
        return self.decoder(torch.cat([latent, *ends], dim=-1))[..., self.spectral.ahead :]

    def _quantize(
        self, latent: Tensor, quantize: bool, num_codebooks: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None, Tensor]:
        if not quantize:
            return latent, None, latent.new_zeros(())
        output = self.quantizer(latent, num_codebooks)
        return output.quantized, output.codes, output.commitment

    def _whole(self, audio: Tensor) -> Tensor:
        """Audio filled up with silence to whole frames of codes."""
        return F.pad(audio, (0, -audio.shape[-1] % self.hop_length))

    def encode_latent(self, audio: Tensor) -> Tensor:
        """Waveform `[B, C, N]` -> latent before quantization `[B, dimension, T]`."""
        if self.spectral is None:
            return self.encoder(audio)
        return self.encoder(self.features(audio).to(self.dtype))

    def features(self, audio: Tensor) -> Tensor:
        """What the encoder of a codec with a transform sees: `[B, 1, N]` -> float32 `[B, bins, frames]`."""
        assert self.spectral is not None
        with torch.autocast(audio.device.type, enabled=False):
            return self.spectral.features(self.spectral.magnitude(self._whole(audio.float())))

    def decode_latent(self, latent: Tensor) -> Tensor:
        """Latent `[B, dimension, T]` -> waveform `[B, C, T * hop]`."""
        if self.spectral is None:
            return self.decoder(latent)
        # The last blocks of samples overlap with frames that were never coded: let the last one stand in.
        described = self.decoder(torch.cat([latent, *[latent[..., -1:]] * self.extra_frames], dim=-1))
        with torch.autocast(latent.device.type, enabled=False):
            return self.spectral.audio(described.float())[..., : latent.shape[-1] * self.hop_length]

    @property
    def extra_frames(self) -> int:
        """Frames of codes beyond the end that the last samples overlap with."""
        if self.spectral is None:
            return 0
        return -(-self.spectral.extra_frames * self.spectral.hop // self.hop_length)

    @takes_audio
    @torch.no_grad()
    def encode(self, audio: Tensor) -> Tensor:
        """Waveform float `[B, C, N]` at `sample_rate` -> codes int64 `[B, K, T]`.

        Raises:
            ValueError: not three axes, the wrong number of channels, no samples, or NaN or infinite samples.
        """
        check_float32(self)
        self.check_audio(audio)
        with one_thread(is_small(self)):
            return self.quantizer.encode(self.encode_latent(audio.to(self.dtype)))

    @gives_audio
    @torch.no_grad()
    def decode(self, codes: Tensor, length: int | None = None) -> Tensor:
        """Codes int64 `[B, k, T]`, 1 <= k <= K -> waveform `[B, C, T * hop]` or, if given, `length` samples.

        Raises:
            ValueError: wrong shape or dtype, or codes outside 0..codebook_size-1.
        """
        self.check_codes(codes)
        with one_thread(is_small(self)):
            audio = self.decode_latent(self.quantizer.decode(codes).to(self.dtype))
        return audio if length is None else audio[..., :length]

    @property
    def codebook_choices(self) -> tuple[int, ...]:
        """Numbers of codebooks that sound can be stored with: any first few of the K decode."""
        return tuple(range(1, self.num_codebooks + 1))

    @property
    def warm_up_frames(self) -> int:
        """Frames before a place that a decoder must get to be there what it is in the middle of the sound."""
        memory = self.config["lstm"] or self.spectral is not None
        return count_history(self.decoder.model) + (math.ceil(self.frame_rate) if memory else 0)

    def stream_encoder(self) -> SEANetStreamEncoder:  # type: ignore[override]
        """A stream encoder: push samples, get codes; see SEANetStreamEncoder."""
        return SEANetStreamEncoder(self)

    def stream_decoder(self) -> SEANetStreamDecoder:  # type: ignore[override]
        """A stream decoder: push codes, get samples; see SEANetStreamDecoder."""
        return SEANetStreamDecoder(self)

    def check_audio(self, audio: Tensor) -> None:
        """Raise ValueError unless audio is `[B, C, N]` with N >= 1 and finite samples."""
        if audio.ndim != 3 or audio.shape[1] != self.channels or audio.shape[2] == 0:
            raise ArgumentError(
                f"audio has shape {tuple(audio.shape)}; expected [batch, {self.channels}, samples > 0]: "
                "use codec.prepare(audio, sample_rate) to resample and mix"
            )
        if not torch.isfinite(audio).all():
            raise ArgumentError("audio has NaN or infinite samples; replace them, e.g. with torch.nan_to_num")

    def check_codes(self, codes: Tensor) -> None:
        """Raise ValueError unless codes are integers `[B, k, T]`, T >= 1, within the codebooks."""
        if codes.is_floating_point() or codes.ndim != 3 or not 1 <= codes.shape[1] <= self.num_codebooks:
            raise ArgumentError(
                f"codes have shape {tuple(codes.shape)} and dtype {codes.dtype}; expected an integer tensor "
                f"[batch, 1..{self.num_codebooks}, frames]"
            )
        if codes.shape[2] == 0:
            raise ArgumentError("codes have 0 frames; at least one is needed")
        if codes.min() < 0 or codes.max() >= self.codebook_size:
            raise ArgumentError(
                f"codes span {int(codes.min())}..{int(codes.max())}; allowed: 0..{self.codebook_size - 1}"
            )

    def fold_weight_norm(self) -> SEANetCodec:
        """Replace weight normalisation, in place, by the plain weights it stands for: faster, same output."""
        for module in self.modules():
            if parametrize.is_parametrized(module, "weight"):
                # Copies of a parametrized module share its class, which loses a property: take one's own.
                kind = type(module)
                module.__class__ = type(kind.__name__, kind.__bases__, dict(kind.__dict__))
                parametrize.remove_parametrizations(module, "weight")
        self.register_to_config(norm="none")
        return self

    @classmethod
    def from_pretrained(
        cls,
        name: str | Path = DEFAULT_CODEC,
        *,
        revision: str | None = None,
        local_files_only: bool = False,
    ) -> SEANetCodec:
        """Load from a folder, a bundled name or a hub id; float32, in evaluation mode.

        The folder holds either our config.json and safetensors or the published `compression_state_dict.bin`.

        Raises:
            ValueError: unknown name, or a checkpoint of another kind of codec.
            OSError: a file is missing or damaged.
        """
        folder = resolve_model(
            str(name), BUNDLED_MODELS, revision=revision, local_files_only=local_files_only
        )
        if (folder / PUBLISHED_FILE).exists() and not (folder / "config.json").exists():
            settings, state = load_published(folder / PUBLISHED_FILE)
            model = cls(**settings)
            try:
                model.load_state_dict(state)
            except RuntimeError as error:
                raise ModelError(
                    f"{folder / PUBLISHED_FILE}: the weights are not those of its configuration "
                    f"({shorten(str(error), 400)})"
                ) from error
            return model.eval()
        check_folder(folder)
        model = super().from_pretrained(
            folder, use_safetensors=True, low_cpu_mem_usage=False, torch_dtype=torch.float32
        )
        assert isinstance(model, SEANetCodec)
        return model.eval()
