"""MPEG audio (ISO 11172-3, 13818-3): mp3 and its kin, frame by frame.

The number of samples stands in no place that can be trusted: in the Xing or Info header of encoders that
could go back to it (and of the first of joined files), in the VBRI header of others, or nowhere.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from .segments import Layout, Segment
from .spliced import Piece, Window

# kbit/s by index: version 1 layers I, II, III; version 2 and 2.5 layer I, layers II and III.
_BITRATES = {
    (1, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (1, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (1, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (2, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_RATES = (44100, 48000, 32000)
_HEADER_BITS = 0xFFFE0C00  # sync, version, layer and sample rate, which do not change within a sound
_CONFIRMED = 3  # frames in a row: fewer are chance
_NEAR = 1 << 16  # how far behind its tags a sound may begin
_HARMLESS = 0.1  # seconds that a header may tell too much: some count their own frame
MAX_FRAME_BYTES = 2881


@dataclass(frozen=True)
class _Frame:
    """What a header of four bytes tells.

    Attributes:
        size: bytes.
        samples: of each channel.
        rate: Hz.
        channels: 1 or 2.
        key: what is the same in all frames of a sound.
        info: where a Xing header would begin.
        layer: 1, 2 or 3.
    """

    size: int
    samples: int
    rate: int
    channels: int
    key: int
    info: int
    layer: int


_known: dict[int, _Frame | None] = {}


def _frame(header: int) -> _Frame | None:
    """Frame of a header; None: it is none."""
    header &= 0xFFFFFFD0 | 0xF  # the private bit says nothing
    if header not in _known:
        if len(_known) > 100_000:
            _known.clear()
        _known[header] = _parsed(header)
    return _known[header]


def _parsed(header: int) -> _Frame | None:
    version, layer = header >> 19 & 3, 4 - (header >> 17 & 3)
    bitrate, rate = header >> 12 & 15, header >> 10 & 3
    if header >> 21 != 0x7FF or version == 1 or layer == 4 or bitrate in (0, 15) or rate == 3:
        return None
    first = version == 3
    hertz = _RATES[rate] >> (0 if first else 1 if version == 2 else 2)
    kilobits = _BITRATES[1, layer] if first else _BITRATES[2, min(layer, 2)]
    samples = 384 if layer == 1 else 1152 if first or layer == 2 else 576
    unit = 4 if layer == 1 else 1
    size = (samples // 8 * 1000 * kilobits[bitrate - 1] // hertz // unit + (header >> 9 & 1)) * unit
    channels = 1 if header >> 6 & 3 == 3 else 2
    side = (17 if channels == 1 else 32) if first else (9 if channels == 1 else 17)
    return _Frame(size, samples, hertz, channels, header & _HEADER_BITS, 4 + side, layer)


@dataclass
class _Run:
    """Frames of one kind.

    Attributes:
        frame: the first one.
        pieces: where they are.
        count: how many there are.
        largest: bytes of the largest.
    """

    frame: _Frame
    pieces: list[Piece] = field(default_factory=list)
    count: int = 0
    largest: int = 0

    def add(self, place: int, frame: _Frame) -> None:
        last = self.pieces[-1] if self.pieces else None
        if isinstance(last, tuple) and last[1] == place:
            self.pieces[-1] = last[0], place + frame.size
        else:
            self.pieces.append((place, place + frame.size))
        self.count += 1
        self.largest = max(self.largest, frame.size)

    @property
    def bytes(self) -> int:
        return sum(len(piece) if isinstance(piece, bytes) else piece[1] - piece[0] for piece in self.pieces)


def begins_frame(window: Window, place: int, most: int = _CONFIRMED) -> bool:
    """Whether frames of one kind stand there one behind the other, to the end or `most` of them."""
    first = _frame(int.from_bytes(window.peek(place, 4), "big"))
    if first is None:
        return False
    frame: _Frame | None = first
    for found in range(most):
        if place >= window.stop:
            return found >= 2 or place == window.stop
        head = window.peek(place, 4)
        frame = _frame(int.from_bytes(head, "big")) if len(head) == 4 else None
        if frame is None or frame.key != first.key:
            return False
        place += frame.size
    return True


def find_mpeg(window: Window, start: int | None = None) -> Layout | None:
    """The layout of an mp3, or None if there are no frames near its beginning.

    Args:
        window: on the sound.
        start: where to look, behind tags.
    """
    place = _next(window, window.start if start is None else start, _NEAR)
    if place is None:
        return None
    info = _info(window, place)
    runs: list[_Run] = []
    partial = False
    for at, frame in _frames(window, place):
        if at + frame.size > window.stop:
            partial = True
            break
        if at != place and _info(window, at) is not None:
            continue  # of a file that was joined: no sound
        if not runs or frame.key != runs[-1].frame.key or frame.channels != runs[-1].frame.channels:
            runs.append(_Run(frame))
        runs[-1].add(at, frame)
    if not runs:
        return None
    frames = [run.count - (number == 0 and info is not None) for number, run in enumerate(runs)]
    seconds = sum(n * run.frame.samples / run.frame.rate for n, run in zip(frames, runs, strict=True))
    total = sum(frames)
    share = 1.0
    if info is not None and info.frames:
        missing = (info.frames - total) * runs[0].frame.samples / runs[0].frame.rate
        share = total / info.frames if missing > _HARMLESS else 1.0
    elif partial:
        share = (total + 0.5) / (total + 1)
    segments = [_segment(window, run, info if number == 0 else None) for number, run in enumerate(runs)]
    return Layout(tuple(segments), share, seconds=seconds, kind="MPEG")


def _frames(window: Window, place: int) -> Iterator[tuple[int, _Frame]]:
    """All frames and where they are; what stands between them (tags, damage) is passed over."""
    while place < window.stop:
        head = window.peek(place, 4)
        frame = _frame(int.from_bytes(head, "big")) if len(head) == 4 else None
        if frame is None:
            skipped = place + tag_size(window, place)
            found = _next(window, skipped if skipped > place else place + 1, window.stop)
            if found is None:
                return
            place = found
            continue
        yield place, frame
        place += frame.size


def _next(window: Window, place: int, near: int) -> int | None:
    """Where the next frames begin."""
    until = min(window.stop, place + near)
    while (place := window.find(b"\xff", place, until)) >= 0:
        if begins_frame(window, place):
            return place
        place += 1
    return None


def tag_size(window: Window, place: int) -> int:
    """Bytes of an ID3v2, ID3v1 or APE tag that stands there; 0: there is none."""
    head = window.peek(place, 32)
    if head[:3] == b"ID3" and len(head) >= 10 and all(byte < 128 for byte in head[6:10]):
        size = head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]
        return 10 + size + (10 if head[5] & 0x10 else 0)
    if head[:3] == b"TAG":
        return 128
    if head[:8] == b"APETAGEX" and len(head) == 32:
        return 32 + int.from_bytes(head[12:16], "little") if head[23] & 0x20 else 32
    return 0


@dataclass(frozen=True)
class _Info:
    """The header in the first frame that tells of the others.

    Attributes:
        place: of its first byte within the file.
        frames: how many there are; 0: it does not tell.
        fields: where it tells numbers, offset -> what of: "frames", "bytes" or "padding".
    """

    place: int
    frames: int
    fields: dict[int, str]


def _info(window: Window, place: int) -> _Info | None:
    frame = _frame(int.from_bytes(window.peek(place, 4), "big"))
    if frame is None or frame.layer != 3:
        return None
    head = window.peek(place, frame.size)
    name = head[frame.info : frame.info + 4]
    if name in (b"Xing", b"Info"):
        at = frame.info + 4
        if len(head) < at + 4:
            return None
        flags, fields, frames = int.from_bytes(head[at : at + 4], "big"), {}, 0
        at += 4
        if flags & 1:
            fields[place + at], frames = "frames", int.from_bytes(head[at : at + 4], "big")
            at += 4
        if flags & 2:
            fields[place + at] = "bytes"
            at += 4
        at += (100 if flags & 4 else 0) + (4 if flags & 8 else 0)
        if len(head) >= at + 24 and head[at : at + 4] in (b"LAME", b"Lavf", b"Lavc", b"L3.9"):
            fields[place + at + 21] = "padding"
        # mpg123 takes it for sound, and guesses, if anything stands before the name.
        return _Info(place, frames, {} if any(head[4 : frame.info]) else fields)
    if head[36:40] == b"VBRI" and len(head) >= 54:
        fields = {place + 46: "bytes", place + 50: "frames"}
        return _Info(place, int.from_bytes(head[50:54], "big"), fields)
    return None


def _segment(window: Window, run: _Run, info: _Info | None) -> Segment:
    """What a decoder is given to decode all frames of a run, and no more than these."""
    first = run.pieces[0]
    assert isinstance(first, tuple)
    if info is None or "frames" not in info.fields.values():
        # Without a header the decoder guesses: by a hole behind the sound the guess is never too short.
        hole = run.count * run.largest + 4 * MAX_FRAME_BYTES - run.bytes if info is None else 0
        if info is not None:
            run.pieces[0] = first[0] + _size(window, first[0]), first[1]
            return _segment(window, run, None)
        return Segment(tuple(run.pieces), max(256, hole))
    if info.frames == run.count - 1:
        return Segment(tuple(run.pieces))
    pieces: list[Piece] = []
    place = first[0]
    for offset, kind in sorted(info.fields.items()):
        number = run.count - 1 if kind == "frames" else run.bytes
        data = struct.pack(">I", min(number, 0xFFFFFFFF))
        if kind == "padding":  # 12 bits of delay, 12 of padding
            delay = window.peek(offset, 3)
            data = bytes((delay[0], delay[1] & 0xF0, 0))
        pieces += [(place, offset), data]
        place = offset + len(data)
    return Segment((*pieces, (place, first[1]), *run.pieces[1:]))


def _size(window: Window, place: int) -> int:
    frame = _frame(int.from_bytes(window.peek(place, 4), "big"))
    assert frame is not None
    return frame.size
