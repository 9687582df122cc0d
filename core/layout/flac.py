"""FLAC files (RFC 9639): the number of samples in STREAMINFO may be 0, which means unknown, or wrong.

Files that were joined (`cat one.flac two.flac`) are decoded one by one.
"""

from __future__ import annotations

from dataclasses import replace

import soundfile

from .decoder import Sequential
from .segments import Layout, Segment
from .spliced import Piece, Spliced, Window

# Where a file begins: the marker, and the head of STREAMINFO (alone, or followed by others), 34 bytes long.
_BEGINNINGS = (b"fLaC\0\0\0\x22", b"fLaC\x80\0\0\x22")


def find_flac(window: Window, start: int) -> Layout | None:
    """The layout of a FLAC file: a segment for each of those that were joined.

    Args:
        window: on the file.
        start: where "fLaC" stands, behind tags.
    """
    starts = [start, *_further(window, start)]
    parts = [
        _find_one(Window(window.file, begin, stop), begin)
        for begin, stop in zip(starts, [*starts[1:], window.stop], strict=True)
    ]
    if parts[0] is None or len(parts) == 1:
        return parts[0]
    found = [part for part in parts if part is not None]
    there = sum(part.length or 0 for part in found)
    told = sum(
        max(part.length or 0, _declared(window, begin))
        for begin, part in zip(starts, parts, strict=True)
        if part
    )
    whole = all(part.share == 1.0 for part in found)
    segments = tuple(replace(segment, length=part.length) for part in found for segment in part.segments)
    return Layout(segments, 1.0 if whole else there / told, kind="FLAC")


def _further(window: Window, start: int) -> list[int]:
    """Where other files begin behind the first one."""
    places: list[int] = []
    place = window.find(b"fLaC", start + 4, window.stop)
    while place >= 0:
        if window.peek(place, 8) in _BEGINNINGS:
            places.append(place)
        place = window.find(b"fLaC", place + 4, window.stop)
    return places


def _declared(window: Window, start: int) -> int:
    """The number of samples that STREAMINFO tells, 0 for unknown."""
    return int.from_bytes(window.peek(start + 18, 8), "big") & 0xFFFFFFFFF


def _find_one(window: Window, start: int) -> Layout | None:
    """The layout of one FLAC file that fills the window from `start` on."""
    head = window.peek(start, 26)
    if len(head) < 26 or head[4] & 0x7F != 0:
        return None
    declared = _declared(window, start)
    as_it_is = Layout((Segment(((start, window.stop),)),), length=declared or None, kind="FLAC")
    unknown = _with_length(window, start, 0)
    if not declared:
        return as_it_is
    # Asked of the file as it is and of one of unknown length, which would go on behind the last sample.
    if _has(window, as_it_is.segments[0], declared - 1) and not _has(window, unknown, declared):
        return as_it_is
    count, ended = _count(window, unknown, max(16, int.from_bytes(head[10:12], "big")))
    if count == declared or not ended:
        return as_it_is  # damage within is found when it is read
    share = count / declared if count < declared else 1.0
    return Layout((_with_length(window, start, count),), share, length=count, kind="FLAC")


def _with_length(window: Window, start: int, count: int) -> Segment:
    """The file with another number of samples."""
    field = bytearray(window.peek(start + 21, 5))  # its upper 4 bits belong to the sample size
    field[0] = field[0] & 0xF0 | count >> 32
    field[1:] = (count & 0xFFFFFFFF).to_bytes(4, "big")
    pieces: tuple[Piece, ...] = ((start, start + 21), bytes(field), (start + 26, window.stop))
    return Segment(pieces)


def _has(window: Window, segment: Segment, sample: int) -> bool:
    """Whether a sample, counted from 0, can be decoded."""
    try:
        with Sequential(Spliced(window.file, segment.pieces)) as file:
            file.seek(sample)
            return len(file.read(1, dtype="float32", always_2d=True)) == 1
    except soundfile.SoundFileError:
        return False


def _count(window: Window, segment: Segment, size: int) -> tuple[int, bool]:
    """How many samples can be decoded, `size` at a time, and whether the file's end ended them."""
    spliced = Spliced(window.file, segment.pieces)
    count = 0
    # A read that meets damage gives nothing of what comes before it: ask for less then.
    while size:
        try:
            with Sequential(spliced) as file:
                file.seek(count)
                while block := len(file.read(size, dtype="float32", always_2d=True)):
                    count += block
            return count, spliced.ended
        except soundfile.SoundFileError:
            size //= 2
    return count, spliced.ended
