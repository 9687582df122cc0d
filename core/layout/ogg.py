"""Ogg files (RFC 3533): their pages, and the parts of which chained files are made."""

from __future__ import annotations

from .segments import Layout, Segment
from .spliced import Window

_FIRST, _LAST = 2, 4  # flags of a page
_HEADER = 27


def find_ogg(window: Window) -> Layout | None:
    """The layout of an Ogg file: a segment for each part of a chained one.

    The end is missing when the last page of a part is not marked as that, or is not complete.
    """
    starts: list[int] = []
    stops: list[int] = []  # behind the last whole page of each part: a decoder stumbles over what follows
    ended = True  # whether the part before ended as it should
    whole = True
    serial = b""  # of the stream with which the part begins
    within_heads = False  # the first pages of all streams of a part come first
    place = window.find(b"OggS", window.start, window.stop)
    while 0 <= place < window.stop:
        head = window.peek(place, _HEADER + 255)
        if len(head) < _HEADER or head[:4] != b"OggS" or head[4] != 0:
            place = window.find(b"OggS", place + 1, window.stop)
            continue
        flags, segments = head[5], head[26]
        size = _HEADER + segments + sum(head[_HEADER : _HEADER + segments])
        complete = len(head) >= _HEADER + segments and place + size <= window.stop
        if flags & _FIRST and not within_heads:
            whole &= ended
            starts.append(place)
            stops.append(place)
            serial, ended = head[14:18], False
        within_heads = bool(flags & _FIRST)
        if head[14:18] == serial:
            ended = bool(flags & _LAST) and complete
        if complete and stops:
            stops[-1] = place + size
        place += size if complete else 1
        if not complete or window.peek(place, 4) != b"OggS":
            place = window.find(b"OggS", place, window.stop)
    if not starts:
        return None
    whole &= ended
    segments_found = tuple(Segment(((start, stop),)) for start, stop in zip(starts, stops, strict=True))
    return Layout(segments_found, 1.0 if whole else None, kind="Ogg")
