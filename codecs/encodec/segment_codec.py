"""EnCodec on one segment: the `encodec` package's network, what it is, and segments to codes and back.

A segment is one second at 48 kHz, the whole sound at 24 kHz. Letters: B sounds, C channels, N samples,
K codebooks, T frames.
"""

from __future__ import annotations

import math
from fractions import Fraction

import torch
from torch import Tensor

from ...core.errors import ArgumentError
from ..pretrained import PretrainedCodec
from .coded_segments import Segment
from .encodec_config import EnCodecConfig
from .network import build_network


class SegmentCodec(PretrainedCodec):
    """The network of an EnCodec, segment by segment; see EnCodec.

    Args:
        settings: sizes.
        bandwidth: kbit/s to encode with, one of the settings' `bandwidths`; None takes 6.0, or the nearest.
    """

    settings: EnCodecConfig

    def __init__(self, settings: EnCodecConfig, bandwidth: float | None) -> None:
        super().__init__(settings)
        self.model = build_network(settings)
        usual = min(settings.bandwidths, key=lambda value: abs(value - 6.0))
        self.bandwidth = usual if bandwidth is None else bandwidth

    # --- what kind of codec this is --------------------------------------------------------------------

    @property
    def sample_rate(self) -> int:
        return int(self.model.sample_rate)

    @property
    def channels(self) -> int:
        return int(self.model.channels)

    @property
    def hop_length(self) -> int:
        """Samples per frame of the network."""
        return int(self.model.encoder.hop_length)

    @property
    def frame_rate(self) -> float:
        """Coded frames per second, those that hold a segment's loudness included."""
        return float(self.sample_rate / self.samples_per_frame)

    @property
    def num_codebooks(self) -> int:
        """K at the present `bandwidth`; `decode` takes any K up to `max_codebooks`."""
        quantizer = self.model.quantizer
        return int(quantizer.get_num_quantizers_for_bandwidth(self.model.frame_rate, self.bandwidth))

    @property
    def max_codebooks(self) -> int:
        """K at the highest bandwidth."""
        return int(self.model.quantizer.n_q)

    @property
    def codebook_choices(self) -> tuple[int, ...]:
        """K of every bandwidth."""
        per_codebook = self.model.quantizer.get_bandwidth_per_quantizer(self.model.frame_rate)
        return tuple(int(rate // per_codebook) for rate in self.bandwidths)

    @property
    def decodable_codebooks(self) -> tuple[int, int]:
        """Any first few; a segment's loudness takes two."""
        return 2 if self.model.normalize else 1, self.max_codebooks

    @property
    def samples_per_frame(self) -> Fraction:
        if self.segment_length is None:
            return Fraction(self.hop_length)
        return Fraction(self.segment_stride, self.frames_per_segment)

    @property
    def seek_frames(self) -> int:
        """Decoding can begin where a segment begins."""
        return 1 if self.segment_length is None else self.frames_per_segment

    @property
    def warm_up_frames(self) -> int:
        """A second at 24 kHz, where the recurrent layers remember; the overlap of two segments at 48 kHz."""
        if self.segment_length is None:
            return math.ceil(self.frame_rate)
        return math.ceil(self.segment_overlap / self.samples_per_frame)

    @property
    def codebook_size(self) -> int:
        return int(self.model.quantizer.bins)

    @property
    def bandwidths(self) -> list[float]:
        """What `bandwidth` may be, in kbit/s."""
        return list(self.model.target_bandwidths)

    @property
    def bandwidth(self) -> float:
        """kbit/s of the network's codes; setting another one changes what `encode` gives from then on."""
        return float(self.model.bandwidth)

    @bandwidth.setter
    def bandwidth(self, value: float) -> None:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or value not in self.bandwidths:
            allowed = ", ".join(f"{rate:g}" for rate in self.bandwidths)
            raise ArgumentError(f"bandwidth is {value!r} kbit/s; this model has {allowed}")
        self.model.set_target_bandwidth(float(value))

    @property
    def segment_length(self) -> int | None:
        """Samples of a segment; None if the model has no segments."""
        return None if self.model.segment is None else int(self.model.segment_length)

    @property
    def segment_stride(self) -> int:
        """Samples from one segment's start to the next one's."""
        return int(self.model.segment_stride)

    @property
    def segment_overlap(self) -> int:
        """Samples that two segments share."""
        assert self.segment_length is not None
        return self.segment_length - self.segment_stride

    @property
    def frames_per_segment(self) -> int:
        """Coded frames of a whole segment, the one with its loudness included."""
        assert self.segment_length is not None
        return -(-self.segment_length // self.hop_length) + int(self.model.normalize)

    # --- a segment <-> codes ----------------------------------------------------------------------------

    @torch.no_grad()
    def encode_segment(self, audio: Tensor, num_codebooks: int | None = None) -> Segment:
        """Encode one segment `[B, C, N]` as it is; num_codebooks: K, if not that of `bandwidth`."""
        audio, scale = audio.to(self.device, torch.float32), None
        if self.model.normalize:
            volume = audio.mean(dim=1, keepdim=True).square().mean(dim=2, keepdim=True).sqrt()  # [B, 1, 1]
            scale = 1e-8 + volume
            audio, scale = audio / scale, scale.view(-1, 1)
        return Segment(self.quantize(self.model.encoder(audio), num_codebooks), scale)

    def quantize(self, latent: Tensor, num_codebooks: int | None = None) -> Tensor:
        """Codes `[B, K, T]` of the network's latent `[B, dimension, T]`."""
        # The package has the codebooks first: [K, B, T] -> [B, K, T]
        return self.model.quantizer.vq.encode(latent, n_q=num_codebooks or self.num_codebooks).transpose(0, 1)

    @torch.no_grad()
    def decode_segment(self, segment: Segment) -> Tensor:
        """Waveform `[B, C, T * hop]` of one segment, at its loudness."""
        scale = None if segment.scale is None else segment.scale.to(self.device)
        return self.model._decode_frame((segment.codes.to(self.device), scale))

    def unpack(self, codes: Tensor) -> Segment:
        """The segment in codes `[B, K, T]`, one of those that `encode` joins; see Segment.unpack."""
        return Segment.unpack(codes, self.codebook_size) if self.model.normalize else Segment(codes, None)
