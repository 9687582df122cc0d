"""Regions: which samples and frames they are, and what is refused in which words."""

from __future__ import annotations

import math
from typing import Any

import pytest

from soundloom.core.errors import ArgumentError
from soundloom.gen.editing.regions import Region, plan_regions, window_around


def plan(
    *spans: Any, length: int = 80000, sample_rate: int = 16000, frame_rate: float = 50.0
) -> list[Region]:
    return plan_regions(spans, length=length, sample_rate=sample_rate, frame_rate=frame_rate, longest=4.0)


def test_samples_and_every_frame_that_reaches_into_a_region() -> None:
    assert plan((1.2, 2.0)) == [Region(19200, 32000, 60, 100)]
    assert plan((1.205, 2.001)) == [Region(19280, 32016, 60, 101)]
    assert plan((0.58, 0.6)) == [Region(9280, 9600, 29, 30)]
    assert plan((1.2, 2.0), sample_rate=44100, length=5 * 44100) == [Region(52920, 88200, 60, 100)]
    assert plan((0.1, 0.2), frame_rate=12.5) == [Region(1600, 3200, 1, 3)]


def test_what_is_left_out_is_the_beginning_or_the_end() -> None:
    assert plan((None, 0.5)) == [Region(0, 8000, 0, 25)]
    assert plan((4.5, None)) == [Region(72000, 80000, 225, 250)]
    assert plan((4.5, 5.001)) == [Region(72000, 80000, 225, 250)]  # the end, rounded up


def test_regions_come_back_in_the_order_of_time_and_may_touch() -> None:
    assert [region.start for region in plan((3, 4), (0, 1), (1, 2))] == [0, 16000, 48000]


@pytest.mark.parametrize(
    ("spans", "parts"),
    [
        ([], ["regions is empty", "at least one"]),
        ([(1, 2), (1.5, 3)], ["1..2 s and 1.5..3 s overlap", "join them to 1..3"]),
        ([(1, 3), (1, 2)], ["overlap", "1..3"]),
        ([(2, 2)], ["2..2 s is empty", "its end must come after its start"]),
        ([(2, 1)], ["2..1 s is empty"]),
        ([(-1, 2)], ["-1..2 s is outside of the sound, which lasts 5 s", "0..5"]),
        ([(4, 6)], ["4..6 s is outside", "lasts 5 s"]),
        ([(5, None)], ["5..5 s is empty"]),
        ([(6, 7)], ["6..7 s is outside"]),
        ([(0, 4.5)], ["lasts 4.5 s", "at most 4 s", "fill a shorter one"]),
        ([(math.nan, 2)], ["nan..2 s", "allowed are 0 to 5 s"]),
        ([(1, math.inf)], ["1..inf s", "allowed are 0 to 5 s"]),
        ([(1, 1.00001)], ["1..1.00001 s holds no sample at 16000 Hz", "make it longer"]),
    ],
)
def test_bad_regions_are_named(spans: list[Any], parts: list[str]) -> None:
    with pytest.raises(ArgumentError) as caught:
        plan(*spans)
    for part in parts:
        assert part in str(caught.value)


@pytest.mark.parametrize("span", [1.5, "1:2", (1,), (1, 2, 3), ("1", 2), (True, 2)])
def test_what_is_no_region_at_all(span: Any) -> None:
    with pytest.raises(TypeError, match="a region is .*seconds"):
        plan(span)


def test_one_pair_without_a_list() -> None:
    with pytest.raises(TypeError, match="a region is 1.2"):
        plan_regions((1.2, 2.0), length=80000, sample_rate=16000, frame_rate=50, longest=4)
    with pytest.raises(TypeError, match="regions is None"):
        plan_regions(None, length=80000, sample_rate=16000, frame_rate=50, longest=4)


@pytest.mark.parametrize(
    ("gap", "frames", "most", "after", "window"),
    [
        ((40, 60), 100, 250, None, (0, 100)),  # all there is
        ((100, 120), 300, 100, None, (60, 160)),  # about alike
        ((10, 30), 300, 100, None, (0, 100)),  # what one side lacks, the other has
        ((270, 290), 300, 100, None, (200, 300)),
        ((100, 120), 300, 100, 25, (45, 145)),
        ((0, 20), 300, 100, None, (0, 100)),
        ((280, 300), 300, 100, 25, (200, 300)),
    ],
)
def test_windows_around_gaps(
    gap: tuple[int, int], frames: int, most: int, after: int | None, window: tuple[int, int]
) -> None:
    assert window_around(*gap, frames, most=most, after=after) == window
