"""Sound <-> frames: what a codec has to say of itself and do, and the checks of what it is given.

`Codec` (base.py) adds what every codec can do with that; a new codec inherits `PretrainedCodec`
(pretrained.py). Letters: B sounds, C channels, N samples, K codebooks, T frames, S latents per frame of D
channels.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from fractions import Fraction
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ..core.errors import ArgumentError
from .streams import CodecStream, WholeDecoder, WholeEncoder


class FrameCodec(nn.Module, ABC):
    """A network that turns sound into frames of codes (or latents) and back.

    Attributes:
        name: what `load_codec` found it under, for the header of compressed files; "" when that is no name
            that a file may hold.
        config: its settings, as config.json holds them; files tell codecs apart by them, see `config_hash`.
        LATER_SETTINGS: settings that the class got after files had been written with it, with the values that
            stand for what was before them; see `config_hash`.
    """

    name: str = ""
    config: Mapping[str, Any]
    LATER_SETTINGS: ClassVar[Mapping[str, Any]] = {}

    # --- what kind of codec this is ---------------------------------------------------------------------

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
    def decodable_codebooks(self) -> tuple[int, int]:
        """Fewest and most codebooks that `decode` takes."""
        return self.codebook_choices[0], self.codebook_choices[-1]

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

    @property
    def device(self) -> torch.device:
        """Where the weights are; the CPU for a codec without."""
        tensor = next(self.parameters(), next(self.buffers(), None))
        return torch.device("cpu") if tensor is None else tensor.device

    @property
    def dtype(self) -> torch.dtype:
        """Type of the weights."""
        return next((p.dtype for p in self.parameters() if p.is_floating_point()), torch.float32)

    # --- sound <-> frames -------------------------------------------------------------------------------

    @abstractmethod
    def encode(self, audio: Tensor) -> Tensor:
        """Turn audio at `sample_rate`, `[B, C, N]`, into codes, int64 `[B, K, T]`.

        Any type that `as_samples` takes is right, numpy arrays too; `prepare` makes other rates and shapes
        fit. An autocast region around the call changes nothing.

        Raises:
            ArgumentError: see `check_audio`.
        """

    @abstractmethod
    def decode(self, codes: Tensor, length: int | None = None) -> Tensor:
        """Turn codes, int64 `[B, K, T]`, into audio, float32 `[B, C, N]`; `length` cuts it to N samples.

        Raises:
            ArgumentError: see `check_codes`.
        """

    def stream_encoder(
        self, *, discrete: bool | None = None, num_codebooks: int | None = None
    ) -> CodecStream:
        """An encoder to push samples into; one that waits for the end, unless the codec has its own.

        Args:
            discrete: give codes rather than latents; None: codes, where the codec has them.
            num_codebooks: K, one of `codebook_choices`; None: `num_codebooks`.

        Raises:
            ArgumentError: what the codec does not have.
        """
        self.wants_codes(discrete, num_codebooks)
        return WholeEncoder(self.encode, num_codebooks or self.num_codebooks)

    def stream_decoder(self) -> CodecStream:
        """A decoder to push codes into; one that waits for the end, unless the codec has its own."""
        return WholeDecoder(self.decode, self.channels)

    # --- checks -----------------------------------------------------------------------------------------

    def wants_codes(self, discrete: bool | None, num_codebooks: int | None = None) -> bool:
        """Whether codes rather than latents are wanted; None: codes, where the codec has them.

        Raises:
            ArgumentError: codes, latents or a number of codebooks that this codec does not have.
        """
        if discrete and not self.discrete:
            raise ArgumentError(f"{type(self).__name__} has no codes; encode with discrete=False")
        if discrete is False and self.latent_shape is None:
            raise ArgumentError(f"{type(self).__name__} has no latents; encode with discrete=True")
        if num_codebooks is not None and num_codebooks not in self.codebook_choices:
            known = ", ".join(map(str, self.codebook_choices))
            raise ArgumentError(f"num_codebooks is {num_codebooks}; this codec has {known}")
        return self.discrete if discrete is None else discrete

    def check_audio(self, audio: Tensor) -> None:
        """Raise ArgumentError unless audio is float `[B, C, N]` with N >= 1 and finite samples."""
        if not isinstance(audio, Tensor) or not audio.is_floating_point():
            kind = audio.dtype if isinstance(audio, Tensor) else type(audio).__name__
            raise ArgumentError(
                f"audio is {kind}; a float tensor is wanted: codec.prepare(audio, sample_rate) converts it"
            )
        if audio.ndim != 3 or audio.shape[1] != self.channels or audio.numel() == 0:
            raise ArgumentError(
                f"audio has shape {list(audio.shape)}; [B, {self.channels}, N] with N >= 1 is wanted: "
                "codec.prepare(audio, sample_rate) resamples and mixes"
            )
        if not bool(torch.isfinite(audio).all()):
            raise ArgumentError(
                "audio has NaN or infinite samples; replace them, for example by torch.nan_to_num"
            )

    def check_codes(self, codes: Tensor) -> None:
        """Raise ArgumentError unless codes are integers `[B, K, T]`, T >= 1, within the codebooks."""
        if not isinstance(codes, Tensor) or codes.dtype == torch.bool or codes.is_complex():
            kind = codes.dtype if isinstance(codes, Tensor) else type(codes).__name__
            latents = "" if self.latent_shape is None else " or of latents (float32)"
            raise ArgumentError(f"the input is {kind}; give a tensor of codes (int64){latents}")
        if not self.discrete:
            raise ArgumentError(f"{type(self).__name__} has no codes, but {codes.dtype} was given")
        least, most = self.decodable_codebooks
        if codes.is_floating_point() or codes.ndim != 3 or not least <= codes.shape[1] <= most:
            rows = str(least) if least == most else f"{least}..{most}"
            raise ArgumentError(
                f"codes have shape {list(codes.shape)} and type {codes.dtype}; integers [B, {rows}, T] are "
                "wanted"
            )
        if codes.numel() == 0:
            raise ArgumentError(f"codes have shape {list(codes.shape)}; give at least 1 sound and 1 frame")
        if codes.min() < 0 or codes.max() >= self.codebook_size:
            raise ArgumentError(
                f"codes span {int(codes.min())} to {int(codes.max())}; allowed: 0 to {self.codebook_size - 1}"
            )
