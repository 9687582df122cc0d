"""Fill a gap in codes: what is in it goes on from what is before it and arrives at what is after it.

A model that was trained for it (`infill_frames` of its configuration, see model/infill.py) is told both sides
and how much is left to fill. Any other model continues what is before several times, and the draft is taken
after which what follows is likeliest: the model itself says how well the other side is met.

Letters: B rows, K codebooks, T frames, W frames of a window around the gap.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from ...core.progress import Progress
from ...core.threads import is_small, one_thread
from ..generation import Cancel
from ..model.infill import PARTS, lay_out_gaps
from ..sampling import variation_seed
from ..settings import GenerationSettings
from ..text_to_codes import TextToCodes
from .regions import window_around

DRAFTS = 8  # continuations of which the one that meets the other side best is kept
HEARD_SECONDS = 5.0  # before the gap that a continuation goes on from
MET_SECONDS = 0.5  # of the other side that a draft is judged by
LEAST_CONTEXT = 0.2  # share of the window that is left for what is around the gap


@dataclass(frozen=True)
class Filling:
    """How gaps are filled.

    Args:
        model: fills them.
        settings: guidance and sampling, none of them None.
        progress: called with the number of frames done and to do.
        cancel: see `AudioGen.generate`.
    """

    model: TextToCodes
    settings: GenerationSettings
    progress: Progress | None = None
    cancel: Cancel | None = None

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

    def _infill(self, window: Tensor, first: int, last: int, texts: list[str], seeds: list[int]) -> Tensor:
        """Codes `[B, K, last - first]` of the gap of a window `[B, K, W]`, by a model trained for gaps."""
        lm, gap = self.model.lm, last - first
        gaps = torch.tensor([[first, last]]).expand(len(window), 2)
        laid = lay_out_gaps(lm.pattern, window, gaps, special=lm.special_token, unknown=-1)
        begin = int(laid.middle[0]) + lm.pattern.first_step_after(0)
        left = laid.left[0].tolist()  # rows have their gap in the same place, and so the same steps
        sampler = self.model.sampler(self.settings, seeds)
        generator = self.model.code_generator(
            texts, self.settings, max_frames=window.shape[-1], cancel=self.cancel, parts=PARTS
        )
        with closing(generator):
            steps = generator.run(
                laid.tokens, begin, sampler, lambda step: max(0, gap - left[step] - 1) / max(1, gap - 1), laid
            )
            for step, _ in steps:
                if self.progress is not None:
                    self.progress(gap - left[step], gap)
        return laid.revert()[:, :, first:last]

    def _continue(self, window: Tensor, first: int, last: int, texts: list[str], seeds: list[int]) -> Tensor:
        """As `_infill`, for any model: the best of several continuations."""
        heard = min(first, round(HEARD_SECONDS * self.model.codec.frame_rate))
        before, after = window[:, :, first - heard : first], window[:, :, last:]
        last -= first - heard
        drafts = DRAFTS if after.shape[-1] else 1
        own = [variation_seed(seed, draft) for seed in seeds for draft in range(drafts)]
        sampler = self.model.sampler(self.settings, own)
        generator = self.model.code_generator(
            texts, self.settings, repeats=drafts, max_frames=last, cancel=self.cancel
        )
        with closing(generator):
            made = generator.generate(
                last, sampler, prompt=before.repeat_interleave(drafts, dim=0), progress=self.progress
            )  # [B * drafts, K, last]
        if drafts > 1:
            scores = likelihood_of_what_follows(self.model, made, after.repeat_interleave(drafts, dim=0))
            best = (
                scores.view(-1, drafts).argmax(dim=1)
                + torch.arange(len(window), device=scores.device) * drafts
            )
            made = made[best]
        return made[:, :, heard:]


def likelihood_of_what_follows(model: TextToCodes, codes: Tensor, after: Tensor) -> Tensor:
    """How likely a model finds codes after others, whatever the prompt: mean log probability in nats, `[B]`.

    Args:
        model: judges.
        codes: int64 `[B, K, T]`.
        after: int64 `[B, K, A]`, what follows them, A at least 1.
    """
    lm, start, whole = model.lm, codes.shape[-1], torch.cat([codes, after], dim=-1)
    states = torch.zeros(len(codes), 1, lm.text_dim, device=codes.device)
    nobody = torch.zeros(states.shape[:2], dtype=torch.bool, device=codes.device)
    with one_thread(is_small(lm, rows=len(codes))):
        output = lm(whole, states, nobody)
        logits, mask = output.logits[:, :, start:], output.mask[:, :, start:]  # [B, K, A, V], [B, K, A]
        losses = F.cross_entropy(logits.flatten(0, 2).float(), after.flatten(), reduction="none")
    losses = losses.view(after.shape).masked_fill(~mask, 0.0)
    return -losses.sum(dim=(1, 2)) / mask.sum(dim=(1, 2)).clamp_min(1)


def longest_gap(model: TextToCodes) -> float:
    """Seconds of the longest gap that a model can fill: its window must hold what is around it, too."""
    return int(model.max_frames * (1 - LEAST_CONTEXT)) / model.codec.frame_rate
