"""SEANetCodec: the 16 kHz neural codec that AudioGen speaks (SEANet + residual vector quantization).

Source: EnCodec (Defossez et al. 2022) with AudioGen's 16 kHz settings (Kreuk et al. 2023, section 3.1).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from ...core.checkpoint import CONFIG_FILE
from ...core.hub import DEFAULT_CODEC
from ...core.threads import is_small, one_thread
from ..precision import check_float32, gives_audio, takes_audio
from .convert import PUBLISHED_FILE, load_published
from .seanet_autoencoder import SEANetAutoencoder
from .seanet_config import SEANetConfig
from .streaming import SEANetStreamDecoder, SEANetStreamEncoder


class SEANetCodec(SEANetAutoencoder):
    """Waveform `[B, C, N]` <-> codes `[B, K, T]`, T = ceil(N / hop), hop = product of `ratios`.

    Args:
        settings: as SEANetConfig's.
    """

    config_class = SEANetConfig
    trainer = "soundloom.codecs.seanet.module.SEANetModule"
    LATER_SETTINGS: ClassVar = {
        "look_ahead": 0,
        "griffin_lim_rounds": 0,
        "texture_blocks": 0,
        "texture_width": 384,
    }

    def __init__(self, **settings: Any) -> None:
        super().__init__(SEANetConfig(**settings))

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

    def stream_encoder(
        self, *, discrete: bool | None = None, num_codebooks: int | None = None
    ) -> SEANetStreamEncoder:
        """A stream encoder: push samples, get codes; see SEANetStreamEncoder and FrameCodec."""
        self.wants_codes(discrete, num_codebooks)
        return SEANetStreamEncoder(self, num_codebooks or self.num_codebooks)

    def stream_decoder(self) -> SEANetStreamDecoder:
        """A stream decoder: push codes, get samples; see SEANetStreamDecoder."""
        return SEANetStreamDecoder(self)

    @classmethod
    def from_pretrained(
        cls,
        name: str | os.PathLike[str] = DEFAULT_CODEC,
        *,
        revision: str | None = None,
        local_files_only: bool = False,
    ) -> Self:
        """Load a codec, see PretrainedCodec; also the `compression_state_dict.bin` that AudioCraft published.

        Raises:
            ModelError: unknown name, or a checkpoint of another kind of codec.
            OSError: a file is missing or damaged.
        """
        return super().from_pretrained(name, revision=revision, local_files_only=local_files_only)

    @classmethod
    def load_folder(cls, folder: Path, dtype: torch.dtype = torch.float32) -> Self:
        """Load a folder, ours or the published one."""
        file = folder / PUBLISHED_FILE
        if file.is_file() and not (folder / CONFIG_FILE).is_file():
            return cls.load_state(*load_published(file), file, dtype)
        return super().load_folder(folder, dtype)
