"""Inpaint: fill regions of a sound anew, so that they go on from what is before and arrive at what is after.

Letters: B rows, C channels, N samples, K codebooks, T frames.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ...core.errors import ArgumentError
from ...core.progress import Progress, part_of
from ..continuation import AudioSource
from ..decoding import decode_codes
from ..generated_audio import GeneratedAudio
from ..generation import Cancel
from ..origin import Origin
from ..rerank import Scorer
from ..sampling import row_seeds
from ..settings import GenerationSettings
from ..text.check_prompts import Prompts, list_prompts
from ..text_to_codes import TextToCodes
from .fill_gap import REGION, Filling, longest_gap, part_seed
from .regions import Region, Span, plan_regions
from .replace_region import MATCH_SECONDS, replace_region
from .sound_to_edit import SoundToEdit, read_sound_to_edit


def inpaint(
    model: TextToCodes,
    audio: AudioSource,
    regions: Sequence[Span],
    prompt: Prompts,
    settings: GenerationSettings,
    *,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
    rerank: Scorer | None = None,
) -> GeneratedAudio:
    """Fill regions of a sound; see `AudioGen.inpaint`."""
    sound = read_sound_to_edit(audio, model)
    planned = plan_regions(
        regions,
        length=sound.samples.shape[-1],
        sample_rate=sound.sample_rate,
        frame_rate=model.codec.frame_rate,
        longest=longest_gap(model),
    )
    texts = _texts(prompt, len(planned), regions)
    settings = model.fill_settings(settings)
    rows = settings.num_samples * settings.candidates
    seeds = row_seeds(settings.seed, 1, rows)
    # Codes of the regions, one after the other: each hears those before it.
    codes = sound.codes.repeat(rows, 1, 1)  # [B, K, T]
    total = sum(region.last - region.first for region in planned)
    done = 0
    for number, (region, text) in enumerate(zip(planned, texts, strict=True)):
        filling = Filling(model, settings, part_of(progress, done, total), cancel)
        own = [part_seed(seed, REGION, number) for seed in seeds]
        filling.fill(codes, region.first, region.last, [text] * rows, own)
        done += region.last - region.first
    samples = with_regions(sound, codes, planned, model)
    result = GeneratedAudio(
        samples,
        sound.sample_rate,
        codes,
        seeds,
        [", then ".join(dict.fromkeys(texts))] * rows,
        origin=Origin.of(model, settings, seeds, sound.codes, {"inpaint": _told(regions, prompt)}),
    )
    if rerank is None:
        return result

    def score(heard: Tensor, sample_rate: int, prompts: list[str]) -> Tensor:
        scores = [
            torch.as_tensor(
                rerank(heard[..., region.start : region.stop], sample_rate, [text] * len(prompts))
            )
            for region, text in zip(planned, texts, strict=True)
        ]
        return torch.stack(scores).sum(dim=0)

    return result.best(score, settings.candidates)


def _texts(prompt: Prompts, count: int, regions: Sequence[Span]) -> list[str]:
    """The prompt of each region in the order of time."""
    texts = list_prompts(prompt, "prompt")
    if len(texts) == 1:
        return texts * count
    if len(texts) != count:
        raise ArgumentError(
            f"there are {len(texts)} prompts for {count} regions; give one for all, or one for each"
        )
    return [text for _, text in sorted(zip([span[0] or 0.0 for span in regions], texts, strict=True))]


def _told(regions: Sequence[Span], prompt: Prompts) -> list[list[float | str | None]]:
    """Start and end of each region, and its prompt where each has its own, as an `Origin` has them."""
    spans = [[None if edge is None else float(edge) for edge in span] for span in regions]
    texts = list_prompts(prompt, "prompt")
    if len(texts) == 1:
        return [[*span] for span in spans]
    return [[*span, text] for span, text in zip(spans, texts, strict=True)]


def with_regions(sound: SoundToEdit, codes: Tensor, regions: list[Region], model: TextToCodes) -> Tensor:
    """The sound `[B, C, N]` with its regions as their codes sound; the rest is as it was."""
    codec, length = model.codec, sound.samples.shape[-1]
    samples = sound.samples.repeat(len(codes), 1, 1)
    # What a decoder has to hear before a region, and what levels are compared with beside it.
    around = max(codec.warm_up_frames, math.ceil(MATCH_SECONDS * codec.frame_rate)) + 1
    edges = [0, *(edge for region in regions for edge in (region.start, region.stop)), length]
    for number, region in enumerate(regions):
        start, stop = max(0, region.first - around), min(codes.shape[-1], region.last + around)
        begin = round(start * sound.sample_rate / codec.frame_rate)
        made = sound.in_its_form(decode_codes(codec, codes[:, :, start:stop]), codec, begin)  # [B, C, n]
        part = samples[..., begin : begin + made.shape[-1]]
        free = edges[2 * number] - begin, edges[2 * number + 3] - begin
        replace_region(part, made, region.start - begin, region.stop - begin, sound.sample_rate, free=free)
    return samples
