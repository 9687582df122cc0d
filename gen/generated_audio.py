"""Generated sounds: samples with the codes, seeds, prompts and scores that belong to them."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

import torch
from torch import Tensor

from ..core.audio import Audio
from ..core.loop_points import add_loop_points
from .rerank import Scorer, best_rows


@dataclass(eq=False)
class GeneratedAudio(Audio):
    """Generated sounds, one row for each prompt and variation, the variations of a prompt next to each other.

    Attributes:
        codes: int64 `[B, K, T]`, the codec's codes of the samples.
        seeds: one for each row; generating that row's prompt alone with it gives the same row.
        prompts: one for each row.
        scores: what the scorer gave each row, higher is better; None unless there was one.
        loop: whether the end runs into the beginning; .wav files then say so.
    """

    codes: Tensor
    seeds: list[int] = field(default_factory=list)
    prompts: list[str] = field(default_factory=list)
    scores: list[float] | None = None
    loop: bool = False

    def save(self, path: str | os.PathLike[str], index: int = 0, force: bool = False) -> Path:
        """Write one sound of the batch to a file, see `Audio.save`; a loop's .wav has its loop points."""
        written = super().save(path, index, force)
        if self.loop and written.suffix.lower() == ".wav":
            add_loop_points(written)
        return written

    def ordinary(self) -> Self:
        """The same with tensors that can be used in training, wherever it was made."""
        with torch.inference_mode(False):
            return replace(self, samples=self.samples.clone(), codes=self.codes.clone())

    def best(self, rerank: Scorer, candidates: int) -> Self:
        """The best of every `candidates` rows, as a scorer hears them."""
        return self.take(*best_rows(rerank, self.samples, self.sample_rate, self.prompts, candidates))

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
