"""One sound at a time beside the engine, which runs the same model: what the engine does not make in batches.

That is edits, loops, and sounds whose prompt changes on the way.
"""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from ..gen.engine.engine import QueueFullError
from ..gen.generation import Cancel

Result = TypeVar("Result")


class EditQueue:
    """Runs work in a thread, one after the other, in the order in which it came.

    Args:
        most: that may be open at once: the one that runs, and those that wait.

    Attributes:
        open: how many run or wait.
    """

    def __init__(self, most: int = 5) -> None:
        self.most, self.open = most, 0
        self._turn = asyncio.Lock()
        self._seconds = 1.0  # that the last one took

    async def run(self, work: Callable[[Cancel], Result]) -> Result:
        """What the work gives; when the task that waits is cancelled, so is the work.

        Args:
            work: called in a thread with what it has to ask whether it was cancelled.

        Raises:
            QueueFullError: too many are open.
            Exception: of the work.
        """
        if self.open >= self.most:
            raise QueueFullError(
                f"{self.open} edits, loops and sounds with changing prompts are being made or wait, of at "
                f"most {self.most}; try again later",
                max(1, math.ceil(self._seconds)),
            )
        self.open += 1
        try:
            async with self._turn:
                return await self._run(work)
        finally:
            self.open -= 1

    async def _run(self, work: Callable[[Cancel], Result]) -> Result:
        stop, begun = threading.Event(), time.monotonic()
        thread = asyncio.ensure_future(asyncio.to_thread(work, stop.is_set))
        try:
            return await asyncio.shield(thread)
        finally:
            stop.set()
            # The next one has to wait until this one has really ended.
            await asyncio.gather(thread, return_exceptions=True)
            self._seconds = time.monotonic() - begun
