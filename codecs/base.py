"""The contract that every codec keeps."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from fractions import Fraction
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from torch import Tensor

from ..core.audio import AudioError, as_samples, check_axes, check_sound, mix, resample
from .streams import CodecStream, WholeDecoder, WholeEncoder

if TYPE_CHECKING:
    from .container import Compressed


class Codec(ABC):
    """What every codec offers; a mixin beside the nn.Module that does the work.

    Letters: B sounds, C channels, N samples, K codebooks, T frames, S latents per frame of D channels.

    Attributes:
        name: what `load_codec` found it under, for the header of compressed files; "" when that is no name
            that a file may hold.
    """

    name: str = ""

    @property
    @abstractmethod
    def sample_rate(self) -> int:
        """Hz of the audio that goes in and comes out."""

    @property
    @abstractmethod
    def channels(self) -> int:
        """Channels of the audio that goes in and comes out: 1 or 2."""

    @property
    @abstractmethod
    def frame_rate(self) -> float:
        """Frames per second of the coded sequence."""

    @property
    @abstractmethod
    def num_codebooks(self) -> int:
        """K, codes per frame."""

    @property
    @abstractmethod
    def codebook_size(self) -> int:
        """Number of values that one code can take."""

    @property
    def bitrate(self) -> float:
        """Bits per second of plainly packed codes."""
        return self.num_codebooks * math.ceil(math.log2(self.codebook_size)) * self.frame_rate

    @property
    def discrete(self) -> bool:
        """Whether sound can be stored as codes."""
        return True

    @property
    def latent_shape(self) -> tuple[int, int] | None:
        """(S, D) of a frame, if sound can be stored as continuous latents."""
        return None

    @property
    def codebook_choices(self) -> tuple[int, ...]:
        """Numbers of codebooks that sound can be stored with, ascending."""
        return (self.num_codebooks,)

    @property
    def samples_per_frame(self) -> Fraction:
        """Samples that a frame stands for."""
        return Fraction(self.sample_rate / self.frame_rate).limit_denominator(1000)

    @property
    def seek_frames(self) -> int:
        """Decoding can begin at frames that are multiples of this."""
        return 1

    @property
    def warm_up_frames(self) -> int:
        """Frames before a place that a decoder must get to be there what it is within the whole sound."""
        return math.ceil(self.frame_rate)

    @abstractmethod
    def encode(self, audio: Tensor) -> Tensor:
        """Turn audio at `sample_rate`, `[B, C, N]`, into codes, int64 `[B, K, T]`.

        Any type that `as_samples` takes is right, numpy arrays too; `prepare` makes other rates and shapes
        fit. An autocast region around the call changes nothing.
        """

    @abstractmethod
    def decode(self, codes: Tensor, length: int | None = None) -> Tensor:
        """Turn codes, int64 `[B, K, T]`, into audio, float32 `[B, C, N]`; `length` cuts it to N samples."""

    def prepare(self, audio: Tensor | np.ndarray, sample_rate: int) -> Tensor:
        """Make any sound ready for `encode`: resampled to the codec's rate, then mixed to its channels.

        Args:
            audio: `[N]`, `[C, N]` or `[B, C, N]`, any type that `as_samples` takes.
            sample_rate: Hz of `audio`.

        Returns:
            Float32 `[B, channels, M]` with `M = ceil(N * codec.sample_rate / sample_rate)`.

        Raises:
            AudioError: another shape, 0 samples, NaN or infinite samples, samples on the scale of integers,
                or a bad sample rate.
        """
        samples = as_samples(audio)
        shape = list(samples.shape)
        if samples.ndim not in (1, 2, 3):
            raise AudioError(f"audio has shape {shape}; use [N], [C, N] or [B, C, N]")
        while samples.ndim < 3:
            samples = samples.unsqueeze(0)
        check_axes(samples)
        if samples.numel() == 0:
            raise AudioError(f"audio of shape {shape} is empty; give at least 1 sample")
        check_sound(samples)
        return mix(resample(samples, sample_rate, self.sample_rate), self.channels)

    def stream_encoder(self, **options: Any) -> CodecStream:
        """An encoder to push samples into; one that waits for the end, unless the codec has its own.

        A codec with latents and codes takes `discrete`, and one of whose `codebook_choices` some are above
        `num_codebooks` takes `num_codebooks`.
        """
        return WholeEncoder(self, **options)

    def stream_decoder(self, **options: Any) -> CodecStream:
        """A decoder to push codes into; one that waits for the end, unless the codec has its own."""
        return WholeDecoder(self, **options)

    def compress(
        self,
        audio: Tensor | np.ndarray,
        sample_rate: int,
        *,
        bitrate: float | None = None,
        codebooks: int | None = None,
        precision: str | None = None,
        entropy: str = "auto",
        scale: float = 1.0,
        name: str | None = None,
        level: bool = True,
    ) -> Compressed:
        """Encode one sound of any sample rate and channel count into what a `.loom` file holds.

        The sound is resampled to the codec's rate and mixed to its channels; `decompress` gives its rate and
        its exact length back. Channels come back too, but for a sound that has more than the codec: it is
        mixed down and comes back mono.

        Args:
            audio: `[N]`, `[C, N]` or `[1, C, N]`.
            sample_rate: Hz of `audio`.
            bitrate: bits per second; takes the best of what the codec has to offer that is at most this (2 %
                more is let pass), counted before entropy coding and without the file's header.
            codebooks: how many to keep, one of `codebook_choices`.
            precision: "exact" stores codes, "float16" and "int8" continuous latents; None: codes, where the
                codec has them, else float16.
            entropy: "auto" also tries an adaptive coder on codes and keeps what is smaller; "none" does not.
            scale: factor on the sound before it is encoded; `decompress` divides by it.
            name: of the codec in the header, in place of `self.name`.
            level: also decode, and note the gain that gives the decoded sound the level it had; without,
                encoding is several times as fast.

        Returns:
            What `Compressed.save` writes and `Compressed.to_bytes` packs.

        Raises:
            AudioError: no samples, NaN or infinite ones, another shape, or an impossible sample rate.
            ValueError: settings that this codec does not have, or a codec without a name.
        """
        from .compression.frames import compress
        from .compression.storage import choose_storage

        storage = choose_storage(self, bitrate=bitrate, codebooks=codebooks, precision=precision)
        return compress(
            self, audio, sample_rate, storage, entropy=entropy, scale=scale, name=name, level=level
        )

    def decompress(
        self,
        compressed: Compressed | bytes | BinaryIO,
        *,
        start: float | None = None,
        stop: float | None = None,
        any_weights: bool = False,
    ) -> tuple[Tensor, int]:
        """Decode what `compress` made to the sample rate, the channels and the length that the sound had.

        What is beyond full scale, or beyond the sound's own peak where that was beyond it, is limited.

        Args:
            compressed: as `compress` made it, or `Compressed.load` read it; or the content of a .loom file,
                as bytes or a binary stream.
            start, stop: seconds between which the sound is wanted; None: its beginning, its end. Only what is
                needed for that is decoded.
            any_weights: decode also what was made with other weights of this codec; it may be noise.

        Returns:
            Float32 `[C, N]` and the sample rate in Hz.

        Raises:
            ValueError: it was made with another codec or other weights, or no such part.
        """
        from .compression.frames import decompress
        from .container import Compressed

        if not isinstance(compressed, Compressed):
            compressed = Compressed.load(compressed)
        return decompress(self, compressed, start=start, stop=stop, any_weights=any_weights)
