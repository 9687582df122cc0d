"""Types of progress callbacks."""

from __future__ import annotations

from collections.abc import Callable

# Called with how much is done and how much there is in all, in whatever is counted: steps, files, sounds.
Progress = Callable[[int, int], None]
# Called with the seconds of sound that were done since the last call, so that files done side by side add up.
Advance = Callable[[float], None]


def part_of(progress: Progress | None, before: int, total: int) -> Progress | None:
    """The progress of a part of some work: `before` is done when it begins, `total` is to do in all."""
    return None if progress is None else lambda done, _: progress(before + done, total)


def one_of(progress: Progress, number: int, count: int) -> Progress:
    """The progress of part `number`, from 0, of `count` parts with equally much to do."""
    return lambda done, total: progress(number * total + done, count * total)
