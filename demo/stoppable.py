"""Run work that ends when nobody wants it: by a Stop button, a page that is left, a program that cancels.

Gradio cancels the task of an event when a button names the event in `cancels`, and when a program cancels its
job. The work itself runs in a thread, which no one can cancel, so it has to ask now and then.
"""

from __future__ import annotations

import asyncio
import threading
from collections import defaultdict
from collections.abc import Callable
from typing import TypeVar

import gradio as gr

from ..core.errors import SoundloomError
from ..gen.generation import GenerationCancelled
from .left_pages import LeftPages
from .temporary_files import failure

TIME_LIMIT = 900.0  # seconds that one request may take
Cancel = Callable[[], bool]
Result = TypeVar("Result")


class Stopped(SoundloomError):
    """Nobody waits for the result any more."""


def check(cancel: Cancel) -> None:
    """Raise Stopped if `cancel` says so."""
    if cancel():
        raise Stopped


class Stoppable:
    """What the pages that are open have running.

    Args:
        time_limit: seconds that one request may take.
    """

    def __init__(self, time_limit: float = TIME_LIMIT) -> None:
        self.time_limit = time_limit
        self._running: dict[str, set[threading.Event]] = defaultdict(set)
        self._left = LeftPages()

    async def run(self, request: gr.Request | None, work: Callable[[Cancel], Result]) -> Result:
        """Do the work in a thread, and return its result.

        Args:
            request: of whom the work is for; its session's page may be left meanwhile, see `leave`.
            work: is given what to ask whether to end, and then raises what it likes.

        Raises:
            ValueError: the work takes longer than the time limit.
            gr.Error: it was stopped, or its page is gone.
        """
        stop, session = threading.Event(), (request and request.session_hash) or ""
        if session:  # a request without one shares nothing with others
            self._running[session].add(stop)
        threads = []
        try:
            if self._left.unwanted(request):
                raise Stopped
            threads = [asyncio.ensure_future(asyncio.to_thread(work, stop.is_set))]
            return await asyncio.wait_for(asyncio.shield(threads[0]), self.time_limit)
        except (Stopped, GenerationCancelled) as error:
            raise failure("this was stopped before it was done") from error
        except TimeoutError:
            raise ValueError(
                f"this takes longer than the {self.time_limit:g} s that a request may take here: give a "
                "shorter sound, or use the command line, which has no such limit"
            ) from None
        finally:
            stop.set()
            self._running[session].discard(stop)
            if not self._running[session]:
                self._running.pop(session, None)
            await asyncio.gather(*threads, return_exceptions=True)

    def leave(self, request: gr.Request) -> None:
        """A page was closed: end what it has running, and let nothing begin that it has asked for."""
        self._left.leave(request)
        for stop in list(self._running.get(request.session_hash or "", ())):
            stop.set()
