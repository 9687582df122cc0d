"""Tickets: work can be called off before it begins, by its own page only, and ends when its time is over."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest

from soundloom.demo import tickets as module
from soundloom.demo.tickets import LONGEST_KEY, Ticket, Tickets


def taken(tickets: Tickets, key: str, session: str | None) -> Ticket:
    ticket = tickets.take(key, session)
    assert ticket is not None
    assert ticket.key == key
    return ticket


def test_a_page_calls_off_only_its_own_work() -> None:
    tickets = Tickets()
    mine, yours = taken(tickets, "of a", "a"), taken(tickets, "of b", "b")
    tickets.call_off("nonsense")
    tickets.call_off("")
    tickets.call_off(None)
    assert not mine.ended()
    tickets.call_off("of a")
    assert mine.ended()
    assert not yours.ended()


def test_what_was_called_off_before_it_began_never_begins_and_nothing_begins_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tickets = Tickets()
    tickets.call_off("waits")
    assert tickets.take("waits", "a") is None
    first = taken(tickets, "pressed twice", "a")
    assert tickets.take("pressed twice", "a") is None
    assert tickets.take("pressed twice", "b") is None  # nor for another page
    assert not first.ended()
    tickets.give_back(first)
    assert tickets.take("pressed twice", "a") is None
    # What pages draw is remembered for a while only, and never at great length.
    assert tickets.take("", "a") is None
    assert tickets.take((LONGEST_KEY + 1) * "x", "a") is None
    monkeypatch.setattr(module, "MOST_SPENT", 5)
    for number in range(20):
        tickets.call_off(f"{number}")
    tickets.call_off((LONGEST_KEY + 1) * "x")
    assert len(tickets._spent) == 5
    assert tickets.take("19", "a") is None


def test_leaving_ends_all_of_a_page_and_requests_without_a_session_share_nothing() -> None:
    tickets = Tickets()
    first, second, other = (taken(tickets, f"{owner} {owner}", owner[0]) for owner in ("a1", "a2", "b1"))
    program, another = tickets.issue(None), tickets.issue(None)
    tickets.leave("a")
    assert first.ended()
    assert second.ended()
    tickets.leave(None)
    tickets.leave("")
    assert not any(ticket.ended() for ticket in (other, program, another))
    assert program.key != another.key
    tickets.give_back(other)
    tickets.leave("b")
    assert not other.ended()


def test_time_counts_from_the_beginning_of_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    ticket = Ticket(seconds=5)
    now = time.monotonic()
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now))
    now += 100
    assert not ticket.ended()  # it waits
    ticket.begin()
    now += 4
    assert not ticket.ended()
    now += 2
    assert ticket.late
    assert ticket.ended()
