"""The networks of a SEANet codec and the passes through them: what is trained, and what the codec is made of.

Source: EnCodec (Defossez et al. 2022) with AudioGen's 16 kHz settings (Kreuk et al. 2023, section 3.1).
Letters: B sounds, C channels, N samples, K codebooks, T frames of codes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils import parametrize

from ..pretrained import PretrainedCodec
from .layers import count_history
from .quantizer import ResidualVectorQuantizer
from .seanet import SEANetDecoder, SEANetEncoder
from .seanet_config import SEANetConfig
from .spectral import SpectralTransform
from .texture import TextureNetwork


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


class SEANetAutoencoder(PretrainedCodec):
    """Encoder, quantizer and decoder, perhaps with a spectral transform around them; see SEANetCodec.

    Args:
        settings: sizes.
    """

    settings: SEANetConfig

    def __init__(self, settings: SEANetConfig) -> None:
        super().__init__(settings)
        self.spectral: SpectralTransform | None = None
        if settings.transform == "spectral":
            texture = None
            if settings.texture_blocks:
                texture = TextureNetwork(
                    2 * settings.transform_hop,
                    settings.dimension,
                    width=settings.texture_width,
                    blocks=settings.texture_blocks,
                )
            self.spectral = SpectralTransform(
                settings.transform_hop,
                settings.sample_rate,
                ahead=settings.look_ahead * settings.hop,
                rounds=settings.griffin_lim_rounds,
                texture=texture,
            )
            bins = self.spectral.bins
            self.encoder = SEANetEncoder(settings.encoder_network(bins), init_gain=1.0)
            self.decoder = SEANetDecoder(
                settings.decoder_network(2 * bins), init_gain=0.3, **settings.decoder_ending()
            )
        else:
            self.encoder = SEANetEncoder(settings.encoder_network())
            self.decoder = SEANetDecoder(settings.decoder_network(), **settings.decoder_ending())
        self.quantizer = ResidualVectorQuantizer(
            num_codebooks=settings.num_codebooks,
            bins=settings.codebook_size,
            dimension=settings.dimension,
            decay=settings.codebook_decay,
            threshold_dead=settings.threshold_dead,
            kmeans_iterations=settings.kmeans_iterations,
        )

    def complete(self, state: dict[str, Tensor]) -> None:
        """Add the moving averages of codebooks, which only training uses: what they are at rest."""
        for name in [key for key in state if key.endswith("._codebook.embed")]:
            size = state.get(name.removesuffix("embed") + "cluster_size")
            if size is not None:
                state.setdefault(name + "_avg", state[name] * size[:, None])

    # --- what kind of codec this is ---------------------------------------------------------------------

    @property
    def sample_rate(self) -> int:
        return self.settings.sample_rate

    @property
    def channels(self) -> int:
        return self.settings.channels

    @property
    def hop_length(self) -> int:
        """Samples per frame."""
        return self.settings.hop * (1 if self.spectral is None else self.spectral.hop)

    @property
    def frame_rate(self) -> float:
        return self.sample_rate / self.hop_length

    @property
    def num_codebooks(self) -> int:
        return self.settings.num_codebooks

    @property
    def codebook_size(self) -> int:
        return self.settings.codebook_size

    @property
    def codebook_choices(self) -> tuple[int, ...]:
        """Numbers of codebooks that sound can be stored with: any first few of the K decode."""
        return tuple(range(1, self.num_codebooks + 1))

    @property
    def warm_up_frames(self) -> int:
        """Frames before a place that a decoder must get to be there what it is in the middle of the sound."""
        memory = self.settings.lstm or self.spectral is not None
        return count_history(self.decoder.model) + (math.ceil(self.frame_rate) if memory else 0)

    # --- passes through the networks --------------------------------------------------------------------

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
        ends = [latent[..., -1:]] * self.settings.look_ahead
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

    def decode_latent(self, latent: Tensor, *, texture: bool = True) -> Tensor:
        """Latent `[B, dimension, T]` -> waveform `[B, C, T * hop]`; perhaps without the texture network."""
        if self.spectral is None:
            return self.decoder(latent)
        # The last blocks of samples overlap with frames that were never coded: let the last one stand in.
        ended = torch.cat([latent, *[latent[..., -1:]] * self.extra_frames], dim=-1)
        described = self.decoder(ended)
        with torch.autocast(latent.device.type, enabled=False):
            audio = self.spectral.audio(described.float(), ended.float(), texture=texture)
            return audio[..., : latent.shape[-1] * self.hop_length]

    @property
    def extra_frames(self) -> int:
        """Frames of codes beyond the end that the last samples overlap with."""
        if self.spectral is None:
            return 0
        return -(-self.spectral.extra_frames * self.spectral.hop // self.hop_length)

    def fold_weight_norm(self) -> Self:
        """Replace weight normalisation, in place, by the plain weights it stands for: faster, same output."""
        for module in self.modules():
            if parametrize.is_parametrized(module, "weight"):
                # Copies of a parametrized module share its class, which loses a property: take one's own.
                kind = type(module)
                module.__class__ = type(kind.__name__, kind.__bases__, dict(kind.__dict__))
                parametrize.remove_parametrizations(module, "weight")
        self.settings = replace(self.settings, norm="none")
        self.register_to_config(norm="none")
        return self
