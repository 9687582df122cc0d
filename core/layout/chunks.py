"""Files whose samples lie in one stretch, of which the header tells the size: wav and its kin, AIFF, CAF, AU.

Formats: RIFF (Microsoft 1991) and its 64 bit forms RF64 (EBU Tech 3306) and Wave64 (Sony), AIFF-C (Apple
1991), 8SVX (Commodore 1985), Core Audio Format (Apple), Sun's .au, Creative's .voc.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from . import mpeg
from .segments import Layout, Segment
from .spliced import Piece, Window

# Headers that tell a few bytes too much (of themselves, or of padding) are common and lose no sound.
TOLERANCE = 64
MPEG_TAGS = (0x50, 0x55)
W64_SUFFIX = bytes.fromhex("f3acd3118cd100c04f8edb8a")
MAX_CHUNKS = 10_000
VOC_SIZE = "24 bits"  # which struct has no letter for


@dataclass
class _Samples:
    """The stretch with the samples.

    Attributes:
        start: its first byte.
        declared: bytes that the header tells of.
        wide: whether sizes have 64 bits.
        sizes: where the header tells sizes: offset -> (format of struct or VOC_SIZE, what to add to that of
            the samples).
        tag: of a wav, the encoding of the samples.
        last: whether what a decoder needs comes before the samples.
        end: what has to stand behind them.
    """

    start: int
    declared: int
    wide: bool = False
    sizes: dict[int, tuple[str, int]] = field(default_factory=dict)
    tag: int = 0
    last: bool = True
    end: bytes = b""


def find_chunks(window: Window) -> Layout | None:
    """The layout of one of these formats; None: it is another one, or its samples are not found."""
    found = _find(window)
    if found is None:
        return None
    there = window.stop - found.start
    if there < 0:
        return None
    unknown = _unknown(found, window, there)
    cut = not unknown and found.declared - there > TOLERANCE
    share = there / found.declared if cut else 1.0
    stop = window.stop if unknown else min(window.stop, found.start + found.declared)
    if found.tag in MPEG_TAGS:
        inner = mpeg.find_mpeg(Window(window.file, found.start, stop))
        if inner is not None:
            return Layout(inner.segments, share, seconds=inner.seconds, kind="MPEG")
    note = ""
    if unknown and not found.declared:
        note = "its header was never completed: it tells of no samples; all there are were taken"
    # What follows the samples is of no use to a decoder, and another file behind them is an error to it.
    followed = found.last and stop < window.stop
    if unknown or cut or followed:
        pieces = tuple(_patched(found, stop))
        return Layout((Segment(pieces),), share, note=note, kind="chunks")
    return Layout((Segment(((0, window.stop),)),), kind="chunks")


def _find(window: Window) -> _Samples | None:
    head = window.peek(0, 40)
    if head[:4] in (b"RIFF", b"RF64", b"RIFX") and head[8:12] == b"WAVE":
        return _riff(window, ">" if head[:4] == b"RIFX" else "<")
    if head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC", b"8SVX", b"16SV"):
        return _form(window)
    if head[:4] == b"riff" and head[24:28] == b"wave":
        return _wave64(window)
    if head[:4] == b"caff":
        return _caf(window)
    if head.startswith(b"Creative Voice File"):
        return _voc(window)
    if head[:4] in (b".snd", b"dns.") and len(head) >= 12:
        order = ">" if head[:4] == b".snd" else "<"
        start, size = struct.unpack_from(f"{order}II", head, 4)
        return _Samples(start, size, sizes={8: (f"{order}I", 0)})
    return None


def _riff(window: Window, order: str) -> _Samples | None:
    long_size, tag = None, 0
    for name, place, size in _chunks(window, 12, f"{order}I"):
        if name == b"ds64" and window.peek(0, 4) == b"RF64":
            long_size = place + 8
        elif name == b"fmt ":
            layout = window.peek(place, 26)
            tag = int.from_bytes(layout[:2], "little" if order == "<" else "big")
            if tag == 0xFFFE and len(layout) == 26:
                tag = int.from_bytes(layout[24:26], "little" if order == "<" else "big")
        elif name == b"data":
            if long_size is not None and size == 0xFFFFFFFF:
                size = int.from_bytes(window.peek(long_size, 8), "little")
                return _Samples(place, size, wide=True, sizes={long_size: ("<Q", 0)}, tag=tag)
            riff = {4: (f"{order}I", place - 8), place - 4: (f"{order}I", 0)}
            return _Samples(place, size, sizes=riff, tag=tag)
    return None


def _form(window: Window) -> _Samples | None:
    described = False
    for name, place, size in _chunks(window, 12, ">I"):
        described |= name == b"COMM"
        if name == b"BODY":
            return _Samples(place, size, sizes={4: (">I", place - 8), place - 4: (">I", 0)})
        if name == b"SSND":
            first = int.from_bytes(window.peek(place, 4), "big")
            skipped = 8 + first
            sizes = {4: (">I", place + skipped - 8), place - 4: (">I", skipped)}
            return _Samples(place + skipped, max(0, size - skipped), sizes=sizes, last=described)
    return None


def _wave64(window: Window) -> _Samples | None:
    place = 40
    for _ in range(MAX_CHUNKS):
        head = window.peek(place, 24)
        if len(head) < 24:
            return None
        size = max(24, int.from_bytes(head[16:], "little"))
        if head[:4] == b"data":
            sizes = {16: ("<Q", place + 24), place + 16: ("<Q", 24)}
            return _Samples(place + 24, size - 24, wide=True, sizes=sizes)
        place += size + -size % 8
    return None


def _caf(window: Window) -> _Samples | None:
    for name, place, size in _chunks(window, 8, ">q"):
        if name == b"data":
            # Its first four bytes count the edits.
            declared = size - 4 if size >= 4 else -1 if size < 0 else 0
            return _Samples(place + 4, declared, wide=True, sizes={place - 8: (">q", 4)}, last=False)
    return None


def _voc(window: Window) -> _Samples | None:
    """The first block with samples; libsndfile refuses files with anything but an end behind it."""
    place = int.from_bytes(window.peek(20, 2), "little")
    for _ in range(MAX_CHUNKS):
        head = window.peek(place, 4)
        if len(head) < 4 or head[0] == 0:
            return None
        size = int.from_bytes(head[1:], "little")
        described = {1: 2, 9: 12}.get(head[0])
        if described is not None:
            sizes = {place + 1: (VOC_SIZE, described)}
            return _Samples(place + 4 + described, max(0, size - described), sizes=sizes, end=b"\0")
        place += 4 + size
    return None


def _chunks(window: Window, place: int, layout: str) -> Iterator[tuple[bytes, int, int]]:
    """Names, first bytes and sizes of chunks."""
    width = struct.calcsize(layout)
    for _ in range(MAX_CHUNKS):
        head = window.peek(place, 4 + width)
        if len(head) < 4 + width:
            return
        (size,) = struct.unpack(layout, head[4:])
        yield head[:4], place + 4 + width, size
        if size < 0:
            return
        place += 4 + width + size + (size % 2 if width == 4 else 0)


def _unknown(found: _Samples, window: Window, there: int) -> bool:
    """Whether the size is one that is written while it is not known yet."""
    if not found.declared:
        return there > 0 and not _is_chunk(window, found.start)
    if found.wide:
        return found.declared < 0 or found.declared >= 1 << 62
    # arecord, sox and ffmpeg write these to pipes.
    return found.declared > there and (
        found.declared >= 0xFFFFF000 or 0x7FFF0000 <= found.declared <= 0x80000000
    )


def _is_chunk(window: Window, place: int) -> bool:
    """Whether another chunk begins there, so that the one before it is really empty."""
    head = window.peek(place, 8)
    if len(head) < 8 or not all(32 <= byte < 127 for byte in head[:4]):
        return False
    return any(place + 8 + int.from_bytes(head[4:], order) <= window.stop for order in ("little", "big"))


def _patched(found: _Samples, stop: int) -> Iterator[Piece]:
    """The file up to the last sample, with sizes that are true."""
    place = 0
    for offset, (layout, more) in sorted(found.sizes.items()):
        size = stop - found.start + more
        width = 3 if layout == VOC_SIZE else struct.calcsize(layout)
        yield place, offset
        yield struct.pack("<Q" if layout == VOC_SIZE else layout, min(size, 256**width - 1))[:width]
        place = offset + width
    yield place, stop
    yield found.end
