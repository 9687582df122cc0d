"""Fill a gap in codes: what is in it goes on from what is before it and arrives at what is after it.

A model that was trained for it (`infill_frames` of its configuration, see model/infill.py) is told both sides
and how much is left to fill, several times. Any other one continues what is before several times; half of the
drafts do not hear what is before: a model that hears a second of rain often goes on raining, whatever was
asked for. The model itself judges which draft meets the other side best and is most of what was asked for.

Letters: B rows, K codebooks, T frames, W frames of a window around the gap.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ...core.progress import Progress
from ...core.threads import is_small, one_thread
from ..generation import Cancel, CodeGenerator
from ..model.infill import lay_out_gaps
from ..model.lm import AudioLM
from ..settings import GenerationSettings
from ..text.encoder import TextStates
from ..text_to_codes import TextToCodes
from .regions import window_around
from .step_filler import StepFiller, frames_of_parts

DRAFTS = 8  # of which the best is kept
MET_SECONDS = 0.2  # of the other side that a draft is judged by
PROMPT_WEIGHT = 3.0  # how much more the prompt counts than its probability says, as in guidance
REGION, SEAM, CHANGE = range(1, 4)  # what a gap is, for seeds
LEAST_CONTEXT = 0.2  # share of the window that is left for what is around the gap


@dataclass(frozen=True)
class Filling:
    """How gaps are filled.

    Args:
        model: fills them.
        settings: guidance and sampling, none of them None.
        progress: called with the number of frames done and to do.
        cancel: see `AudioGen.generate`.
        change: whether the prompt may ask for something else than what is around the gap.
    """

    model: TextToCodes
    settings: GenerationSettings
    progress: Progress | None = None
    cancel: Cancel | None = None
    change: bool = True

    def fill(self, codes: Tensor, first: int, last: int, texts: list[str], seeds: list[int]) -> None:
        """Replace the codes of frames `first` to `last - 1`, in place.

        Args:
            codes: int64 `[B, K, T]`.
            first, last: the gap, shorter than the model's window.
            texts: what is to be heard in the gap, one a row.
            seeds: one a row; a row depends on its own seed and codes alone.
        """
        model, infills = self.model, bool(self.model.lm.infill_frames)
        after = None if infills else max(1, round(MET_SECONDS * model.codec.frame_rate))
        frames = codes.shape[-1]
        start, stop = window_around(first, last, frames, most=model.max_frames, after=after)
        window = codes[:, :, start:stop]
        fill = self._infill if infills else self._continue
        codes[:, :, first:last] = fill(window, first - start, last - start, texts, seeds)

    def go_on(self, codes: Tensor, first: int, last: int, texts: list[str], seeds: list[int]) -> None:
        """As `fill`, but what is after the gap plays no part, and any model goes on from what is before."""
        start = max(0, last - self.model.max_frames)
        window = codes[:, :, start:last]
        codes[:, :, first:last] = self._continue(window, first - start, last - start, texts, seeds)

    def _infill(self, window: Tensor, first: int, last: int, texts: list[str], seeds: list[int]) -> Tensor:
        """Codes `[B, K, last - first]` of the gap of a window `[B, K, W]`, by a model trained for gaps."""
        lm, gap, count = self.model.lm, last - first, DRAFTS
        drafts = window.repeat_interleave(count, dim=0)  # [B * count, K, W]
        gaps = torch.tensor([[first, last]]).expand(len(drafts), 2)
        laid = lay_out_gaps(lm.pattern, drafts, gaps, special=lm.special_token, unknown=-1)
        begin = int(laid.middle[0]) + lm.pattern.first_step_after(0)
        left = laid.left[0].tolist()  # rows have their gap in the same place, and so the same steps
        own = [part_seed(seed, draft) for seed in seeds for draft in range(count)]
        sampler = self.model.sampler(self.settings, own)
        most = frames_of_parts(lm.pattern, window.shape[-1])
        generator = self.model.code_generator(
            StepFiller, texts, self.settings, repeats=count, max_frames=most, cancel=self.cancel
        )

        def position(step: int) -> float:
            """Where a step is in the gap."""
            return max(0, gap - left[step] - 1) / max(1, gap - 1)

        with closing(generator):
            for step in generator.run(laid.tokens, begin, sampler, position, laid):
                if self.progress is not None:
                    self.progress(gap - left[step], gap)
        drafts[:, :, first:last] = laid.revert()[:, :, first:last]
        asked = [text if self.change else "" for text in texts]
        scores = fit_of_drafts(self.model, drafts, first, last, asked).view(-1, count)
        return drafts[:, :, first:last].unflatten(0, (-1, count))[torch.arange(len(window)), scores.argmax(1)]

    def _continue(self, window: Tensor, first: int, last: int, texts: list[str], seeds: list[int]) -> Tensor:
        """As `_infill`, for any model: the best of several continuations."""
        asked = [self.change and bool(text.strip()) for text in texts]
        # How much of what is before is heard, and by how many drafts; without a prompt it just goes on.
        continuing = DRAFTS // 2 if self.change else DRAFTS
        plan = [(first, continuing)]
        if any(asked) and first:
            plan.append((0, DRAFTS // 2))
        elif not any(asked) and last == window.shape[-1]:
            plan = [(first, 1)]  # there is nothing to choose by
        drafts, gap = 0, last - first
        made: list[Tensor] = []  # [B, count, K, gap] each
        for heard, count in plan:
            own = [part_seed(seed, drafts + draft) for seed in seeds for draft in range(count)]
            begun = window[:, :, first - heard : first].repeat_interleave(count, dim=0)
            generator = self.model.code_generator(
                CodeGenerator, texts, self.settings, repeats=count, max_frames=heard + gap, cancel=self.cancel
            )
            with closing(generator):
                found = generator.generate(
                    heard + gap,
                    self.model.sampler(self.settings, own),
                    prompt=begun,
                    progress=self._part(len(made), len(plan)),
                )
            made.append(found[:, :, heard:].unflatten(0, (len(window), count)))
            drafts += count
        gaps = torch.cat(made, dim=1)  # [B, drafts, K, last - first]
        if drafts == 1:
            return gaps[:, 0]
        whole = window.repeat_interleave(drafts, dim=0)  # [B * drafts, K, W]
        whole[:, :, first:last] = gaps.flatten(0, 1)
        wanted = [text if prompted else "" for text, prompted in zip(texts, asked, strict=True)]
        scores = fit_of_drafts(self.model, whole, first, last, wanted).view(-1, drafts)
        for row in (row for row, prompted in enumerate(asked) if not prompted):
            scores[row, 1 if last == window.shape[-1] else continuing :] = -torch.inf
        best = scores.argmax(dim=1)
        return gaps[torch.arange(len(window), device=best.device), best]

    def _part(self, number: int, parts: int) -> Progress | None:
        """The progress of one of several passes over the gap, in frames of the gap."""
        progress = self.progress
        if progress is None:
            return None
        return lambda done, total: progress((number * total + done) // parts, total)


def part_seed(seed: int, *part: int) -> int:
    """The seed of a part of a row's work, which no row of another number has."""
    return int(np.random.SeedSequence(seed, spawn_key=part).generate_state(1)[0])


def fit_of_drafts(model: TextToCodes, codes: Tensor, first: int, last: int, texts: list[str]) -> Tensor:
    """How well drafts fit what was asked for and what follows them, as a model itself judges: `[B * drafts]`.

    It is the logarithm of p(text | before, draft)^3 p(after | before, draft), up to what all drafts share. By
    Bayes' rule the first is p(draft | before, text) / p(draft | before). What follows may be something else
    than what was asked for, so its part is without the text.

    Args:
        model: judges.
        codes: int64 `[B * drafts, K, W]`, the drafts of a row next to each other.
        first, last: where the drafts are; what is after them is the other side.
        texts: B of them.
    """
    text = model.text_encoder(texts).repeat(len(codes) // len(texts))
    with one_thread(is_small(model.lm, rows=len(codes))):
        asked = log_likelihoods(model.lm, codes, text)[:, first:last]  # [B * drafts, last - first]
        plain = log_likelihoods(model.lm, codes, text.null())[:, first:]
    gap = last - first
    return PROMPT_WEIGHT * (asked - plain[:, :gap]).sum(dim=1) + plain[:, gap:].sum(dim=1)


def log_likelihoods(lm: AudioLM, codes: Tensor, text: TextStates) -> Tensor:
    """Logarithms of the probabilities that a model gives to codes, summed over the codebooks of each frame.

    Args:
        lm: the language model.
        codes: int64 `[B, K, T]`.
        text: of B prompts.

    Returns:
        Float32 `[B, T]`, in nats.
    """
    rows = []
    for row in range(len(codes)):  # one after the other: logits take K V numbers a frame
        output = lm(codes[row : row + 1], text.states[row : row + 1], text.mask[row : row + 1])
        losses = F.cross_entropy(output.logits.flatten(0, 2).float(), codes[row].flatten(), reduction="none")
        rows.append(-losses.view(output.mask.shape).masked_fill(~output.mask, 0.0).sum(dim=1))
    return torch.cat(rows)


def longest_gap(model: TextToCodes) -> float:
    """Seconds of the longest gap that a model can fill: its window must hold what is around it, too."""
    return int(model.max_frames * (1 - LEAST_CONTEXT)) / model.codec.frame_rate
