"""What training of AudioLM is given, and what it lowers: the cross entropy of every codebook.

Letters: B items, K codebooks, T frames, V codes a codebook, L text positions, D text width.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypedDict

from torch import Tensor
from torch.nn import functional as F

from ..model.lm import AudioLM
from ..text.encoder import TextStates


class CodeBatch(TypedDict, total=False):
    """What the data module gives: captions, and codes or the sound that the module's codec makes them of.

    Keys:
        prompts: B captions, empty where there is none.
        codes: int64 `[B, K, T]`.
        lengths: int64 `[B]`, frames of each item that are not padding.
        audio: float32 `[B, C, N]`, instead of codes, at the codec's sample rate.
        audio_lengths: int64 `[B]`, samples of each item that are not padding.
        text_states: `[B, L, D]`, captions that were encoded in advance by the (frozen) text encoder.
        text_mask: bool `[B, L]`, true for their real tokens.
    """

    prompts: list[str]
    codes: Tensor
    lengths: Tensor
    audio: Tensor
    audio_lengths: Tensor
    text_states: Tensor
    text_mask: Tensor


def summed_entropies(
    lm: AudioLM, codes: Tensor, lengths: Tensor | None, text: TextStates
) -> tuple[Tensor, Tensor]:
    """Cross entropy in nats of each codebook, summed over the codes that are predicted, and their number.

    Padding takes no part: neither its own codes nor the last ones of late codebooks, which the model
    predicts with padding in sight (see `CodePattern.predicted`), so an item's loss is what it would be
    alone.

    Args:
        lm: the language model.
        codes: int64 `[B, K, T]`.
        lengths: int64 `[B]`, frames of each item that are not padding; None: all.
        text: of the B captions.

    Returns:
        Float32 `[K]` twice.
    """
    output = lm(codes, text.states, text.mask)
    mask = output.mask
    if lengths is not None:
        mask = mask & lm.pattern.predicted(lengths.to(codes.device), codes.shape[-1])
    losses = F.cross_entropy(output.logits.flatten(0, 2).float(), codes.flatten(), reduction="none")
    losses = losses.view(codes.shape).masked_fill(~mask, 0.0)
    return losses.sum(dim=(0, 2)), mask.sum(dim=(0, 2)).float()


def share_weights(weights: Sequence[float], num_codebooks: int) -> list[float]:
    """The codebooks' relative weights as shares of the loss, which sum to 1.

    Raises:
        ValueError: not one weight for each codebook, or weights that are negative, not finite, or all 0.
    """
    shown = f"codebook_weights is {list(weights)}"
    if len(weights) != num_codebooks:
        raise ValueError(f"{shown}; give one number for each of the model's {num_codebooks} codebooks")
    total = sum(weights)
    if not all(0.0 <= weight < math.inf for weight in weights) or not 0.0 < total < math.inf:
        raise ValueError(f"{shown}; every weight must be a number of 0 or more, and one of them above 0")
    return [weight / total for weight in weights]


def mean_entropy(entropies: Tensor, shares: Sequence[float] | None) -> Tensor:
    """The mean of `[K]` under `share_weights`, or the plain one: a scalar."""
    if shares is None:
        return entropies.mean()
    return (entropies * entropies.new_tensor(shares)).sum()  # a dot product would be rounded under autocast
