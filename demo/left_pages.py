"""Tell work that a page asked for and then was left, before the work began.

A page is gone for the server when its connection is; work of it may still wait, or be about to begin. But a
connection may also be lost for a moment and the page go on: what it asks for after that is wanted.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import MutableMapping
from typing import Any, Final

import gradio as gr

ASKED: Final = "soundloom.asked"  # of a request's scope: when it came
MOST: Final = 10_000  # sessions that are remembered


def stamp(scope: MutableMapping[str, Any]) -> None:
    """Note in the ASGI scope of a request that it came now."""
    scope[ASKED] = time.monotonic()


class LeftPages:
    """When each page was left."""

    def __init__(self) -> None:
        self._left: OrderedDict[str, float] = OrderedDict()

    def leave(self, request: gr.Request) -> None:
        """The connection of a page has ended. Requests without a session share nothing."""
        if session := request.session_hash:
            self._left[session] = time.monotonic()
            self._left.move_to_end(session)
        while len(self._left) > MOST:
            self._left.popitem(last=False)

    def unwanted(self, request: gr.Request | None) -> bool:
        """Whether the page was left since it sent a request, whose work is to begin now."""
        left = self._left.get((request and request.session_hash) or "")
        asked = getattr(getattr(request, "request", None), "scope", {}).get(ASKED)
        return left is not None and asked is not None and asked <= left
