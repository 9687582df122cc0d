"""Layout and Segment: what is known of a sound file before it is decoded."""

from __future__ import annotations

from dataclasses import dataclass

from .spliced import Piece


@dataclass(frozen=True)
class Segment:
    """A stretch of a file that is decoded by itself.

    Attributes:
        pieces: what the decoder is given.
        hole: see `Spliced`.
        length: samples, where one of several segments tells them; a decoder might go on into damage.
    """

    pieces: tuple[Piece, ...]
    hole: int = 0
    length: int | None = None


@dataclass(frozen=True)
class Layout:
    """Where the sound of a file lies.

    Attributes:
        segments: one; several where parts were joined that have to be decoded one by one.
        share: how much of what the header tells of is there, 0 to 1; None: the end is missing, and the header
            does not tell how much that is.
        length: samples, where they are told and were verified.
        seconds: about how long it is, where libsndfile's own number is worse.
        note: what is odd about the file and does no harm.
        kind: the format, where it was recognised.
    """

    segments: tuple[Segment, ...]
    share: float | None = 1.0
    length: int | None = None
    seconds: float | None = None
    note: str = ""
    kind: str = ""
