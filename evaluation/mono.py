"""Sounds as classifiers and embedders take them: mono, at their rate; alone or in pairs.

Letters: B sounds, C channels, N and M samples.
"""

from __future__ import annotations

from torch import Tensor

from ..core.audio import AudioError, as_samples, check_finite, mix, resample


def mono(audio: Tensor, sample_rate: int, to_rate: int) -> Tensor:
    """Audio `[B, C, N]` -> mono `[B, M]` at another rate.

    Raises:
        AudioError: other axes, no samples, or NaN or infinite samples.
    """
    audio = as_samples(audio)
    if audio.ndim != 3 or audio.numel() == 0:
        raise AudioError(f"audio has shape {list(audio.shape)}; it must be [B, C, N] with at least 1 sample")
    check_finite(audio)
    return resample(mix(audio, 1), sample_rate, to_rate)[:, 0]


def mono_pairs(
    audio: Tensor, sample_rate: int, reference: Tensor, reference_rate: int | None, to_rate: int
) -> tuple[Tensor, Tensor]:
    """Sounds `[B, C, N]` and the reference of each, `[B, C, M]`, both as mono at `to_rate` Hz.

    Args:
        audio: the sounds.
        sample_rate: Hz of `audio`.
        reference: what they should sound like; length and channels may differ.
        reference_rate: Hz of `reference`; None: that of `audio`.
        to_rate: Hz.

    Raises:
        AudioError: another shape, no samples, NaN or infinite samples.
        ValueError: different numbers of sounds.
    """
    sounds = mono(audio, sample_rate, to_rate)
    references = mono(reference, sample_rate if reference_rate is None else reference_rate, to_rate)
    if len(sounds) != len(references):
        raise ValueError(
            f"{len(sounds)} sounds and {len(references)} references; give each sound its reference"
        )
    return sounds, references
