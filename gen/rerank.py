"""Rerank candidates: keep the best of several sounds, for example by what a classifier hears in them.

Letters: B sounds, C channels, N samples.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

# Audio [B, C, N], its sample rate in Hz and B prompts -> B scores, higher is better.
Scorer = Callable[[Tensor, int, list[str]], Tensor]


def best_rows(
    scorer: Scorer, audio: Tensor, sample_rate: int, prompts: Sequence[str], candidates: int
) -> tuple[list[int], list[float]]:
    """The best of every `candidates` rows that follow one another, the first of equals.

    Args:
        scorer: see `Scorer`.
        audio: `[B * candidates, C, N]`.
        sample_rate: in Hz.
        prompts: one for each row.
        candidates: rows to choose from.

    Returns:
        B rows and their scores.

    Raises:
        ValueError: the scorer gives something other than one finite number a row.
    """
    rows = audio.shape[0]
    scores = torch.as_tensor(scorer(audio, sample_rate, list(prompts)))
    if scores.shape != (rows,) or not bool(torch.isfinite(scores).all()):
        raise ValueError(
            f"the scorer gave {scores!r} for {rows} sounds; it must give one finite number each, as [{rows}]"
        )
    groups = scores.detach().float().cpu().view(-1, candidates)  # [B, candidates]
    # argmax gives no promise which of equals it takes.
    best = (groups == groups.amax(dim=1, keepdim=True)).int().argmax(dim=1)
    chosen = (torch.arange(len(groups)) * candidates + best).tolist()
    return chosen, [float(groups.view(-1)[row]) for row in chosen]
