"""Work of a page that was left meanwhile is known, and no other."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from soundloom.demo import left_pages as module
from soundloom.demo.left_pages import LeftPages, stamp


def asked(session: str | None) -> Any:
    scope: dict[str, Any] = {}
    stamp(scope)
    return SimpleNamespace(session_hash=session, request=SimpleNamespace(scope=scope))


def test_what_was_asked_before_a_page_was_left_is_unwanted_and_nothing_else() -> None:
    left = LeftPages()
    before, other, program = asked("a"), asked("b"), asked(None)
    assert not left.unwanted(before)
    for session in ("a", None, ""):
        left.leave(asked(session))
    assert left.unwanted(before)
    # A page whose connection was lost for a moment goes on; others have nothing to do with it.
    for request in (asked("a"), other, program, asked(""), None, SimpleNamespace(session_hash="a")):
        assert not left.unwanted(request)


def test_only_so_many_pages_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST", 3)
    left = LeftPages()
    requests = [asked(f"{number}") for number in range(5)]
    for request in [*requests, requests[2]]:
        left.leave(request)
    assert [left.unwanted(request) for request in requests] == [False, False, True, True, True]
