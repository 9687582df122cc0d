"""Generated sounds: samples with the codes, seeds, prompts and scores that belong to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Self

import torch
from torch import Tensor

from ..core.audio import Audio


@dataclass(eq=False)
class GeneratedAudio(Audio):
    """Generated sounds, one row for each prompt and variation, the variations of a prompt next to each other.

    Attributes:
        codes: int64 `[B, K, T]`, the codec's codes of the samples.
        seeds: one for each row; generating that row's prompt alone with it gives the same row.
        prompts: one for each row.
        scores: what the scorer gave each row, higher is better; None unless there was one.
    """

    codes: Tensor
    seeds: list[int] = field(default_factory=list)
    prompts: list[str] = field(default_factory=list)
    scores: list[float] | None = None

    def take(self, rows: list[int], scores: list[float]) -> Self:
        """Only these rows, with their scores."""
        return replace(
            self,
            samples=self.samples[rows],
            codes=self.codes[rows],
            seeds=[self.seeds[row] for row in rows],
            prompts=[self.prompts[row] for row in rows],
            scores=scores,
        )


def join_chunks(chunks: Sequence[GeneratedAudio]) -> GeneratedAudio:
    """The whole sounds of the chunks, at least one, that `AudioGen.stream` gave."""
    return replace(
        chunks[0],
        samples=torch.cat([chunk.samples for chunk in chunks], dim=-1),
        codes=torch.cat([chunk.codes for chunk in chunks], dim=-1),
    )
