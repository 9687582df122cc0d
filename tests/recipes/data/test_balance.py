"""Even shares of clips for classes, and each recording as often as every other."""

from __future__ import annotations

import numpy as np
import pytest

from soundloom.recipes.data.balance import deal, even_shares


def test_classes_share_evenly_within_the_bounds() -> None:
    shares = even_shares(
        {"metal": 300, "cat": 2, "dog": 10, "rain": 50}, 1000, max_repeats=40, unbounded=("rain",)
    )
    assert shares == {"metal": 307, "cat": 80, "dog": 307, "rain": 306}


def test_every_recording_is_used_where_there_are_enough_clips() -> None:
    assert even_shares({"metal": 300, "cat": 2}, 400, max_repeats=20) == {"cat": 40, "metal": 360}
    assert even_shares({"metal": 300, "dog": 20}, 340, max_repeats=20) == {"dog": 40, "metal": 300}
    assert even_shares({"metal": 300, "dog": 20}, 100, max_repeats=20) == {"dog": 50, "metal": 50}
    assert sum(even_shares({"a": 1, "b": 1, "c": 1}, 2, max_repeats=5).values()) == 2


def test_a_class_without_recordings_can_be_rendered() -> None:
    assert even_shares({"dog": 10, "sine": 0}, 60, max_repeats=5, unbounded=("sine",)) == {
        "dog": 30,
        "sine": 30,
    }


def test_too_many_clips_are_refused() -> None:
    with pytest.raises(ValueError, match="101 clips cannot be made of 10 recordings .* only 100"):
        even_shares({"dog": 10}, 101, max_repeats=10)
    with pytest.raises(ValueError, match="max_repeats is 0"):
        even_shares({"dog": 10}, 5, max_repeats=0)


def test_recordings_are_dealt_evenly_and_in_another_order_each_round() -> None:
    dealt = deal(np.random.default_rng(0), 7, 24)
    assert len(dealt) == 24
    assert set(np.bincount(dealt, minlength=7)) == {3, 4}
    assert dealt[:7].tolist() != dealt[7:14].tolist()
    assert len(deal(np.random.default_rng(0), 0, 0)) == 0
