"""Step-wise decoding where known codes are anywhere, and where there is a gap to fill.

Letters: B items, K codebooks, V codes a codebook, S steps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from ...core.threads import one_thread
from ..generation import CodeGenerator, GenerationCancelled, Sample
from ..model.infill import PARTS, InfillSteps
from ..model.pattern import CodePattern


class StepFiller(CodeGenerator):
    """A CodeGenerator that finds the unknown tokens of any sequence of steps."""

    def run(
        self,
        sequence: Tensor,
        first: int,
        sample: Sample,
        position: Callable[[int], float],
        gaps: InfillSteps | None = None,
    ) -> Iterator[int]:
        """Find the unknown tokens of a sequence, in place, one step after the other.

        Args:
            sequence: int64 `[B, K, S]`, -1 where a token is to be found; all others stay.
            first: the first step at which there may be one.
            sample: turns logits `[B, K, V]` into tokens `[B, K]`.
            position: where a step is among the new ones of the sound, 0 the first, 1 the last.
            gaps: what the steps are told of a gap, laid out as `sequence` is; None: there is no gap.

        Yields:
            After every step its number.
        """
        fixed = sequence >= 0
        self.state.reset()
        for step in range(first, sequence.shape[-1]):
            if self.cancel is not None and self.cancel():
                raise GenerationCancelled("generation was cancelled before the sound was complete")
            # The known steps at once, then the newest step alone: logits [B, K, V] of this one.
            fed = slice(0, first) if step == first else slice(step - 1, step)
            told = None if gaps is None else (gaps.parts[:, fed], gaps.left[:, fed])
            with one_thread(self.small):
                logits = self.lm.step(sequence[:, :, fed], self.state, told)
            tokens = sample(self.guide(logits, position(step)))
            sequence[:, :, step] = torch.where(fixed[:, :, step], sequence[:, :, step], tokens)
            yield step


def frames_of_parts(pattern: CodePattern, frames: int) -> int:
    """Frames of a window whose steps are as many as those of `frames` frames in three parts, at the least."""
    return frames + -(-(PARTS - 1) * pattern.num_steps(1) // pattern.stride)
