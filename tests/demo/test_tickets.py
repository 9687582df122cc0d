"""Tickets: work can be called off before it begins, by its own page only, and ends when its time is over."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest

from soundloom.demo import tickets as module
from soundloom.demo.tickets import Ticket, Tickets


def test_a_page_calls_off_only_its_own_work_and_also_what_waits() -> None:
    tickets = Tickets()
    mine, yours = tickets.issue("a"), tickets.issue("b")
    tickets.call_off("nonsense")
    tickets.call_off(None)
    assert not mine.ended()
    tickets.call_off(mine.key)
    assert mine.ended()
    assert not yours.ended()
    assert tickets.find(yours.key, "b") is yours
    assert tickets.find("of a server before this one", "b") is not yours


def test_leaving_ends_all_of_a_page_and_requests_without_a_session_share_nothing() -> None:
    tickets = Tickets()
    first, second, other = tickets.issue("a"), tickets.issue("a"), tickets.issue("b")
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
    ticket = Ticket(5)
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
