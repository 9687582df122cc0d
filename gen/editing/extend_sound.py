"""Make a sound that is there longer: what is there stays as it is, what is added goes on from it.

Letters: B rows, C channels, N samples, K codebooks, T frames, P frames of the sound.
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from ...core.progress import Progress
from ..continuation import AudioSource
from ..decoding import decode_codes
from ..generated_audio import GeneratedAudio
from ..generation import Cancel
from ..origin import Origin
from ..rerank import Scorer
from ..settings import GenerationSettings, count_frames
from ..text_to_codes import TextToCodes
from .replace_region import MATCH_SECONDS, replace_region
from .sound_to_edit import read_sound_to_edit


def extend_sound(
    model: TextToCodes,
    audio: AudioSource,
    seconds: float,
    prompt: str,
    settings: GenerationSettings,
    *,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
    rerank: Scorer | None = None,
) -> GeneratedAudio:
    """A longer sound; see `AudioGen.extend`."""
    codec = model.codec
    rate = codec.frame_rate
    count_frames("seconds", seconds, rate)
    sound = read_sound_to_edit(audio, model)
    length, sample_rate = sound.samples.shape[-1], sound.sample_rate
    longer = length + round(seconds * sample_rate)
    # The frame that the sound ends within is no whole one: it is made anew.
    known = sound.codes[:, :, : max(1, math.floor(length * rate / sample_rate))]  # [1, K, P]
    frames = max(known.shape[-1] + 1, math.ceil(longer * rate / sample_rate))
    batch = model.prepare([prompt], frames, settings, known).start(progress, cancel)
    batch.run()
    codes = batch.codes  # [B, K, T]
    # What a decoder has to hear before the end, and what levels are compared with beside it.
    around = max(codec.warm_up_frames, math.ceil(MATCH_SECONDS * rate)) + 1
    start = max(0, known.shape[-1] - around)
    begin = round(start * sample_rate / rate)
    padded = replace(sound, samples=torch.nn.functional.pad(sound.samples, (0, longer - length)))
    made = padded.in_its_form(decode_codes(codec, codes[:, :, start:]), codec, begin)  # [B, C, n]
    samples = padded.samples.repeat(len(codes), 1, 1)  # [B, C, N]
    stop = begin + made.shape[-1]
    # The end is no join: beyond it there is nothing to fade to.
    replace_region(
        samples[..., begin:stop], made, length - begin, stop - begin, sample_rate, free=(0, stop - begin)
    )
    edit = {"extend": float(seconds)}
    origin = Origin.of(model, model.fill_settings(settings), batch.seeds, sound.codes, edit)
    found = GeneratedAudio(samples, sample_rate, codes.clone(), batch.seeds, batch.prompts, origin=origin)
    if rerank is None:
        return found

    def score(heard: Tensor, heard_rate: int, prompts: list[str]) -> Tensor:
        return torch.as_tensor(rerank(heard[..., length:], heard_rate, prompts))

    return found.best(score, settings.candidates)
