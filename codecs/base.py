"""The contract that every codec keeps."""

from __future__ import annotations

import os
from typing import BinaryIO, ClassVar, Self

import numpy as np
from torch import Tensor

from ..core.audio import AudioError, as_samples, check_axes, check_rate, check_sound, mix, resample
from .container import Compressed
from .frame_codec import FrameCodec
from .frames.decode_frames import decode_sound
from .frames.encode_frames import encode_sound
from .frames.storage import choose_storage


class Codec(FrameCodec):
    """What every codec offers: sound of any kind <-> frames <-> the fewest bytes, from a model by name.

    What a codec has to say and do itself is abstract, in `FrameCodec`; how it is saved and loaded is in
    `PretrainedCodec`, which a new codec inherits. Letters as there.

    Attributes:
        trainer: full name of the LightningModule that trains it, such as a recipe's class_path has; None: it
            is not trained here.
    """

    trainer: ClassVar[str | None] = None

    # --- a model by name --------------------------------------------------------------------------------

    @classmethod
    def from_pretrained(
        cls,
        name: str | os.PathLike[str],
        *,
        revision: str | None = None,
        local_files_only: bool = False,
    ) -> Self:
        """Load from a folder, a bundled name or a hub id, in evaluation mode; see `load_codec`.

        Raises:
            ModelError: unknown name, or a model of another kind.
            OSError: a file is missing or damaged.
        """
        raise TypeError(f"{cls.__name__} is not loaded by name; a codec that is inherits PretrainedCodec")

    def save_pretrained(self, save_directory: str | os.PathLike[str]) -> None:
        """Write config.json and safetensors for `from_pretrained` and `load_codec`."""
        raise TypeError(f"{type(self).__name__} is not saved; a codec that is inherits PretrainedCodec")

    # --- any sound <-> the fewest bytes -----------------------------------------------------------------

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
        return mix(resample(samples, check_rate(sample_rate), self.sample_rate), self.channels)

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
        storage = choose_storage(self, bitrate=bitrate, codebooks=codebooks, precision=precision)
        return encode_sound(
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
        if not isinstance(compressed, Compressed):
            compressed = Compressed.load(compressed)
        return decode_sound(self, compressed, start=start, stop=stop, any_weights=any_weights)
