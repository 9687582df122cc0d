"""Fill in the middle for codes: what is after a gap and what is before it come first, then what is in it.

A model that predicts one step after the other can then fill a gap and arrive at what follows. The frames of
an example are cut into three parts, which follow each other in the order after, before, middle. Each part is
laid out by the model's own pattern (see pattern.py), so its delays hold within the part, and it begins with
the step of special tokens with which every sequence begins: that step is the separator. What tells such an
example from an ordinary one is a vector that is added to the input of each of its steps: that of its part,
and that of the number of frames of the middle which are still to come. Ordinary examples get none and are
what they were. Source of the order: "Efficient training of language models to fill in the middle" (Bavarian
et al. 2022), its variant suffix, prefix, middle.

    codes of 6 frames, gap 2..4, K = 2, delays 0 and 1; "." is the special token, digits are frames

    codebook 0    . 4 5 .   . 0 1 .   . 2 3 .
    codebook 1    . . 4 5   . . 0 1   . . 2 3
    part          after     before    middle
    left          2 2 2 2   2 2 2 2   2 1 0 0

Letters: B items, K codebooks, T frames, S steps, V codes a codebook.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .pattern import CodePattern

AFTER, BEFORE, MIDDLE = range(3)
PARTS = 3


@dataclass
class InfillSteps:
    """Examples with a gap, laid out over steps.

    Attributes:
        tokens: int64 `[B, K, S]`, the special token where there is no code.
        parts: int64 `[B, S]`, AFTER, BEFORE or MIDDLE.
        left: int64 `[B, S]`, frames of the middle of which no code was met yet.
        places: int64 `[B, K, T]`, the step at which each code sits; 0 for padding, which sits nowhere.
        middle: int64 `[B]`, the step at which the middle begins (its separator).
    """

    tokens: Tensor
    parts: Tensor
    left: Tensor
    places: Tensor
    middle: Tensor

    @property
    def mask(self) -> Tensor:
        """Which codes are laid out: bool `[B, K, T]`."""
        return self.places > 0

    def revert(self, tokens: Tensor | None = None) -> Tensor:
        """Read the codes `[B, K, T]` out of steps `[B, K, S]` (default: `tokens`); 0 where there are none."""
        tokens = self.tokens if tokens is None else tokens
        return tokens.gather(2, self.places).masked_fill(~self.mask, 0)

    def align(self, outputs: Tensor) -> Tensor:
        """Sort a model's outputs by the code they predict: step s predicts what sits at s + 1.

        Args:
            outputs: `[B, S, K, V]`.

        Returns:
            `[B, K, T, V]`, zero where `mask` is false.
        """
        batch, steps, codebooks, _ = outputs.shape
        item = torch.arange(batch, device=outputs.device)[:, None, None]
        codebook = torch.arange(codebooks, device=outputs.device)[:, None]
        rows = (item * steps + (self.places - 1).clamp_min(0)) * codebooks + codebook  # [B, K, T]
        aligned = outputs.flatten(0, 2).index_select(0, rows.flatten()).unflatten(0, rows.shape)
        return aligned.masked_fill_(~self.mask.unsqueeze(-1), 0.0)


def lay_out_gaps(
    pattern: CodePattern,
    codes: Tensor,
    gaps: Tensor,
    lengths: Tensor | None = None,
    *,
    special: int,
    unknown: int | None = None,
) -> InfillSteps:
    """Lay examples out with a gap in each.

    Args:
        pattern: of the model.
        codes: int64 `[B, K, T]`.
        gaps: int64 `[B, 2]`, first frame of each gap and first frame after it. A gap may begin with the
            example or end with it: the part before or after is then its separator alone.
        lengths: int64 `[B]`, frames of each example that are not padding; None: all T.
        special: the token of places that hold no code.
        unknown: the token of the codes within the gaps, for a model that is to find them; None: they are
            those of `codes`, for training.

    Raises:
        ValueError: a gap is empty or reaches beyond its example.
    """
    batch, codebooks, frames = codes.shape
    sizes = [frames] * batch if lengths is None else lengths.tolist()
    offsets = torch.tensor(pattern.offsets)[:, None]
    rows: list[tuple[Tensor, Tensor, Tensor]] = []
    places = torch.zeros(batch, codebooks, frames, dtype=torch.long)
    middle = []
    for row, ((start, stop), size) in enumerate(zip(gaps.tolist(), sizes, strict=True)):
        if not 0 <= start < stop <= size <= frames:
            raise ValueError(
                f"the gap {start}..{stop} does not fit an example of {size} frames; it must hold at least "
                f"one of frames 0..{size}"
            )
        tokens, parts, left, first = [], [], [], 0
        for part, (begin, end) in ((AFTER, (stop, size)), (BEFORE, (0, start)), (MIDDLE, (start, stop))):
            given = codes[row : row + 1, :, begin : begin if part == MIDDLE and unknown is not None else end]
            laid = pattern.build(given, end - begin, special=special, unknown=unknown or 0)[0]
            places[row, :, begin:end] = first + 1 + offsets + pattern.stride * torch.arange(end - begin)
            if part == MIDDLE:
                middle.append(first)
            tokens.append(laid)
            parts.append(torch.full(laid.shape[1:], part))
            left.append(_left(pattern, stop - start, laid.shape[1], begun=part == MIDDLE))
            first += laid.shape[1]
        rows.append((torch.cat(tokens, dim=1), torch.cat(parts), torch.cat(left)))
    steps = max(tokens.shape[1] for tokens, _, _ in rows)
    laid_out = codes.new_full((batch, codebooks, steps), special)
    all_parts, all_left = torch.full((batch, steps), MIDDLE), torch.zeros(batch, steps, dtype=torch.long)
    for row, (row_tokens, row_parts, row_left) in enumerate(rows):
        laid_out[row, :, : row_tokens.shape[1]] = row_tokens
        all_parts[row, : len(row_parts)] = row_parts
        all_left[row, : len(row_left)] = row_left
    device = codes.device
    return InfillSteps(
        laid_out,
        all_parts.to(device),
        all_left.to(device),
        places.to(device),
        torch.tensor(middle).to(device),
    )


def _left(pattern: CodePattern, gap: int, steps: int, *, begun: bool) -> Tensor:
    """Frames of a gap of which no code was met by each step of a part: int64 `[steps]`."""
    if not begun:
        return torch.full((steps,), gap)
    met = (torch.arange(steps) - 1 - min(pattern.offsets)).div(pattern.stride, rounding_mode="floor") + 1
    return gap - met.clamp(0, gap)
