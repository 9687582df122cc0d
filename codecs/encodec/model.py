"""EnCodec: Meta's codec at 24 kHz (mono, causal) and 48 kHz (stereo), through the `encodec` package.

Source: Defossez et al. 2022, "High Fidelity Neural Audio Compression", arXiv 2210.13438, and
github.com/facebookresearch/encodec (0.1.1). The package's networks do the work; here they keep
Codec's contract.
"""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import ClassVar, Self

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor

from ...core.errors import ArgumentError, ModelError
from ...core.hub import BUNDLED_MODELS, CODEC_FILES, HUB_CODECS, resolve_model
from ...core.safetensors_files import SharedWeights, check_folder
from ..base import Codec
from ..precision import check_float32, gives_audio, takes_audio
from .convert import (
    LICENCE_NOTE,
    PUBLISHED,
    find_checkpoint,
    is_ours,
    load_checkpoint,
    published_name,
    randomize,
)
from .network import build_network
from .segments import Segment
from .streaming import (
    PIECE_SECONDS,
    CausalDecoder,
    CausalEncoder,
    SegmentDecoder,
    SegmentEncoder,
    StreamDecoder,
    StreamEncoder,
)

logger = logging.getLogger(__name__)


class EnCodec(SharedWeights, ModelMixin, ConfigMixin, Codec):
    """Waveform `[B, C, N]` <-> codes `[B, K, T]`; K follows from `bandwidth`, which may be changed any time.

    The 24 kHz model has 75 frames a second. The 48 kHz model cuts the sound into segments of 1 s that overlap
    by 1 %, and divides each by its loudness; a segment is one frame that holds this loudness and then 150
    frames of the network's codes, so codes are complete in themselves, and 151 frames stand for 0.99 s.

    Args:
        sample_rate: Hz.
        channels: 1 or 2.
        bandwidths: kbit/s that may be chosen, ascending; the last one says how many codebooks there are.
        dimension: width of the quantized latent.
        n_filters: channels after the first convolution.
        ratios: strides of the decoder.
        codebook_size: a power of two.
        causal: no look-ahead; needs norm "none".
        norm: "time_group_norm", or "none" (weight normalisation is folded in when weights are loaded).
        normalize: divide each segment by its loudness; needs `segment`.
        segment: seconds, or None for the whole sound at once.
        overlap: of two segments, as a fraction of one.
        random_weights: said of weights that mean nothing, so that no other codec decodes their files.
        bandwidth: kbit/s to encode with, one of `bandwidths`; None takes 6.0, or the nearest.

    Raises:
        ValueError: settings that do not fit together.
        ImportError: the `encodec` package is not installed.
    """

    config_name = "config.json"
    ignore_for_config: ClassVar[list[str]] = ["bandwidth"]

    @register_to_config
    def __init__(
        self,
        *,
        sample_rate: int = 24000,
        channels: int = 1,
        bandwidths: Sequence[float] = (1.5, 3.0, 6.0, 12.0, 24.0),
        dimension: int = 128,
        n_filters: int = 32,
        ratios: Sequence[int] = (8, 5, 4, 2),
        codebook_size: int = 1024,
        causal: bool = True,
        norm: str = "none",
        normalize: bool = False,
        segment: float | None = None,
        overlap: float = 0.01,
        random_weights: bool = False,
        bandwidth: float | None = None,
    ) -> None:
        super().__init__()
        self.model = build_network(
            sample_rate=sample_rate,
            channels=channels,
            bandwidths=bandwidths,
            dimension=dimension,
            n_filters=n_filters,
            ratios=ratios,
            codebook_size=codebook_size,
            causal=causal,
            norm=norm,
            normalize=normalize,
            segment=segment,
            overlap=overlap,
        )
        usual = min(bandwidths, key=lambda value: abs(value - 6.0))
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

    @property
    def _piece(self) -> int:
        """Samples that the causal network takes at once: memory must not grow with a sound's length."""
        return PIECE_SECONDS * self.sample_rate

    # --- sound <-> codes -------------------------------------------------------------------------------

    @takes_audio
    @torch.no_grad()
    def encode(self, audio: Tensor) -> Tensor:
        """Waveform float `[B, C, N]` at `sample_rate` -> codes int64 `[B, K, T]`.

        Raises:
            ValueError: not three axes, the wrong number of channels, no samples, or NaN or infinite samples.
        """
        packed = [segment.pack(self.codebook_size) for segment in self.encode_segments(audio)]
        return torch.cat(packed, dim=-1)

    @gives_audio
    @torch.no_grad()
    def decode(self, codes: Tensor, length: int | None = None) -> Tensor:
        """Codes int64 `[B, k, T]`, 1 <= k <= max_codebooks (2 <= k at 48 kHz) -> waveform `[B, C, N]`.

        Args:
            codes: what `encode` gave, or its first k rows: a lower bandwidth of the same sound.
            length: cut to this many samples.

        Raises:
            ValueError: wrong shape or dtype, or codes outside 0..codebook_size-1.
        """
        self.check_codes(codes)
        if self.segment_length is None and codes.shape[-1] * self.hop_length <= self._piece:
            audio = self.decode_segment(Segment(codes, None))
        else:
            stream = self.stream_decoder()
            audio = torch.cat([stream.push(codes), stream.flush()], dim=-1)
        return audio if length is None else audio[..., :length]

    @torch.no_grad()
    def encode_segments(self, audio: Tensor) -> Iterator[Segment]:
        """The segments of a sound `[B, C, N]`, each with its exact loudness; errors as for `encode`."""
        check_float32(self)
        self.check_audio(audio)
        if self.segment_length is not None:
            # A last segment of samples that the one before covers already (1 % of a second) is left out.
            for start in range(0, max(1, audio.shape[-1] - self.segment_overlap), self.segment_stride):
                yield self.encode_segment(audio[..., start : start + self.segment_length])
        elif audio.shape[-1] <= self._piece:
            yield self.encode_segment(audio)
        else:
            stream = self.stream_encoder()
            yield Segment(torch.cat([stream.push(audio), stream.flush()], dim=-1), None)

    @torch.no_grad()
    def encode_segment(self, audio: Tensor, num_codebooks: int | None = None) -> Segment:
        """Encode one segment `[B, C, N]` as it is; num_codebooks: K, if not that of `bandwidth`."""
        audio, scale = audio.to(self.device, torch.float32), None
        if self.model.normalize:
            volume = audio.mean(dim=1, keepdim=True).square().mean(dim=2, keepdim=True).sqrt()
            scale = 1e-8 + volume
            audio, scale = audio / scale, scale.view(-1, 1)
        return Segment(self.quantize(self.model.encoder(audio), num_codebooks), scale)

    def quantize(self, latent: Tensor, num_codebooks: int | None = None) -> Tensor:
        """Codes `[B, K, T]` of the network's latent `[B, dimension, T]`."""
        return self.model.quantizer.vq.encode(latent, n_q=num_codebooks or self.num_codebooks).transpose(0, 1)

    @torch.no_grad()
    def decode_segment(self, segment: Segment) -> Tensor:
        """Waveform `[B, C, T * hop]` of one segment, at its loudness."""
        scale = None if segment.scale is None else segment.scale.to(self.device)
        return self.model._decode_frame((segment.codes.to(self.device), scale))

    def unpack(self, codes: Tensor) -> Segment:
        """The segment in codes `[B, K, T]`, one of those that `encode` joins; see Segment.unpack."""
        return Segment.unpack(codes, self.codebook_size) if self.model.normalize else Segment(codes, None)

    def check_audio(self, audio: Tensor) -> None:
        """Raise ValueError unless audio can be encoded: `[B, C, N]`, N > 0, finite."""
        if audio.ndim != 3 or audio.shape[1] != self.channels or audio.shape[2] == 0:
            raise ArgumentError(
                f"audio has shape {list(audio.shape)}; expected [batch, {self.channels}, samples > 0]: "
                "use codec.prepare(audio, sample_rate) to resample and mix"
            )
        if not bool(torch.isfinite(audio).all()):
            raise ArgumentError("audio has NaN or infinite samples; replace them, e.g. with torch.nan_to_num")

    def check_codes(self, codes: Tensor) -> None:
        """Raise ValueError unless codes can be decoded."""
        least = 2 if self.model.normalize else 1
        if codes.is_floating_point() or codes.ndim != 3 or not least <= codes.shape[1] <= self.max_codebooks:
            raise ArgumentError(
                f"codes have shape {list(codes.shape)} and dtype {codes.dtype}; expected an integer tensor "
                f"[batch, {least}..{self.max_codebooks}, frames]"
            )
        if codes.shape[2] == 0:
            raise ArgumentError("codes have 0 frames; at least one is needed")
        if codes.min() < 0 or codes.max() >= self.codebook_size:
            raise ArgumentError(
                f"codes span {int(codes.min())}..{int(codes.max())}; allowed: 0..{self.codebook_size - 1}"
            )

    # --- streaming -------------------------------------------------------------------------------------

    def stream_encoder(self, *, num_codebooks: int | None = None) -> StreamEncoder:  # type: ignore[override]
        """Push samples, get codes, the same as `encode` gives; see streaming.py for latencies.

        Args:
            num_codebooks: K, if not that of `bandwidth`.

        Raises:
            ValueError: the model has no such K.
        """
        if num_codebooks is not None and num_codebooks not in self.codebook_choices:
            known = ", ".join(map(str, self.codebook_choices))
            raise ArgumentError(f"num_codebooks is {num_codebooks}; this model has {known}")
        kind = CausalEncoder if self.segment_length is None else SegmentEncoder
        return kind(self, num_codebooks)

    def stream_decoder(self) -> StreamDecoder:  # type: ignore[override]
        """Push codes, get samples, the same as `decode` gives; see streaming.py for latencies."""
        return CausalDecoder(self) if self.segment_length is None else SegmentDecoder(self)

    # --- loading ---------------------------------------------------------------------------------------

    @classmethod
    def from_pretrained(
        cls,
        name: str | os.PathLike[str] = "encodec-24khz",
        *,
        bandwidth: float | None = None,
        random_weights: bool = False,
        revision: str | None = None,
        local_files_only: bool = False,
    ) -> Self:
        """Load weights; float32, in evaluation mode.

        Args:
            name: "encodec-24khz" or "encodec-48khz" (from the hub: facebook/encodec_24khz and
                facebook/encodec_48khz), another hub id, a folder (transformers' format, or ours), or Meta's
                own file `encodec_24khz-d7cc33bc.th` or `encodec_48khz-7e698e3e.th`, or a folder with that
                file.
            bandwidth: kbit/s to encode with; 6.0 when None.
            random_weights: for tests: weights of no use, the same at every call, for one of the two names.
            revision: branch, tag or commit of a hub model.
            local_files_only: take hub models from the local cache only.

        Raises:
            ValueError: unknown name, or weights of another network.
            OSError: a file is missing or damaged, or the hub cannot be reached.
        """
        text = os.fspath(name)
        if random_weights:
            return cls._random(text, bandwidth)
        path = Path(text).expanduser()
        if not path.is_file():
            path = resolve_model(
                text if path.is_dir() else HUB_CODECS.get(text, text),
                BUNDLED_MODELS,
                revision=revision,
                local_files_only=local_files_only,
                allow_patterns=CODEC_FILES,
            )
        if is_ours(path):
            check_folder(path)
            codec = super().from_pretrained(
                path, use_safetensors=True, low_cpu_mem_usage=False, torch_dtype=torch.float32
            )
        else:
            checkpoint = find_checkpoint(path)
            settings, state = load_checkpoint(checkpoint)
            codec = cls(**settings)
            try:
                codec.model.load_state_dict(state)
            except RuntimeError as error:
                raise ModelError(f"{checkpoint} does not fit EnCodec: {error}") from error
            logger.warning(LICENCE_NOTE, text)
            codec.name = published_name(checkpoint)
        assert isinstance(codec, cls)
        if bandwidth is not None:
            codec.bandwidth = bandwidth
        return codec.eval().requires_grad_(False)

    @classmethod
    def _random(cls, name: str, bandwidth: float | None) -> Self:
        short = {hub: short for short, hub in HUB_CODECS.items()}.get(name, name)
        if short not in PUBLISHED:
            raise ValueError(f"random_weights is for {' and '.join(PUBLISHED)}, not for {name!r}")
        with torch.random.fork_rng(devices=[]):  # building a network draws numbers
            codec = cls(**PUBLISHED[short], bandwidth=bandwidth, random_weights=True)
        randomize(codec.model)
        return codec.eval().requires_grad_(False)
