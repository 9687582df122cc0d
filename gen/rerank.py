"""Choosing the best of several candidates, for example by what a sound classifier hears in them.

Letters: B sounds, C channels, N samples.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from .pipeline import GeneratedAudio


# Audio [B, C, N], its sample rate in Hz and B prompts -> B scores, higher is better.
Scorer = Callable[[Tensor, int, list[str]], Tensor]


def keep_best(found: GeneratedAudio, candidates: int, scorer: Scorer) -> GeneratedAudio:
    """Keep the best of every `candidates` rows that follow one another, the first of equals.

    Args:
        found: B * candidates rows.
        candidates: rows to choose from.
        scorer: see `Scorer`.

    Returns:
        B rows with their scores.

    Raises:
        ValueError: the scorer gives something other than one finite number a row.
    """
    rows = found.samples.shape[0]
    scores = torch.as_tensor(scorer(found.samples, found.sample_rate, list(found.prompts)))
    if scores.shape != (rows,) or not bool(torch.isfinite(scores).all()):
        raise ValueError(
            f"the scorer gave {scores!r} for {rows} sounds; it must give one finite number each, as [{rows}]"
        )
    groups = scores.detach().float().cpu().view(-1, candidates)
    # argmax gives no promise which of equals it takes.
    best = (groups == groups.amax(dim=1, keepdim=True)).int().argmax(dim=1)
    chosen = (torch.arange(len(groups)) * candidates + best).tolist()
    return replace(
        found,
        samples=found.samples[chosen],
        codes=found.codes[chosen],
        seeds=[found.seeds[row] for row in chosen],
        prompts=[found.prompts[row] for row in chosen],
        scores=[float(groups.view(-1)[row]) for row in chosen],
    )
