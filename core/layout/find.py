"""Find the layout of a sound file by its first bytes."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import BinaryIO

import soundfile

from .chunks import find_chunks
from .decoder import Sequential
from .flac import find_flac
from .mpeg import begins_frame, find_mpeg, tag_size
from .ogg import find_ogg
from .segments import Layout, Segment
from .spliced import Spliced, Window


def find_layout(file: BinaryIO | Spliced) -> Layout:
    """Find out where the sound of a file lies and whether all of it is there.

    Args:
        file: can seek; of formats that are not known here the layout is the file as it is.

    Raises:
        OSError: it cannot be read.
    """
    window = Window(file, 0, file.seek(0, os.SEEK_END))
    start = 0
    while size := tag_size(window, start):
        start += size
    magic = window.peek(start, 4)
    found = None
    if magic == b"OggS":
        found = find_ogg(window)
    elif magic == b"fLaC":
        found = find_flac(window, start)
    elif begins_frame(window, start):
        found = find_mpeg(window, start)
    elif start:  # libsndfile knows tags before mp3 and FLAC only
        inner = find_layout(Spliced(file, ((start, window.stop),)))
        return replace(inner, segments=tuple(_behind(segment, start) for segment in inner.segments))
    else:
        found = find_chunks(window)
    if found is None and not _opens(window):
        found = find_mpeg(window, start)  # an mp3 that begins with something else
    return found or Layout((Segment(((0, window.stop),)),))


def _behind(segment: Segment, start: int) -> Segment:
    """A segment of a file that begins at `start` of another one."""
    pieces = tuple(
        piece if isinstance(piece, bytes) else (piece[0] + start, piece[1] + start)
        for piece in segment.pieces
    )
    return replace(segment, pieces=pieces)


def _opens(window: Window) -> bool:
    """Whether libsndfile finds a sound by itself; mp3, of which it wants a few bytes only, does not count."""
    try:
        with Sequential(Spliced(window.file, ((0, window.stop),))) as file:
            return bool(file.format != "MP3")
    except (soundfile.SoundFileError, TypeError):
        return False
