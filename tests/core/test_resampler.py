"""Resampling and cutting piece by piece."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from soundloom.core.audio import AudioError, resample
from soundloom.core.resampler import Resampler, cut


@given(
    rates=st.sampled_from([(44100, 16000), (16000, 44100), (48000, 44100), (8000, 8000), (7001, 16000)]),
    channels=st.integers(1, 3),
    length=st.integers(1, 3000),
    size=st.integers(1, 1500),
)
@settings(max_examples=40, deadline=None)
def test_resampling_in_pieces(rates: tuple[int, int], channels: int, length: int, size: int) -> None:
    samples = torch.rand(channels, length, generator=torch.Generator().manual_seed(length)) - 0.5
    resampler = Resampler(*rates, channels)
    pieces = [resampler.push(piece) for piece in samples.split(size, dim=-1)]
    assert torch.equal(torch.cat([*pieces, resampler.flush()], dim=-1), resample(samples, *rates))


@pytest.mark.parametrize("rates", [(1, 48000), (48000, 1), (1_000_000, 3000)])
def test_rates_that_would_take_minutes(rates: tuple[int, int]) -> None:
    with pytest.raises(AudioError, match=f"{rates[0]} to {rates[1]} Hz; rates may differ by a factor of 256"):
        Resampler(*rates, 1)


@given(
    length=st.integers(0, 40),
    size=st.integers(1, 20),
    first=st.integers(0, 45),
    end=st.none() | st.integers(0, 45),
    late=st.booleans(),
    slack=st.integers(0, 12),
)
@settings(max_examples=200, deadline=None)
def test_cut(length: int, size: int, first: int, end: int | None, late: bool, slack: int) -> None:
    whole = torch.arange(length)
    known = not late

    def blocks() -> object:
        nonlocal known
        for block in whole.split(size):
            if len(block):
                yield block
        known = True

    # An end that is only known after the last block must lie within the slack.
    if late and end is not None:
        end = max(end, length - slack)
    found = list(cut(blocks(), first, lambda: end if known else None, slack))
    assert all(len(block) for block in found)
    assert torch.equal(torch.cat([whole[:0], *found]), whole[first:end])


def test_cut_asks_for_no_more_than_it_needs() -> None:
    taken = []

    def blocks() -> object:
        for number in range(100):
            taken.append(number)
            yield torch.full((10,), number)

    assert len(torch.cat(list(cut(blocks(), 5, lambda: 25)))) == 20
    assert taken == [0, 1, 2]
