"""EnCodec: Meta's codec at 24 kHz (mono, causal) and 48 kHz (stereo), through the `encodec` package.

Source: Defossez et al. 2022, "High Fidelity Neural Audio Compression", arXiv 2210.13438, and
github.com/facebookresearch/encodec (0.1.1). The package's networks do the work; here they keep
Codec's contract.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from ..precision import check_float32, gives_audio, takes_audio
from ..registry import codec_folder, hub_codecs
from .coded_segments import Segment
from .convert import (
    LICENCE_NOTE,
    PUBLISHED,
    find_checkpoint,
    is_ours,
    load_checkpoint,
    published_name,
    randomize,
)
from .encodec_config import EnCodecConfig
from .segment_codec import SegmentCodec
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


class EnCodec(SegmentCodec):
    """Waveform `[B, C, N]` <-> codes `[B, K, T]`; K follows from `bandwidth`, which may be changed any time.

    The 24 kHz model has 75 frames a second. The 48 kHz model cuts the sound into segments of 1 s that overlap
    by 1 %, and divides each by its loudness; a segment is one frame that holds this loudness and then 150
    frames of the network's codes, so codes are complete in themselves, and 151 frames stand for 0.99 s.

    Args:
        bandwidth: kbit/s to encode with, one of `bandwidths`; None takes 6.0, or the nearest.
        settings: as EnCodecConfig's.

    Raises:
        ValueError: settings that do not fit together.
        ImportError: the `encodec` package is not installed.
    """

    config_class = EnCodecConfig

    def __init__(self, *, bandwidth: float | None = None, **settings: Any) -> None:
        super().__init__(EnCodecConfig(**settings), bandwidth)

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
        if (
            self.segment_length is None
            and codes.shape[-1] * self.hop_length <= PIECE_SECONDS * self.sample_rate
        ):
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
        elif audio.shape[-1] <= PIECE_SECONDS * self.sample_rate:
            yield self.encode_segment(audio)
        else:
            stream = self.stream_encoder()
            yield Segment(torch.cat([stream.push(audio), stream.flush()], dim=-1), None)

    # --- streaming -------------------------------------------------------------------------------------

    def stream_encoder(
        self, *, discrete: bool | None = None, num_codebooks: int | None = None
    ) -> StreamEncoder:
        """Push samples, get codes, the same as `encode` gives; see streaming.py for latencies.

        Args:
            discrete: it has codes only.
            num_codebooks: K, if not that of `bandwidth`.

        Raises:
            ArgumentError: the model has no such K, or no latents.
        """
        self.wants_codes(discrete, num_codebooks)
        kind = CausalEncoder if self.segment_length is None else SegmentEncoder
        return kind(self, num_codebooks)

    def stream_decoder(self) -> StreamDecoder:
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
            path = codec_folder(text, revision=revision, local_files_only=local_files_only)
        if is_ours(path):
            codec = cls.load_folder(path)
        else:
            checkpoint = find_checkpoint(path)
            settings, state = load_checkpoint(checkpoint)
            state = {f"model.{name}": tensor for name, tensor in state.items()}
            codec = cls.load_state(settings, state, checkpoint)
            logger.warning(LICENCE_NOTE, text)
            codec.name = published_name(checkpoint)
        if bandwidth is not None:
            codec.bandwidth = bandwidth
        return codec.requires_grad_(False)

    @classmethod
    def _random(cls, name: str, bandwidth: float | None) -> Self:
        short = {hub_id: short for short, hub_id in hub_codecs().items()}.get(name, name)
        if short not in PUBLISHED:
            raise ValueError(f"random_weights is for {' and '.join(PUBLISHED)}, not for {name!r}")
        with torch.random.fork_rng(devices=[]):  # building a network draws numbers
            codec = cls(**PUBLISHED[short], bandwidth=bandwidth, random_weights=True)
        randomize(codec.model)
        return codec.eval().requires_grad_(False)
