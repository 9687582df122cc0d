"""Let Ctrl+C end a measurement without losing what was measured so far."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Interruption:
    """Whether Ctrl+C has ended a measurement.

    Attributes:
        stopped: whether it has.
    """

    def __init__(self) -> None:
        self.stopped = False

    @contextmanager
    def until_stopped(self, measured: Callable[[], object]) -> Iterator[None]:
        """Do a part of the measurement.

        Args:
            measured: what there is by then; where that is nothing, the interruption goes on.
        """
        try:
            yield
        except KeyboardInterrupt:
            if not measured():
                raise
            self.stopped = True

    def notes(self, done: int, total: int, unit: str) -> list[str]:
        """What a report says of it; nothing where all was measured."""
        return [f"stopped after {done} of {total} {unit}"] if self.stopped else []
