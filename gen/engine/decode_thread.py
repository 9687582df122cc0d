"""The thread of an engine that turns codes into sound, beside the one that makes them."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable

from .request import RunningRequest

logger = logging.getLogger(__name__)

# What is to be decoded, and how many of its frames are complete; None: all of them, which ends the request.
Work = tuple[RunningRequest, int | None]


class DecodeThread:
    """Decodes what it is given, in the order in which it is given.

    Args:
        ended: called with each request whose codes are all decoded, and with what went wrong.
    """

    def __init__(self, ended: Callable[[RunningRequest, Exception | None], None]) -> None:
        self._ended = ended
        self._work: queue.SimpleQueue[Work | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="soundloom decoder", daemon=True)
        self._thread.start()

    def put(self, running: RunningRequest, complete: int | None) -> None:
        """Decode what so many complete frames allow; None: everything, and end the request."""
        self._work.put((running, complete))

    def close(self) -> None:
        """End after what it was given so far."""
        self._work.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            running, complete = work
            try:
                running.check()
                if complete is None:
                    running.decode_last()
                elif not running.request.handle.ended:
                    running.decode(complete)
            except Exception as error:
                logger.debug("decoding failed", exc_info=True)
                running.error = error  # seen before the next step, where there is one
            if complete is None:
                self._ended(running, running.error)
