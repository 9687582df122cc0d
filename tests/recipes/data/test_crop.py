"""Where crops begin."""

from __future__ import annotations

from collections import Counter

from soundloom.recipes.data.crop import crop_start


def test_every_start_is_as_likely_and_the_ends_are_reached() -> None:
    starts = Counter(crop_start(10, 7, n / 4000) for n in range(4000))
    assert starts == {0: 1000, 1: 1000, 2: 1000, 3: 1000}
    assert crop_start(10, 7, 0.0) == 0
    assert crop_start(10, 7, 1.0) == 3


def test_what_is_not_longer_begins_at_its_start() -> None:
    assert crop_start(7, 7, 0.9) == crop_start(3, 7, 0.9) == crop_start(0, 7, 1.0) == 0
