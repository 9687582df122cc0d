"""Tickets: what a page is given for a piece of work before that waits in the queue, to call it off with."""

from __future__ import annotations

import secrets
import threading
import time
from typing import Final

MAX_SECONDS: Final = 600.0  # that one piece of work may take


class Ticket:
    """One piece of work that somebody asked for.

    Args:
        seconds: that it may take once it has begun.
    """

    def __init__(self, seconds: float = MAX_SECONDS) -> None:
        self.seconds = seconds
        self.key = secrets.token_urlsafe(12)
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
        self._lock = threading.Lock()

    def issue(self, session: str | None) -> Ticket:
        """A new ticket; `session` is that of the page, None for a request that has none."""
        ticket = Ticket()
        with self._lock:
            self._tickets[ticket.key] = (ticket, session)
        return ticket

    def find(self, key: str | None, session: str | None) -> Ticket:
        """The ticket with this key; one that is not known, as after a restart, is issued anew."""
        with self._lock:
            known = self._tickets.get(key or "")
        return known[0] if known else self.issue(session)

    def call_off(self, key: str | None) -> None:
        """Call off the work with this key, if there is any."""
        with self._lock:
            known = self._tickets.get(key or "")
        if known:
            known[0].call_off()

    def leave(self, session: str | None) -> None:
        """A page was left: call off what it asked for. Requests without a session share nothing."""
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
