"""Make a loop of a sound that is there: its last part is filled anew so that it leads to its beginning.

Letters: C channels, N samples, K codebooks, T frames.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ...core.audio import as_samples
from ...core.errors import ArgumentError
from ..continuation import AudioSource, read_source
from ..generated_audio import GeneratedAudio
from ..settings import GenerationSettings, check_number
from ..text_to_codes import TextToCodes
from .close_loop import LEAST_FRAMES
from .fill_gap import longest_gap
from .inpaint import inpaint


def loop_sound(
    model: TextToCodes,
    audio: AudioSource,
    seconds: float,
    prompt: str,
    settings: GenerationSettings,
    **how: Any,
) -> GeneratedAudio:
    """A loop of a sound; see `AudioGen.loop`. `how` has the other arguments of `inpaint`."""
    longest, rate = longest_gap(model), model.codec.frame_rate
    check_number("seconds", seconds, 1 / rate, longest, "of the end that are filled anew")
    given, sample_rate = read_source(audio, "audio")
    samples = as_samples(given)
    length = samples.shape[-1]
    if length * rate < LEAST_FRAMES * sample_rate:
        raise ArgumentError(
            f"the sound lasts {length / sample_rate:.4g} s; a loop needs at least {LEAST_FRAMES} frames of "
            f"the codec, {LEAST_FRAMES / rate:g} s"
        )
    seam = min(round(seconds * sample_rate), length // 3)
    # Turn the sound until its seam is in the middle, fill that, and turn it back.
    first = (length - seam) // 2
    turn = first - (length - seam)
    spans = [(first / sample_rate, (first + seam) / sample_rate)]
    turned = samples.roll(turn, dims=-1)
    found = inpaint(model, (turned, sample_rate), spans, prompt, settings, **how)
    origin = found.origin and replace(found.origin, edit={"loop": max(seam / sample_rate, 1 / rate)})
    return replace(
        found,
        samples=found.samples.roll(-turn, dims=-1),
        codes=found.codes.roll(-round(turn * rate / sample_rate), dims=-1),
        loop=True,
        origin=origin,
    )
