"""Training to fill gaps: a share of the examples is laid out with a gap (see gen/model/infill.py).

The others are laid out and predicted as they are without this training. Letters: B items, K codebooks,
T frames.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from ..model.infill import lay_out_gaps
from ..model.lm import AudioLM
from ..text.encoder import TextStates
from .objective import summed_entropies


@dataclass(frozen=True)
class Infilling:
    """How much of a training is filling gaps.

    Args:
        share: of the examples that get a gap.
        frames: of the longest gap. It may be as long as the longest example, since a gap may be all there is.

    Raises:
        ValueError: a value is out of range.
    """

    share: float = 0.5
    frames: int = 64

    def __post_init__(self) -> None:
        if not 0.0 <= self.share <= 1.0:
            raise ValueError(f"infill share is {self.share}; allowed are 0 to 1")
        if self.frames < 1:
            raise ValueError(f"infill frames is {self.frames}; it must be 1 or more")

    def draw(self, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Draw which of B items get a gap, and where, from torch's generator.

        Every length of gap is as likely, and so is every place of it.

        Args:
            lengths: int64 `[B]`, frames of each; empty ones get none.

        Returns:
            Bool `[B]`, and int64 `[B, 2]`: first frame of the gap and first frame after it.
        """
        draws = torch.rand(3, len(lengths))
        sizes = lengths.cpu()
        chosen = (draws[0] < self.share) & (sizes > 0)
        longest = sizes.clamp(1, self.frames)
        gap = 1 + (draws[1] * longest).long().clamp_max(longest - 1)
        room = (sizes - gap).clamp_min(0)
        start = (draws[2] * (room + 1)).long().clamp_max(room)
        return chosen, torch.stack([start, start + gap], dim=1)

    def middle_thirds(self, lengths: Tensor) -> Tensor:
        """The gaps of validation, always the same: int64 `[B, 2]`, the middle third of each item."""
        sizes = lengths.cpu()
        gap = (sizes // 3).clamp(1, self.frames)
        start = (sizes - gap) // 2
        return torch.stack([start, start + gap], dim=1)


def infilling_of(lm: AudioLM, share: float) -> Infilling | None:
    """How much of the training of a language model is filling gaps; None for a share of 0.

    Raises:
        ValueError: the model has no weights for gaps.
    """
    if not share:
        return None
    if not lm.infill_frames:
        raise ValueError(
            f"objective.infill_share is {share}, but the model has no weights for gaps; set lm.infill_frames "
            "to the frames of the longest, and train from random weights"
        )
    return Infilling(share, lm.infill_frames)


def gap_entropies(
    lm: AudioLM, codes: Tensor, lengths: Tensor | None, text: TextStates, gaps: Tensor
) -> tuple[Tensor, Tensor]:
    """As `summed_entropies`, with a gap in every item; every code that is no padding is predicted.

    Args:
        lm: the language model.
        codes: int64 `[B, K, T]`.
        lengths: int64 `[B]`, at least 1 each; None: all T.
        text: of the B captions.
        gaps: int64 `[B, 2]`.

    Returns:
        Float32 `[K]` twice: sums in nats, and numbers of codes.
    """
    laid = lay_out_gaps(lm.pattern, codes, gaps, lengths, special=lm.special_token)
    output = lm(codes, text.states, text.mask, gaps=laid)
    losses = F.cross_entropy(output.logits.flatten(0, 2).float(), codes.flatten(), reduction="none")
    losses = losses.view(codes.shape).masked_fill(~output.mask, 0.0)
    return losses.sum(dim=(0, 2)), output.mask.sum(dim=(0, 2)).float()


def middle_entropies(
    lm: AudioLM, codes: Tensor, lengths: Tensor | None, text: TextStates, infilling: Infilling
) -> tuple[Tensor, Tensor]:
    """As `gap_entropies`, with the middle third of every item as its gap; empty items count as one frame."""
    sizes = torch.full((len(codes),), codes.shape[-1]) if lengths is None else lengths.clamp_min(1)
    return gap_entropies(lm, codes, sizes, text, infilling.middle_thirds(sizes))


def entropies_with_gaps(
    lm: AudioLM, codes: Tensor, lengths: Tensor | None, text: TextStates, infilling: Infilling
) -> tuple[Tensor, Tensor]:
    """As `summed_entropies`, with a gap in the share of the items that `infilling` draws."""
    sizes = torch.full((codes.shape[0],), codes.shape[-1]) if lengths is None else lengths
    chosen, gaps = infilling.draw(sizes)
    sums, counts = codes.new_zeros(2, codes.shape[1], dtype=torch.float32).unbind(0)
    for rows, with_gap in ((~chosen, False), (chosen, True)):
        if not rows.any():
            continue
        which = rows.nonzero()[:, 0].to(codes.device)
        part = TextStates(text.states[which], text.mask[which])
        known = None if lengths is None else lengths[which.to(lengths.device)]
        if with_gap:
            found = gap_entropies(lm, codes[which], known, part, gaps[rows])
        else:
            found = summed_entropies(lm, codes[which], known, part)
        sums, counts = sums + found[0], counts + found[1]
    if lm.infill is not None and not chosen.any():
        sums = sums + 0.0 * lm.infill.weight.sum()  # every process is to have a gradient for every weight
    return sums, counts
