"""Where a crop begins: the one rule for sound files, renderings and codes alike."""

from __future__ import annotations


def crop_start(length: int, longest: int, place: float) -> int:
    """Where a crop of at most `longest` begins in what is `length` long, in samples or frames.

    Args:
        length: of the whole.
        longest: of the crop; 0 is the only start where the whole is not longer.
        place: 0 to 1, which of all possible starts: evenly drawn places give evenly drawn starts.
    """
    room = max(0, length - longest)
    return min(int(place * (room + 1)), room)
