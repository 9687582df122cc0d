"""The contract of text encoders, `TextEncoder`: prompts to states that the language model attends to.

t5.py and embedded.py keep it, loader.py finds them by name. Letters: B prompts, L tokens of the longest, D
width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass
class TextStates:
    """Encoded prompts.

    Attributes:
        states: float32 `[B, L, D]`, zero where the mask is false.
        mask: bool `[B, L]`, true for real tokens; a row without any means "no prompt".
    """

    states: Tensor
    mask: Tensor

    def repeat(self, times: int) -> TextStates:
        """Every row `times` times in a row: `[B * times, L, D]`."""
        return TextStates(self.states.repeat_interleave(times, 0), self.mask.repeat_interleave(times, 0))

    def rows(self, start: int, stop: int) -> TextStates:
        """The rows from `start` to before `stop`, padded as they are."""
        return TextStates(self.states[start:stop], self.mask[start:stop])

    def mean(self) -> Tensor:
        """Mean of the states of each prompt's tokens, `[B, D]`; zeros for no prompt."""
        return self.states.sum(dim=1) / self.mask.sum(dim=1, keepdim=True).clamp(min=1)

    def null(self) -> TextStates:
        """States of the same shape that stand for no prompt at all."""
        return TextStates(torch.zeros_like(self.states), torch.zeros_like(self.mask))


def encode_each(encoder: TextEncoder, prompts: Sequence[str]) -> TextStates:
    """Encode every prompt by itself: its states do not depend, not even in rounding, on those beside it.

    For models whose weights have few digits: they round what comes in, and a last digit can become one that
    is heard. Errors as of the encoder.
    """
    each = [encoder([prompt]) for prompt in prompts]
    longest = max(one.states.shape[1] for one in each)
    pads = [longest - one.states.shape[1] for one in each]
    return TextStates(
        torch.cat([F.pad(one.states, (0, 0, 0, pad)) for one, pad in zip(each, pads, strict=True)]),
        torch.cat([F.pad(one.mask, (0, pad)) for one, pad in zip(each, pads, strict=True)]),
    )


class TextEncoder(nn.Module):
    """What every text encoder offers: `dim` (D) and a call on a list of prompts."""

    dim: int

    def forward(self, prompts: Sequence[str]) -> TextStates:
        """Encode prompts; an empty or whitespace prompt gives a row of zero states whose mask is all false.

        Raises:
            TypeError: a prompt is not a string.
        """
        raise NotImplementedError(f"{type(self).__name__} has to say how it encodes prompts")

    def unread(self, prompt: str) -> str:
        """The end of a prompt that is longer than the encoder reads; empty if it reads all."""
        return ""


def unread_end(prompt: str, offsets: Sequence[tuple[int, int]], most: int) -> str:
    """What is left of a prompt behind its first `most` tokens, which stand at `offsets`, (start, end)."""
    return prompt[offsets[most][0] :].strip() if len(offsets) > most else ""
