"""Regions of a sound that are to be filled anew: checked, in samples and in frames of the codec."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real

from ...core.errors import ArgumentError
from ..settings import ROUNDING

# Start and end in seconds; None: the beginning, the end of the sound.
Span = tuple[float | None, float | None]


@dataclass(frozen=True)
class Region:
    """A part of a sound.

    Attributes:
        start, stop: first sample, and first sample after it.
        first, last: first frame of the codec that reaches into it, and first frame after those.
    """

    start: int
    stop: int
    first: int
    last: int


def plan_regions(
    spans: Sequence[Span], *, length: int, sample_rate: int, frame_rate: float, longest: float
) -> list[Region]:
    """Check regions and find their samples and frames; what comes back is in their order in time.

    Args:
        spans: in seconds.
        length: samples of the sound.
        sample_rate: of the sound in Hz.
        frame_rate: of the codec in Hz.
        longest: seconds of the longest region that the model can fill.

    Raises:
        TypeError: something else than pairs of numbers.
        ArgumentError: no region, or one that is empty, outside of the sound, too long, or overlaps another;
            the message names it.
    """
    duration = length / sample_rate
    if not isinstance(spans, Sequence) or isinstance(spans, str):
        raise TypeError(f"regions is {spans!r}; it must be a list of (start, end) in seconds")
    if not spans:
        raise ArgumentError("regions is empty; give at least one (start, end) in seconds")
    pairs = sorted(_check_span(span, duration, longest) for span in spans)
    for (start, stop), (next_start, next_stop) in itertools.pairwise(pairs):
        if next_start < stop:
            raise ArgumentError(
                f"the regions {start:g}..{stop:g} s and {next_start:g}..{next_stop:g} s overlap; join them "
                f"to {start:g}..{max(stop, next_stop):g}, or move one"
            )
    return [_region(start, stop, length, sample_rate, frame_rate) for start, stop in pairs]


def _region(start: float, stop: float, length: int, sample_rate: int, frame_rate: float) -> Region:
    first, last = round(start * sample_rate), min(length, round(stop * sample_rate))
    if first >= last:
        raise ArgumentError(
            f"the region {start:g}..{stop:g} s holds no sample at {sample_rate} Hz; make it longer"
        )
    seconds = first / sample_rate, last / sample_rate
    return Region(
        first,
        last,
        math.floor(seconds[0] * frame_rate + ROUNDING),
        math.ceil(seconds[1] * frame_rate - ROUNDING),
    )


def _check_span(span: Span, duration: float, longest: float) -> tuple[float, float]:
    """Start and end of a region in seconds; the message of an error names it."""
    if not isinstance(span, Sequence) or isinstance(span, str) or len(span) != 2:
        raise TypeError(f"a region is {span!r}; it must be (start, end) in seconds, such as (1.2, 2.0)")
    start, stop = 0.0 if span[0] is None else span[0], duration if span[1] is None else span[1]
    for value in (start, stop):
        if isinstance(value, bool) or not isinstance(value, Real):
            raise TypeError(f"a region is {span!r}; start and end must be numbers of seconds")
    shown = f"the region {start:g}..{stop:g} s"
    if not (math.isfinite(start) and math.isfinite(stop)):
        raise ArgumentError(f"{shown} is no part of the sound; allowed are 0 to {duration:g} s")
    if stop <= start:
        raise ArgumentError(f"{shown} is empty; its end must come after its start")
    # The sound's end in seconds, rounded up by who types it, is no mistake.
    if start < 0 or stop > duration + 5e-3 or start >= duration:
        raise ArgumentError(
            f"{shown} is outside of the sound, which lasts {duration:g} s; move it to 0..{duration:g}"
        )
    if stop - start > longest + ROUNDING:
        raise ArgumentError(
            f"{shown} lasts {stop - start:g} s; this model fills at most {longest:g} s, as its window must "
            "hold what is around a region, too: fill a shorter one, or several one after the other"
        )
    return float(start), min(float(stop), duration)


def window_around(
    first: int, last: int, frames: int, *, most: int, after: int | None = None
) -> tuple[int, int]:
    """The window `[start, stop)` of frames around a gap: as much of both sides as fits, about alike.

    Args:
        first, last: the gap: its first frame, and the first after it.
        frames: of the sound.
        most: frames of the window, more than the gap has.
        after: most frames of what follows the gap; None: as many as fit.
    """
    room = most - (last - first)
    follows = frames - last if after is None else min(after, frames - last)
    behind = min(follows, max(room // 2, room - first))
    ahead = min(first, room - behind)
    return first - ahead, last + behind
