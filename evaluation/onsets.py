"""Energy before onsets: whether attacks stay sharp, or are smeared towards what comes before them.

Letters: B sounds, C channels, N samples, T blocks of 2 ms.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..core.audio import check_rate
from .spectral_distance import Float64Metric, check_pair

BLOCK_SECONDS = 0.002
BEFORE, AFTER = 10, 5  # blocks: 20 ms before an onset, 10 ms after it
APART = 25  # blocks on either side in which only the strongest rise is an onset
RISE_DB = 15.0  # least rise of an onset
QUIET_DB = -50.0  # mean power, of full scale, that it reaches at least
MOST_DB = 60.0  # a larger rise counts as this one: nobody hears what is so far below


def block_power(audio: Tensor, sample_rate: int) -> Tensor:
    """Mean power over channels of whole blocks of 2 ms: `[B, C, N]` -> `[B, T]`."""
    size = round(BLOCK_SECONDS * sample_rate)
    blocks = audio[..., : audio.shape[-1] // size * size].unflatten(-1, (-1, size))  # [B, C, T, size]
    return blocks.double().square().mean((1, 3))


def levels_around(power: Tensor) -> tuple[Tensor, Tensor]:
    """Levels in dB of the 20 ms before and the 10 ms after blocks begin: powers `[B, T]` -> both `[B, T']`.

    The first of the T' places is the beginning of block BEFORE, the last that of block T - AFTER.
    """
    before = _decibels(power[:, :-AFTER].unfold(-1, BEFORE, 1).mean(-1))
    after = _decibels(power[:, BEFORE:].unfold(-1, AFTER, 1).mean(-1))
    return before, after


def _decibels(power: Tensor) -> Tensor:
    return 10 * torch.log10(power.clamp_min(1e-20))


def rises(before: Tensor, after: Tensor) -> Tensor:
    """By how many dB sounds rise at places of these levels."""
    return (after - before).clamp_max(MOST_DB)


def find_onsets(before: Tensor, after: Tensor) -> Tensor:
    """Where levels `[B, T']` before and after a place say that a sound begins: bool `[B, T']`."""
    rise = after - before
    strongest = F.max_pool1d(rise[:, None], 2 * APART + 1, stride=1, padding=APART)[:, 0]
    return (rise >= RISE_DB) & (rise == strongest) & (after >= QUIET_DB)


class EnergyBeforeOnsets(Float64Metric):
    """How much louder the 20 ms before an onset are in a reconstruction than in the original, in dB.

    Both relative to the 10 ms after it; the mean over all onsets of the originals. 0 is perfect, more is
    smeared, and NaN says that there was no onset.

    Args:
        sample_rate: Hz of the audio.
        kwargs: of torchmetrics.Metric.
    """

    is_differentiable = False
    higher_is_better = False
    full_state_update = False
    total: Tensor
    count: Tensor

    def __init__(self, sample_rate: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.sample_rate = check_rate(sample_rate)
        self.add_state("total", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    @torch.no_grad()
    def update(self, estimate: Tensor, target: Tensor) -> None:
        """Take in sounds, two `[B, C, N]` (or `[C, N]`, or `[N]`); see `check_pair` for the errors."""
        made, original = (block_power(x, self.sample_rate) for x in check_pair(estimate, target))
        if original.shape[1] < BEFORE + AFTER:
            return
        before, after = levels_around(original)
        onsets = find_onsets(before, after)
        louder = rises(before, after) - rises(*levels_around(made))
        self.total += louder[onsets].sum().to(self.total)
        self.count += onsets.sum()

    def compute(self) -> Tensor:
        """Mean in dB; NaN without an onset."""
        return self.total / self.count
