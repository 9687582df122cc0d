"""Tickets: what a page asks for a piece of work with, and calls it off with, also before it has begun.

The page itself draws a ticket's key, a random number, so that it can say stop before the server has heard of
the work.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections import OrderedDict
from typing import Final

MAX_SECONDS: Final = 600.0  # that one piece of work may take
MOST_SPENT: Final = 10_000  # keys that are remembered
LONGEST_KEY: Final = 64


class Ticket:
    """One piece of work that somebody asked for.

    Args:
        key: of it; None: a new one.
        seconds: that it may take once it has begun.
    """

    def __init__(self, key: str | None = None, seconds: float = MAX_SECONDS) -> None:
        self.seconds = seconds
        self.key = key or secrets.token_urlsafe(12)
        self._called_off = threading.Event()
        self._deadline = float("inf")

    def begin(self) -> None:
        """The work begins, and its time with it."""
        self._deadline = time.monotonic() + self.seconds

    def call_off(self) -> None:
        """The work is not wanted any more."""
        self._called_off.set()

    @property
    def late(self) -> bool:
        """Whether its time is over."""
        return time.monotonic() > self._deadline

    def ended(self) -> bool:
        """Whether the work should end now; a model asks this before every step."""
        return self._called_off.is_set() or self.late


class Tickets:
    """The tickets of all pages. A page calls off only what it has the key of, or what is of its session."""

    def __init__(self) -> None:
        self._tickets: dict[str, tuple[Ticket, str | None]] = {}
        self._spent: OrderedDict[str, None] = OrderedDict()
        self._lock = threading.Lock()

    def issue(self, session: str | None) -> Ticket:
        """A ticket with a key that nobody else knows; `session`: of the page, None for a program."""
        ticket = Ticket()
        with self._lock:
            self._tickets[ticket.key] = (ticket, session)
        return ticket

    def take(self, key: str, session: str | None) -> Ticket | None:
        """The ticket of work that begins now, with the key that its page drew.

        None: the work must not begin, as it was called off while it waited, or as a page asked twice.
        """
        with self._lock:
            if not 0 < len(key) <= LONGEST_KEY or key in self._spent:
                return None
            self._spend(key)
            ticket = Ticket(key)
            self._tickets[key] = (ticket, session)
        return ticket

    def call_off(self, key: str | None) -> None:
        """Call off the work with this key, or see to it that it does not begin."""
        with self._lock:
            known = self._tickets.get(key or "")
            if key and not known and len(key) <= LONGEST_KEY:
                self._spend(key)
        if known:
            known[0].call_off()

    def leave(self, session: str | None) -> None:
        """A page was left: call off what it has begun. Requests without a session share nothing."""
        if not session:
            return
        with self._lock:
            mine = [key for key, (_, owner) in self._tickets.items() if owner == session]
            tickets = [self._tickets.pop(key)[0] for key in mine]
        for ticket in tickets:
            ticket.call_off()

    def give_back(self, ticket: Ticket) -> None:
        """The work has ended."""
        with self._lock:
            self._tickets.pop(ticket.key, None)

    def _spend(self, key: str) -> None:
        """Remember that no work with this key may begin any more."""
        self._spent[key] = None
        while len(self._spent) > MOST_SPENT:
            self._spent.popitem(last=False)
