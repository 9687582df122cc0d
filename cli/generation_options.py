"""What the options of `soundloom generate` ask for: settings, a sound to go on from, what follows."""

from __future__ import annotations

import argparse
import functools
from dataclasses import replace
from typing import TYPE_CHECKING

from ..gen.settings import OPTIONS, GenerationSettings

if TYPE_CHECKING:
    from ..core.audio import Audio
    from ..gen.generated_audio import GeneratedAudio
    from ..gen.pipeline import AudioGen
    from ..gen.watermark import Watermark


def chosen_settings(options: argparse.Namespace) -> GenerationSettings:
    """The settings of the command line, checked, and what is done to sounds afterwards, before a model loads.

    Raises:
        ValueError: a value out of range.
    """
    if options.loudness is not None:
        from ..core.loudness import check_loudness

        check_loudness(options.loudness)
    if options.sample_rate is not None:
        from ..core.samples import check_rate

        check_rate(options.sample_rate)
    if options.watermark is not None:
        loaded_watermark(options.watermark)
    chosen = {name: getattr(options, name) for name in OPTIONS}
    # Whether guidance moves from the model's own value shows when that is known.
    return GenerationSettings(**chosen | ({} if options.guidance_end is None else {"guidance_scale": None}))


def with_guidance_end(
    settings: GenerationSettings, options: argparse.Namespace, model: AudioGen
) -> GenerationSettings:
    """The settings with the guidance that --guidance-end asks for."""
    if options.guidance_end is None:
        return settings
    start = model.guidance_scale if options.guidance_scale is None else options.guidance_scale
    return replace(settings, guidance_scale=(start, options.guidance_end))


def check_finish(options: argparse.Namespace, model: AudioGen) -> None:
    """Raise AudioError, before anything is made, where --sample-rate is too far from the model's rate."""
    if options.sample_rate is not None:
        from ..core.resampler import check_ratio

        check_ratio(model.codec.sample_rate, options.sample_rate)


def finish(audio: GeneratedAudio, options: argparse.Namespace) -> GeneratedAudio:
    """What --sample-rate, --loudness and --watermark ask for, in this order: a limiter ends each."""
    if options.sample_rate is not None and options.sample_rate != audio.sample_rate:
        audio = audio.resampled(options.sample_rate)
    if options.loudness is not None:
        audio = audio.at_loudness(options.loudness)
    if options.watermark is not None:
        audio = audio.watermarked(loaded_watermark(options.watermark))
    return audio


@functools.cache
def loaded_watermark(folder: str) -> Watermark:
    """AudioSeal with the weights in a folder."""
    from ..gen.watermark import Watermark

    return Watermark(folder)


def read_sound(path: str) -> Audio:
    """The sound of a file, as `AudioGen.generate` takes it."""
    from ..core.audio import Audio, read_audio

    samples, sample_rate = read_audio(path)
    return Audio(samples=samples[None], sample_rate=sample_rate)
