"""Read sound files and pipes block by block; all sound comes in here.

Letters: C channels, N samples.
"""

from __future__ import annotations

import functools
import io
import logging
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
import soundfile
import torch
from torch import Tensor

from .files import SoundSource, check_source, check_stream, stream_name
from .layout import Layout, Segment, Spliced, find_layout
from .layout.decoder import Sequential
from .raw_format import RAW_SUBTYPES, RawFormat
from .resampler import Resampler
from .samples import MAX_CHANNELS, AudioError, TruncatedAudioError, check_rate, mix
from .unreadable_sound import unreadable_sound

logger = logging.getLogger(__name__)

# Formats and encodings of which each sample takes the same room, so that the number of samples is exact.
LINEAR_FORMATS = frozenset({"WAV", "WAVEX", "RF64", "W64", "AIFF", "AU", "CAF", "RAW"})
SAMPLE_BYTES = {
    "PCM_S8": 1,
    "PCM_U8": 1,
    "ULAW": 1,
    "ALAW": 1,
    "PCM_16": 2,
    "PCM_24": 3,
    "PCM_32": 4,
    "FLOAT": 4,
    "DOUBLE": 8,
}
# Formats that libsndfile reads from a pipe; others it misreads, refuses or ends too early.
PIPE_FORMATS = frozenset({"WAV", "WAVEX", "AU", "RAW"})
MAX_RATE = 1_000_000  # Hz
MAX_BLOCK = 1 << 20  # samples that are decoded at once
MAX_GUESS = 1 << 26  # samples for which memory is taken because a file tells of them
MAX_FRAMES = 1 << 40  # more stands for an unknown length
# Headers that are written before the length is known tell of so many bytes or more.
UNKNOWN_BYTES = 0x7FFF0000


@dataclass(frozen=True)
class _Part:
    """A stretch that one decoder run reads.

    Attributes:
        segment: of the file.
        frames: samples of each channel, by its header.
        rate: Hz.
        channels: C.
    """

    segment: Segment
    frames: int
    rate: int
    channels: int


class SoundReader:
    """Reads a sound block by block; made by `open_sound`.

    Attributes:
        name: of the source, for messages.
        sample_rate: Hz.
        channels: C.
        length: N, or None where it is only known at the end (a pipe, mp3, ogg).
        pipe: whether the sound may still be on its way.
        truncated: whether the file's header tells of more sound than is there.
    """

    def __init__(
        self,
        file: BinaryIO | int,
        name: str,
        layout: Layout,
        options: dict[str, Any],
        *,
        allow_truncated: bool,
    ) -> None:
        self._file, self._options, self._layout = file, options, layout
        self.name, self.pipe, self.truncated = name, isinstance(file, int), layout.share != 1.0
        self._allow_truncated = allow_truncated
        self._piped: Sequential | None = None
        self.length: int | None = None
        self._parts = self._find_parts()
        self.sample_rate, self.channels = self._parts[0].rate, self._parts[0].channels
        if self.truncated:
            self._breaks_off(self.seconds or 0.0, layout.share)
        if layout.note:
            logger.warning("%s: %s", name, layout.note)

    def _find_parts(self) -> list[_Part]:
        parts: list[_Part] = []
        for segment in self._layout.segments:
            try:
                file, _ = self._decoder(segment)
            except (soundfile.SoundFileError, TypeError, ValueError) as error:
                if parts and self.truncated:
                    break  # of the last part of a chained file there is no more than its head
                raise unreadable_sound(self.name, None if self.pipe else self._head(), error) from error
            with ExitStack() as stack:
                if self.pipe:
                    self._piped = file
                else:
                    stack.enter_context(file)
                part = _Part(segment, int(file.frames), int(file.samplerate), int(file.channels))
                self._check(file, part)
                parts.append(part)
                if not self.pipe and len(self._layout.segments) == 1:
                    linear = file.format in LINEAR_FORMATS and file.subtype in SAMPLE_BYTES
                    self.length = part.frames if linear else self._layout.length
        return parts

    def _check(self, file: Sequential, part: _Part) -> None:
        name = self.name
        if not 1 <= part.channels <= MAX_CHANNELS:
            raise AudioError(f"{name} has {part.channels} channels; 1 to {MAX_CHANNELS} are allowed")
        if not 1 <= part.rate <= MAX_RATE:
            raise AudioError(
                f"{name} is at {part.rate} Hz; 1 to {MAX_RATE} Hz are allowed: its header is damaged"
            )
        if self.pipe and file.format not in PIPE_FORMATS:
            raise AudioError(
                f"{name} is a pipe with {file.format} in it; only wav, au and raw samples can be piped: "
                "convert it (ffmpeg -i FILE -f wav -), or give the file itself"
            )
        if self.pipe and not part.frames:
            raise AudioError(
                f"{name} is a pipe whose header tells of no samples; give the file itself, or cut the header "
                "off and say what the samples are (--raw s16le:44100:2)"
            )

    def _head(self) -> bytes:
        """The first bytes of a file."""
        assert not isinstance(self._file, int)
        self._file.seek(0)
        return self._file.read(64)

    def _decoder(self, segment: Segment) -> tuple[Sequential, Spliced | None]:
        if isinstance(self._file, int):
            return Sequential(self._file, closefd=False, **self._options), None
        spliced = Spliced(self._file, segment.pieces, segment.hole)
        try:
            return Sequential(spliced, **self._options), spliced
        finally:
            if spliced.error is not None:
                raise spliced.error

    @property
    def about(self) -> int | None:
        """N, exactly or nearly (of mp3 without a header), as far as it is known before the end."""
        if self.length is not None or self.pipe:
            return self.length
        if self._layout.seconds is not None and any(part.segment.hole for part in self._parts):
            return round(self._layout.seconds * self.sample_rate)
        if any(part.frames > MAX_FRAMES for part in self._parts):
            return None
        return round(sum(part.frames * self.sample_rate / part.rate for part in self._parts))

    @property
    def seconds(self) -> float | None:
        """`about` in seconds."""
        return None if self.about is None else self.about / self.sample_rate

    def count(self) -> int:
        """N: where the file does not tell, all of it is decoded.

        Raises:
            AudioError: a pipe, or a damaged file.
        """
        if self.length is not None:
            return self.length
        if self.pipe:
            raise AudioError(f"{self.name} is a pipe, whose length is not known before its end; give a file")
        return sum(block.shape[-1] for block in self.blocks(MAX_BLOCK))

    def blocks(self, size: int, start: int = 0) -> Iterator[Tensor]:
        """The sound in pieces, float32 `[C, n]`, n <= size; each call begins anew, but for a pipe.

        Args:
            size: samples of a block.
            start: the first sample wanted.

        Raises:
            AudioError: the file is damaged or ends before its header says.
        """
        size = max(1, min(size, MAX_BLOCK))
        alone = len(self._parts) == 1
        count, skip = 0, 0 if alone else start
        for part in self._parts:
            blocks = self._decode(part, size, start if alone else 0)
            for block in blocks if alone else self._like_the_first(part, blocks):
                drop = min(skip, block.shape[-1])
                skip -= drop
                if drop < block.shape[-1]:
                    count += block.shape[-1] - drop
                    yield block[:, drop:]
        expected = None if self.length is None else max(0, self.length - start)
        if expected is not None and count != expected:
            raise AudioError(
                f"{self.name} is damaged: of {expected} samples {count} could be read; fetch it again, or "
                "take it out"
            )

    def read(self, start: int = 0, count: int | None = None) -> Tensor:
        """Samples `start` to `start + count - 1`, or to the end: float32 `[C, n]`, in memory for hardly more.

        Args:
            start: the first sample wanted.
            count: how many; None, or more than there are: all.

        Raises:
            AudioError: the file is damaged or ends before its header says.
        """
        guess = (self.about or 0) - start
        room = max(0, guess if count is None else min(guess, count))
        result = torch.empty(self.channels, room if self.length is not None or room <= MAX_GUESS else 0)
        done, more = 0, []
        wanted = MAX_BLOCK if count is None else min(count, MAX_BLOCK)
        for block in self.blocks(wanted, start) if count != 0 else ():
            if count is not None:
                block = block[:, : count - done]
            fits = max(0, min(block.shape[-1], result.shape[-1] - done))
            result[:, done : done + fits] = block[:, :fits]
            if fits < block.shape[-1]:
                more.append(block[:, fits:])
            done += block.shape[-1]
            if count is not None and done >= count:
                break
        if more:
            return torch.cat([result, *more], dim=-1)
        return result if done == result.shape[-1] else result[:, :done].clone()

    def _decode(self, part: _Part, size: int, start: int) -> Iterator[Tensor]:
        """What a decoder makes of a part from a sample on, in blocks `[C, n]`."""
        with ExitStack() as stack:
            file, spliced = self._piped, None
            if file is None:
                file, spliced = self._decoder(part.segment)
                stack.enter_context(file)
            place = _go_to(file, start)
            skip = start - place
            length = part.segment.length if self.length is None else self.length
            while True:
                # No further than to where a file is known to be intact: libsndfile goes on into the damage.
                room = size if length is None else min(size, length - place)
                frames = np.empty((max(0, room), part.channels), dtype=np.float32)
                try:
                    given = len(file.read(out=frames)) if room > 0 else 0
                except soundfile.SoundFileError as error:
                    reason = getattr(error, "error_string", "") or str(error)
                    raise AudioError(
                        f"{self.name} is damaged after {place / part.rate:.2f} s ({reason.rstrip('. ')}); "
                        "fetch it again, or take it out"
                    ) from error
                if spliced is not None and spliced.error is not None:
                    raise spliced.error
                if not given:
                    break
                place += given
                dropped = min(skip, given)
                skip -= dropped
                if dropped < given:
                    yield torch.from_numpy(frames[dropped:given]).T
            if part.segment.length is not None and place < part.segment.length:
                raise AudioError(
                    f"{self.name} is damaged: of {part.segment.length} samples of one of the sounds that it "
                    f"is made of {place} could be read; fetch it again, or take it out"
                )
            told = part.frames * part.channels * SAMPLE_BYTES.get(file.subtype, 1)
            if self.pipe and place < part.frames and told < UNKNOWN_BYTES:
                self.truncated = True
                self._breaks_off(place / part.rate, place / part.frames)

    def _like_the_first(self, part: _Part, blocks: Iterator[Tensor]) -> Iterator[Tensor]:
        """A part of joined files at the rate and with the channels of the first part."""
        resampler = Resampler(part.rate, self.sample_rate, self.channels)
        for block in blocks:
            if part.channels != self.channels and self.channels > 2:
                raise AudioError(
                    f"{self.name} is made of sounds with {self.channels} and {part.channels} channels; "
                    "split it"
                )
            yield resampler.push(mix(block, self.channels))
        yield resampler.flush()

    def _breaks_off(self, there: float, share: float | None) -> None:
        """Tell of a file that breaks off early."""
        told = "its last page is missing" if share is None else "its header tells of "
        if share is not None:
            told += f"{there / share:.2f} s" if share else "more"
        error = TruncatedAudioError(
            f"{self.name} breaks off early: {told}, {there:.2f} s are there; fetch or copy it again, or take "
            "what is there (soundloom encode --allow-truncated, in Python allow_truncated=True)"
        )
        if not self._allow_truncated:
            raise error
        logger.warning("%s breaks off early: %s, %.2f s are there", self.name, told, there)


def _go_to(file: Sequential, start: int) -> int:
    """Go to a sample; returns where the file stands then: there, or at its beginning."""
    if not start:
        return 0
    try:
        return int(file.seek(start))
    except soundfile.SoundFileError:
        return 0


@contextmanager
def open_sound(
    source: SoundSource,
    raw: RawFormat | None = None,
    *,
    allow_truncated: bool = False,
    name: str | None = None,
) -> Iterator[SoundReader]:
    """Open a sound file, its bytes, or a binary stream with a sound in it, to be read in blocks.

    Args:
        source: a path; the bytes of a file; a binary stream that can seek, which is read from its beginning;
            or a pipe with a file descriptor, with wav, au or raw samples in it, of which nothing was read.
        raw: what raw samples are.
        allow_truncated: take what is there of a file that breaks off early, with a warning.
        name: what messages call the source; default: its path.

    Raises:
        FileNotFoundError, IsADirectoryError, PermissionError: as for `read_audio`.
        TruncatedAudioError: the file breaks off early, and `allow_truncated` is off.
        AudioError: no sound, or no known format.
    """
    options: dict[str, Any] = {}
    if raw is not None:
        check_rate(raw.sample_rate, "the raw sample rate")
        options = {
            "samplerate": raw.sample_rate,
            "channels": max(1, raw.channels),
            "format": "RAW",
            "subtype": RAW_SUBTYPES[raw.encoding],
            "endian": "LITTLE",
        }
    with _opened(source) as (called, file, key):
        if isinstance(file, int):
            layout = Layout((Segment(()),))
        elif raw is not None:
            layout = Layout((Segment(((0, file.seek(0, os.SEEK_END)),)),))
        else:
            layout = find_layout(file) if key is None else _known_layout(*key)
        yield SoundReader(file, name or called, layout, options, allow_truncated=allow_truncated)


@contextmanager
def _opened(source: SoundSource) -> Iterator[tuple[str, BinaryIO | int, tuple[str, int, int] | None]]:
    """Name of a source, what to read of it, and for a file what tells it from others."""
    if isinstance(source, (bytes, bytearray, memoryview)):
        yield "the sound", io.BytesIO(source), None
        return
    if not isinstance(source, (str, os.PathLike)):
        check_stream(source, "sound file")
        yield stream_name(source), source if source.seekable() else _descriptor(source), None
        return
    path = check_source(source, "sound file")
    name = str(path).encode("utf-8", "backslashreplace").decode()
    with path.open("rb") as file:
        if not file.seekable():
            yield name, file.fileno(), None
            return
        found = os.stat(file.fileno())
        yield name, file, (str(path), found.st_size, found.st_mtime_ns)


def _descriptor(stream: BinaryIO) -> int:
    try:
        return stream.fileno()
    except OSError:
        raise AudioError(
            f"{stream_name(stream)} can neither seek nor is it a pipe; read it into io.BytesIO first"
        ) from None


@functools.lru_cache(maxsize=4096)
def _known_layout(path: str, size: int, changed: int) -> Layout:
    """The layout of a file, which training reads many times; found anew when its size or time changes."""
    with open(path, "rb") as file:
        return find_layout(file)
