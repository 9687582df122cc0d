"""Loop points of a WAV file: the chunk "smpl", which samplers and games read (RIFF, Microsoft 1994).

Letters: N samples.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

from .atomic import atomic_write
from .samples import AudioError

FORWARD = 0  # type of the loop
MIDDLE_C = 60
ENDLESS = 0  # play count


@dataclass(frozen=True)
class LoopPoints:
    """A loop: its first and its last sample, which are both played."""

    first: int
    last: int


def add_loop_points(path: Path, points: LoopPoints | None = None) -> None:
    """Write loop points into a WAV file, in place of those that it may have; atomically.

    Args:
        path: of the file.
        points: None: the whole sound is the loop.

    Raises:
        AudioError: no WAV file, or points outside of its sound.
    """
    content = path.read_bytes()
    chunks = _chunks(content, path)
    layout, data = chunks.get(b"fmt "), chunks.get(b"data")
    if layout is None or data is None:
        raise AudioError(f"{path} has no chunks 'fmt ' and 'data'; loop points need a .wav file with samples")
    sample_rate, block = struct.unpack_from("<4xI4xH", content, layout[0])
    length = data[1] // block
    points = LoopPoints(0, length - 1) if points is None else points
    if not 0 <= points.first <= points.last < length:
        raise AudioError(
            f"the loop {points.first}..{points.last} is outside of {path}, whose samples are 0..{length - 1}"
        )
    # Manufacturer and product (none), nanoseconds a sample, note, its fraction, SMPTE (none), loops, extra.
    head = struct.pack("<9I", 0, 0, round(1e9 / sample_rate), MIDDLE_C, 0, 0, 0, 1, 0)
    loop = struct.pack("<6I", 0, FORWARD, points.first, points.last, 0, ENDLESS)
    chunk = b"smpl" + struct.pack("<I", len(head) + len(loop)) + head + loop
    old = chunks.get(b"smpl")
    if old is not None:
        content = content[: old[0] - 8] + content[old[0] + old[1] :]
    content += b"\0" * (len(content) % 2) + chunk
    with atomic_write(path) as file:
        file.write(content[:4] + struct.pack("<I", len(content) - 8) + content[8:])


def read_loop_points(path: Path) -> LoopPoints | None:
    """The first loop that a WAV file tells of; None: it tells of none.

    Raises:
        AudioError: no WAV file.
    """
    content = path.read_bytes()
    found = _chunks(content, path).get(b"smpl")
    if found is None or found[1] < 60 or not struct.unpack_from("<28xI", content, found[0])[0]:
        return None
    return LoopPoints(*struct.unpack_from("<44x2I", content, found[0]))


def _chunks(content: bytes, path: Path) -> dict[bytes, tuple[int, int]]:
    """First byte and size of each chunk, by name."""
    if content[:4] != b"RIFF" or content[8:12] != b"WAVE":
        raise AudioError(f"{path} is no WAV file; loop points are kept in .wav files alone")
    found, place = dict[bytes, tuple[int, int]](), 12
    while place + 8 <= len(content):
        name, size = content[place : place + 4], int.from_bytes(content[place + 4 : place + 8], "little")
        found.setdefault(name, (place + 8, min(size, len(content) - place - 8)))
        place += 8 + size + size % 2
    return found
