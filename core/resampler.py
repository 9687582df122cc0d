"""Resample sounds, whole or block by block with the same result; cut a sound that comes in blocks.

Letters: C channels, N samples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import soxr
import torch
from torch import Tensor

from .samples import AudioError, as_samples, check_rate

# soxr needs minutes and gigabytes for filters between rates that are farther apart.
MAX_RATIO = 256


def resampled_length(length: int, from_rate: int, to_rate: int) -> int:
    """Number of samples that `resample` returns: `ceil(length * to_rate / from_rate)`."""
    return -(-length * to_rate // from_rate)


def check_ratio(from_rate: int, to_rate: int) -> None:
    """Raise `AudioError` for rates that are too far apart to resample."""
    if not 1 / MAX_RATIO <= to_rate / from_rate <= MAX_RATIO:
        raise AudioError(
            f"cannot resample {from_rate} to {to_rate} Hz; rates may differ by a factor of {MAX_RATIO}"
        )


def resample(samples: Tensor | np.ndarray, from_rate: int, to_rate: int) -> Tensor:
    """Change the sample rate along the last axis with soxr's very high quality filter.

    Args:
        samples: `[..., N]`.
        from_rate: Hz, the rate of `samples`.
        to_rate: Hz, the rate wanted.

    Returns:
        Float32 `[..., ceil(N * to_rate / from_rate)]` on the same device, without gradient. Past the end
        counts as silence. Rounding up means that going to another rate and back never loses a sample.
        Equal rates return the samples unchanged.

    Raises:
        AudioError: a rate that is not a whole number of at least 1 Hz, or rates that are too far apart.
    """
    samples = as_samples(samples)
    from_rate, to_rate = check_rate(from_rate, "from_rate"), check_rate(to_rate, "to_rate")
    if from_rate == to_rate:
        return samples
    check_ratio(from_rate, to_rate)
    if samples.ndim == 0:
        raise AudioError("resample wants samples of shape [..., N], not a single number")
    length = resampled_length(samples.shape[-1], from_rate, to_rate)
    rows = (
        samples.detach().cpu().reshape(-1, samples.shape[-1]) if samples.numel() else samples.new_empty(0, 0)
    )
    result = np.zeros((rows.shape[0], length), dtype=np.float32)
    # soxr rounds the length down or to nearest; a little silence at the end lets it reach the rounded-up one.
    silence = np.zeros(from_rate // to_rate + 2, dtype=np.float32)
    for row, source in zip(result, rows.numpy(), strict=True):
        made = soxr.resample(np.concatenate([source, silence]), from_rate, to_rate, quality="VHQ")
        row[:] = made[:length]
    return torch.from_numpy(result).reshape(*samples.shape[:-1], length).to(samples.device)


class Resampler:
    """`resample` for a sound that comes in pieces; the samples are the same.

    Args:
        from_rate, to_rate: Hz.
        channels: C.

    Raises:
        AudioError: rates that are too far apart: soxr would need minutes and gigabytes for its filters.
    """

    def __init__(self, from_rate: int, to_rate: int, channels: int) -> None:
        self.from_rate, self.to_rate = check_rate(from_rate, "from_rate"), check_rate(to_rate, "to_rate")
        self.channels = channels
        self.taken = self._given = 0
        # One each channel, as `resample` does: with several, soxr takes another way through its filters.
        check_ratio(self.from_rate, self.to_rate)
        self._stream = None
        if from_rate != to_rate:
            self._stream = soxr.ResampleStream(from_rate, to_rate, channels, dtype="float32", quality="VHQ")

    def push(self, samples: Tensor) -> Tensor:
        """Take samples `[C, N]`, return those that are ready `[C, M]`, M >= 0."""
        return self._run(samples, last=False)

    def flush(self) -> Tensor:
        """The rest: all that was given together is then as long as `resampled_length` says."""
        # soxr rounds the length down or to nearest; silence at the end lets it reach the rounded-up one.
        silence = torch.zeros(self.channels, self.from_rate // self.to_rate + 2)
        wanted = resampled_length(self.taken, self.from_rate, self.to_rate) - self._given
        return self._run(silence, last=True)[:, :wanted] if self._stream else silence[:, :0]

    def _run(self, samples: Tensor, *, last: bool) -> Tensor:
        self.taken += samples.shape[-1]
        if self._stream is None:
            self._given += samples.shape[-1]
            return samples
        made = self._stream.resample_chunk(samples.detach().cpu().T.contiguous().numpy(), last=last)
        self._given += len(made)
        return torch.from_numpy(made).T


def cut(
    blocks: Iterable[Tensor], first: int, last: Callable[[], int | None], slack: int = 0
) -> Iterator[Tensor]:
    """Pass samples `first` to `last() - 1` of a sound on, and stop as soon as there are that many.

    Args:
        blocks: `[..., N]`, the sound from its sample 0 on.
        first: samples that are left out.
        last: the end, or None while it is unknown; asked again for each block and once after the last one.
        slack: samples that are held back while the end is unknown.

    Yields:
        Pieces of at least one sample.
    """
    place, held = 0, None
    for block in blocks:
        held = block if held is None else torch.cat([held, block], dim=-1)
        end = last()
        ready = held.shape[-1] - slack if end is None else min(held.shape[-1], end - place)
        if ready > 0:
            if place + ready > first:
                yield held[..., max(first - place, 0) : ready]
            held, place = held[..., ready:], place + ready
        if end is not None and place >= end:
            return
    end = last()
    if held is not None and (end is None or end > place):
        rest = held if end is None else held[..., : end - place]
        if rest.shape[-1] > max(first - place, 0):
            yield rest[..., max(first - place, 0) :]
