"""Token dropout: in training, some codes that are fed are hidden, so that the text is what is left to go by.

A few seconds of sound tell nearly all about their next frame, so a small model first learns to go on from
what it heard, and hardly looks at its prompt: of 2,700 nats of a clip the prompt saves 4. Where what came
before is hidden, the prompt is what is left to learn from. This is the word dropout of Bowman et al. 2016,
arXiv 1511.06349, with the share of hidden steps drawn anew for each item.
"""

from __future__ import annotations

import torch
from torch import Tensor


def drop_tokens(sequence: Tensor, chance: float, special: int) -> Tensor:
    """Hide steps of some items, drawn from torch's generator.

    Args:
        sequence: int64 `[B, K, S]`, what the model is fed.
        chance: that an item has hidden steps; how many of them is drawn evenly between none and all.
        special: the token that stands for what is hidden.

    Returns:
        Int64 `[B, K, S]`; all codebooks of a hidden step are hidden.
    """
    if not chance:
        return sequence
    batch, _, steps = sequence.shape
    shares = torch.rand(batch, 1) * (torch.rand(batch, 1) < chance)
    hidden = (torch.rand(batch, steps) < shares).to(sequence.device)
    return sequence.masked_fill(hidden[:, None], special)
