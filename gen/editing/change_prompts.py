"""Sounds whose prompt changes on the way: each part goes on from the one before it.

Letters: B rows, K codebooks, T frames, P frames of a sound that is continued.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from numbers import Real

import torch
from torch import Tensor

from ...core.errors import ArgumentError
from ...core.progress import Progress, part_of
from ..continuation import repeat_codes
from ..generation import Batch, Cancel, CodeGenerator, plan_windows
from ..origin import Origin
from ..sampling import row_seeds
from ..settings import ROUNDING, GenerationSettings
from ..text_to_codes import TextToCodes
from .fill_gap import CHANGE, Filling, longest_gap, part_seed

BEGINNING_SECONDS = 1.0  # of a part under a new prompt, of which the best of several drafts is taken
# When a prompt begins, in seconds from the beginning of the sound, and the prompt.
PromptsAt = Sequence[tuple[float, str]]


def plan_prompts(prompts_at: PromptsAt, frames: int, frame_rate: float) -> list[tuple[int, str]]:
    """Check a sequence of prompts; the first frame of each, and its text.

    Args:
        prompts_at: in the order of time, the first at 0.
        frames: T, of the whole sound.
        frame_rate: of the codec in Hz.

    Raises:
        TypeError: something else than pairs of a number and a string.
        ArgumentError: no prompt, a time that is not after the one before, or beyond the end; the message
            names it.
    """
    if not isinstance(prompts_at, Sequence) or isinstance(prompts_at, str):
        raise TypeError(f"prompts_at is {prompts_at!r}; it must be a list of (seconds, prompt)")
    if not prompts_at:
        raise ArgumentError('prompts_at is empty; give at least one (seconds, prompt), such as (0, "rain")')
    planned: list[tuple[int, str]] = []
    duration = frames / frame_rate
    for entry in prompts_at:
        if not isinstance(entry, Sequence) or isinstance(entry, str) or len(entry) != 2:
            raise TypeError(f'prompts_at holds {entry!r}; every entry must be (seconds, prompt), (2, "rain")')
        seconds, text = entry
        if not isinstance(text, str):
            raise TypeError(f"prompts_at holds {entry!r}; its second part must be a prompt, a string")
        if isinstance(seconds, bool) or not isinstance(seconds, Real):
            raise TypeError(f"prompts_at holds {entry!r}; its first part must be a number of seconds")
        if not math.isfinite(seconds) or not 0 <= seconds < duration:
            raise ArgumentError(
                f"the prompt {text!r} begins at {seconds:g} s, but the sound lasts from 0 to {duration:g} s; "
                "move it, or ask for a longer duration"
            )
        planned.append((int(seconds * frame_rate + ROUNDING), text))
    if planned[0][0] > 0:
        raise ArgumentError(
            f"the first prompt, {planned[0][1]!r}, begins at {prompts_at[0][0]:g} s; it must begin at 0"
        )
    for (before, first), (after, second) in itertools.pairwise(planned):
        if after <= before:
            raise ArgumentError(
                f"the prompt {second!r} begins at {after / frame_rate:g} s, not after {first!r} at "
                f"{before / frame_rate:g} s; give them in the order of time, at least {1 / frame_rate:g} s "
                "apart"
            )
    return planned


def sentence(planned: Sequence[tuple[int, str]]) -> str:
    """What a sequence of prompts is called as one prompt."""
    return ", then ".join(text for _, text in planned)


@dataclass(kw_only=True)
class SequenceBatch(Batch):
    """Rows whose prompt changes on the way; what generates them gives the steps."""

    generator: Generator[int]

    def steps(self) -> Iterator[int]:
        return self.generator


def start_sequence(
    model: TextToCodes,
    prompts_at: PromptsAt,
    frames: int,
    settings: GenerationSettings,
    known: Tensor | None,
    progress: Progress | None,
    cancel: Cancel | None,
) -> Batch:
    """Begin a sound whose prompt changes on the way; see `TextToCodes.prepare` and `Prepared.start`.

    Raises:
        ValueError: as of `plan_prompts`, or a setting does not fit the model.
    """
    rate = model.codec.frame_rate
    planned = plan_prompts(prompts_at, frames, rate)
    settings = model.fill_settings(settings)
    settings.negatives(1)
    rows = settings.num_samples * settings.candidates
    seeds = row_seeds(settings.seed, 1, rows)
    sampler = model.sampler(settings, seeds)
    codes = torch.zeros((rows, model.lm.num_codebooks, frames), dtype=torch.long, device=model.device)
    prompt_frames = 0
    if known is not None:
        known = repeat_codes(known.to(model.device), 1, rows, frames, rate)
        prompt_frames = known.shape[-1]
        codes[:, :, :prompt_frames] = known

    filling = Filling(model, settings, cancel=cancel)

    def steps() -> Generator[int]:
        ends = [first for first, _ in planned[1:]] + [frames]
        done = prompt_frames
        for (first, text), end in zip(planned, ends, strict=True):
            if end <= done:  # within what is continued
                continue
            if done == first > 0:  # the prompt changes here
                begun = min(end, done + max(1, round(min(BEGINNING_SECONDS, longest_gap(model)) * rate)))
                own = [part_seed(seed, CHANGE, begun) for seed in seeds]
                filling.go_on(codes, done, begun, [text] * rows, own)
                done = begun
                if progress is not None:
                    progress(done - prompt_frames, frames - prompt_frames)
                yield done
            if done == end:
                continue
            longest, stride = plan_windows(end, rate, model.max_seconds, settings.extend_stride)
            generator = model.code_generator(
                CodeGenerator, [text], settings, repeats=rows, max_frames=longest, cancel=cancel
            )
            with closing(generator):
                part = part_of(progress, done - prompt_frames, frames - prompt_frames)
                yield from generator.extend(codes[:, :, :end], done, stride, sampler, part)
            done = end

    told = {"prompts_at": [[float(seconds), text] for seconds, text in prompts_at]}
    return SequenceBatch(
        prompts=[sentence(planned)] * rows,
        seeds=seeds,
        codes=codes,
        origin=Origin.of(model, settings, seeds, known, told),
        generator=steps(),
    )
