"""Clients take turns; of each the oldest goes first."""

from __future__ import annotations

import pytest

from soundloom.gen.engine.fair_queue import FairQueue


def test_turns_then_arrival() -> None:
    queue: FairQueue[str] = FairQueue()
    for item in ("a1", "a2", "a3", "b1", "c1", "c2"):
        queue.put(item[0], item)
    assert len(queue) == 6
    assert queue.first() == "a1"
    assert [queue.pop() for _ in range(3)] == ["a1", "b1", "c1"]
    queue.put("b", "b2")  # behind those that have waited
    assert [queue.pop() for _ in range(4)] == ["a2", "c2", "b2", "a3"]
    assert queue.first() is None
    with pytest.raises(IndexError, match="empty"):
        queue.pop()


def test_what_is_taken_out_is_gone() -> None:
    queue: FairQueue[str] = FairQueue()
    for item in ("a1", "a2", "b1"):
        queue.put(item[0], item)
    assert queue.remove("a1")
    assert not queue.remove("a1")
    assert sorted(queue) == ["a2", "b1"]
    assert queue.remove("b1")
    assert [queue.pop()] == ["a2"]
    assert len(queue) == 0
