"""Types of progress callbacks."""

from __future__ import annotations

from collections.abc import Callable

# Called with how much is done and how much there is in all, in whatever is counted: steps, files, sounds.
Progress = Callable[[int, int], None]
# Called with the seconds of sound that were done since the last call, so that files done side by side add up.
Advance = Callable[[float], None]
