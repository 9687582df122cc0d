"""The sound that is edited: read, checked and encoded; and what a codec makes of codes, in its form.

Letters: B rows, C channels, N samples, K codebooks, T frames.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ...codecs.base import Codec
from ...core.audio import AudioError, as_samples, resample
from ..continuation import AudioSource, read_source
from ..decoding import DECODE_SECONDS
from ..text_to_codes import TextToCodes

SILENT_DB = -80.0  # a sound whose loudest sample is below is nothing to go by


@dataclass(frozen=True)
class SoundToEdit:
    """One sound.

    Attributes:
        samples: float32 `[C, N]` as they were given, on the CPU.
        sample_rate: Hz.
        codes: int64 `[1, K, T]`, those that the language model knows.
    """

    samples: Tensor
    sample_rate: int
    codes: Tensor

    def in_its_form(self, decoded: Tensor, codec: Codec, start: int = 0) -> Tensor:
        """What the codec made, at this sound's rate and with its channels: `[B, C', N']` -> `[B, C, n]`.

        Args:
            decoded: of the codec.
            codec: which made it.
            start: the sample at which it begins; what is beyond the sound's end is left out.
        """
        channels, length = self.samples.shape
        found = resample(decoded, codec.sample_rate, self.sample_rate)[..., : length - start]
        if found.shape[-2] == channels:
            return found
        return found.mean(dim=-2, keepdim=True).repeat(1, channels, 1)


def read_sound_to_edit(source: AudioSource, model: TextToCodes) -> SoundToEdit:
    """Read a sound, check that it can be edited, and encode it.

    Raises:
        TypeError: it is no sound.
        AudioError: several sounds, one that is silent, or one that is shorter than a frame of the codec.
        OSError: a file cannot be read.
    """
    codec = model.codec
    given, sample_rate = read_source(source, "audio")
    samples = as_samples(given).detach().cpu()
    if samples.ndim == 3 and samples.shape[0] != 1:
        raise AudioError(
            f"audio holds {samples.shape[0]} sounds; one is edited at a time: give audio[i : i + 1]"
        )
    prepared = codec.prepare(samples, sample_rate)  # [1, C', N'], every other check included
    samples = samples.reshape(-1, samples.shape[-1])  # [C, N]
    seconds, frame = samples.shape[-1] / sample_rate, 1.0 / codec.frame_rate
    if seconds < frame:
        raise AudioError(
            f"the sound lasts {seconds:.4g} s, less than one frame of the codec ({frame:.4g} s); give a "
            "longer one, or fill it up with silence"
        )
    peak = float(samples.abs().max())
    if peak < 10 ** (SILENT_DB / 20):
        level = f"{20 * math.log10(peak):.0f} dB" if peak else "0"
        raise AudioError(
            f"the sound is silent: its loudest sample is {level}, and at least {SILENT_DB:.0f} dB is wanted; "
            "raise its level, or make a sound with generate"
        )
    codes = encode_in_pieces(codec, prepared.to(model.device))[:, : model.lm.num_codebooks]
    return SoundToEdit(samples, int(sample_rate), codes)


def encode_in_pieces(codec: Codec, audio: Tensor) -> Tensor:
    """Codes `[B, K, T]` of audio `[B, C, N]`; a long one runs through a stream encoder, in bounded memory."""
    piece = int(DECODE_SECONDS * codec.sample_rate)
    if audio.shape[-1] <= piece:
        return codec.encode(audio)
    encoder = codec.stream_encoder()
    parts = [encoder.push(part) for part in audio.split(piece, dim=-1)]
    return torch.cat([*parts, encoder.flush()], dim=-1)
