"""Compress sound files, decompress them, describe them, in memory that does not grow with their length.

    encode_file("a.wav", "a.loom", codec)        decode_file("a.loom", "a.wav")        describe_file("a.loom")

Sources and destinations are paths or binary streams (pipes); what is written appears complete or not at all.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, cast

import torch
from torch import Tensor

from .audio import AudioError, check_destination, resampled_length
from .base import Codec, load_codec
from .compression import (
    BLOCK_SECONDS,
    FrameSource,
    check_codec,
    decode_blocks,
    encode_blocks,
    plan_span,
)
from .container import SUFFIX, ContainerError, ContainerReader, ContainerWriter, Header
from .container_blocks import MIN_BLOCK
from .places import Place, Tally, open_input, open_output
from .soundio import FileWriter, PipeWriter, RawFormat, SoundWriter, open_sound
from .storage import choose_storage, make_header

# Seconds of a pipe that are waited for: it may be a live sound.
LIVE_SECONDS = 0.25
# Called with the seconds of sound that are done since the last call.
Progress = Callable[[float], None]


@dataclass(frozen=True)
class FileReport:
    """What was done.

    Attributes:
        source, destination: names.
        header: of the compressed file.
        seconds: of sound that were encoded or decoded.
        size: bytes of what was written.
        source_channels: of the sound that was encoded; of the file that was decoded.
        clipped: samples beyond full scale that were clipped while decoding.
        damaged: with `recover`, what was lost: first frame, number of frames, reason.
    """

    source: str
    destination: str
    header: Header
    seconds: float
    size: int
    source_channels: int
    clipped: int = 0
    damaged: list[tuple[int, int, str]] = field(default_factory=list)

    @property
    def bitrate(self) -> float:
        """Bits per second of sound of what was written."""
        return 8 * self.size / self.seconds


@dataclass(frozen=True)
class FileDescription:
    """What a compressed file says about itself.

    Attributes:
        name: of the file.
        header: of the file.
        length: samples at `header.sample_rate`.
        frames: number of coded frames.
        size: bytes of the file.
    """

    name: str
    header: Header
    length: int
    frames: int
    size: int

    @property
    def seconds(self) -> float:
        """Length of the sound."""
        return self.length / self.header.sample_rate

    @property
    def bitrate(self) -> float:
        """Bits per second that are really stored, header, checksums and index included."""
        return 8 * self.size / self.seconds if self.length else 0.0

    def lines(self) -> list[str]:
        """Everything in words, for people."""
        header, rate = self.header, float(self.header.frame_rate)
        what = f"{header.shape[0]} codebooks of {header.codebook_size}"
        if header.kind == "latents":
            what = f"latents, {header.shape[0]} of {header.shape[1]} channels, {header.precision}"
        coder = (
            "packed plainly" if header.entropy == "none" else f"{header.entropy} coding where it is smaller"
        )
        channels = "mono" if header.channels == 1 else "stereo"
        return [
            self.name,
            f"  sound   {self.seconds:.3f} s, {self.length} samples at {header.sample_rate} Hz, {channels}",
            f"  stored  {what}, {self.frames} frames, {rate:g} a second, {coder}",
            f"  size    {self.size} bytes, {self.bitrate / 1000:.3f} kbit/s",
            f"  codec   {header.codec}, configuration {header.config_hash}",
            *(f"  {name}  {value}" for name, value in header.settings.items()),
        ]

    def to_dict(self) -> dict[str, Any]:
        """Everything, ready for JSON."""
        header = asdict(self.header) | {
            "frame_rate": float(self.header.frame_rate),
            "shape": list(self.header.shape),
            "length": self.length,
            "settings": dict(self.header.settings),
        }
        figures = {
            "frames": self.frames,
            "bytes": self.size,
            "seconds": self.seconds,
            "bitrate": self.bitrate,
        }
        return {"file": self.name, **header, **figures}


class CodecShelf:
    """Finds the codecs of compressed files by the name in their headers, and loads each only once.

    Only what is on this machine is loaded: a file must not make its reader fetch a model.

    Args:
        device: where the codecs go.
    """

    def __init__(self, device: str = "cpu") -> None:
        self._device = device
        self._codecs: dict[str, Codec] = {}
        self._lock = threading.Lock()

    def find(self, header: Header, source: str) -> Codec:
        """The codec that made a file.

        Raises:
            ContainerError: it is not here; the message has the fix.
        """
        with self._lock:
            if header.codec not in self._codecs:
                try:
                    codec: Any = load_codec(header.codec, local_files_only=True)
                except (ValueError, OSError, ImportError) as error:
                    raise ContainerError(
                        f"{source} was made with the codec {header.codec!r}, which is not here ({error}); "
                        "give it: --codec FOLDER or NAME, in Python codec=load_codec(…)"
                    ) from error
                self._codecs[header.codec] = codec.to(self._device)
            return self._codecs[header.codec]


def encode_file(
    source: Place,
    destination: Place,
    codec: Codec,
    *,
    bitrate: float | None = None,
    codebooks: int | None = None,
    precision: str | None = None,
    entropy: str = "auto",
    raw: RawFormat | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> FileReport:
    """Compress a sound file of any length, sample rate and channel count; see `Codec.compress` for the rules.

    Args:
        source: a sound file, or a stream with one; see `open_sound`.
        destination: a file name that ends in .loom, or a binary stream.
        codec: that encodes.
        bitrate, codebooks, precision, entropy: as in `Codec.compress`.
        raw: what the samples are, for a source without a header.
        force: replace an existing file.
        progress: called with the seconds that are done since the last call.

    Raises:
        FileExistsError: the destination exists and `force` is off, or it is the source itself.
        OSError: something cannot be read or written.
        AudioError: the source holds no sound, a damaged one, or NaN or infinite samples.
        ValueError: settings that the codec does not have.
    """
    storage = choose_storage(codec, bitrate=bitrate, codebooks=codebooks, precision=precision)
    if isinstance(destination, (str, os.PathLike)):
        check_loom(destination)
    with open_sound(source, raw) as sound:
        if sound.length == 0:
            raise AudioError(f"{sound.name} holds 0 samples; use a file that is not empty")
        header = make_header(
            codec,
            storage,
            sample_rate=sound.sample_rate,
            channels=sound.channels,
            length=sound.length,
            entropy=entropy,
        )
        count = 0

        def blocks() -> Iterator[Tensor]:
            nonlocal count
            size = (LIVE_SECONDS if sound.pipe else BLOCK_SECONDS) * sound.sample_rate
            for block in sound.blocks(max(1, round(size))):
                yield block
                count += block.shape[-1]
                if progress is not None:
                    progress(block.shape[-1] / sound.sample_rate)

        with open_output(destination, source, force=force) as (name, stream):
            tally = Tally(stream)
            writer = ContainerWriter(cast(BinaryIO, tally), header)
            for frames in encode_blocks(codec, header, blocks(), source=sound.name):
                writer.write(frames)
            writer.close(count)
        return FileReport(
            source=sound.name,
            destination=name,
            header=writer.header,
            seconds=count / sound.sample_rate,
            size=tally.size,
            source_channels=sound.channels,
        )


def decode_file(
    source: Place,
    destination: Place,
    codec: Codec | CodecShelf | None = None,
    *,
    start: float | None = None,
    stop: float | None = None,
    sample_rate: int | None = None,
    raw: RawFormat | None = None,
    recover: bool = False,
    force: bool = False,
    progress: Progress | None = None,
) -> FileReport:
    """Decompress a file to the sample rate, channels and exact length that its sound had.

    Args:
        source: a .loom file, or a binary stream with one.
        destination: a file name that ends in .wav, .flac, .ogg or .mp3, or a binary stream, which gets 16 bit
            wav.
        codec: that made the file; None or a CodecShelf: the one that the file names, if it is on this
            machine.
        start, stop: seconds between which the sound is wanted; a file is then decoded only there.
        sample_rate: Hz of the result; None: that of the sound that was encoded.
        raw: what a stream gets instead of wav.
        recover: keep what is intact of a damaged file; what is lost becomes silence.
        force: replace an existing file.
        progress: called with the seconds that are done since the last call.

    Raises:
        FileExistsError: the destination exists and `force` is off, or it is the source itself.
        OSError: something cannot be read or written.
        ContainerError: the source is no such file, damaged, or made with another codec.
        AudioError: the destination's format does not take the sound.
        ValueError: no such part of the sound.
    """
    if isinstance(destination, (str, os.PathLike)):
        check_destination(destination, force=force)
    with open_input(source) as (shown, file):
        tally_in = Tally(file)
        reader = ContainerReader(cast(BinaryIO, tally_in), name=shown, recover=recover)
        header = reader.header
        if codec is None or isinstance(codec, CodecShelf):
            codec = (codec or CodecShelf()).find(header, shown)
        check_codec(codec, header, shown)
        span = plan_span(codec, header, start, stop, sample_rate)
        blocks = decode_blocks(
            codec,
            header,
            _frames(reader, tally_in),
            lambda: reader.length,
            span,
            source=shown,
            partial=recover,
        )
        known = reader.length
        count = None
        if known is not None and not recover:
            count = resampled_length(known, header.sample_rate, span.rate)
            count = (count if span.stop is None else min(count, span.stop)) - span.first
        with open_output(destination, source, force=force) as (name, stream):
            tally = Tally(stream)
            writer: SoundWriter
            shape: dict[str, Any] = {"sample_rate": span.rate, "channels": header.channels}
            if isinstance(destination, (str, os.PathLike)):
                suffix = Path(destination).suffix.lower()
                partial = Path(stream.name)
                to_file = FileWriter(partial, suffix, shown=Path(destination), **shape)
                done = _write(to_file, blocks, span.rate, progress)
                to_file.close()
                writer, size = to_file, partial.stat().st_size
            else:
                shape["length"] = count
                writer = PipeWriter(cast(BinaryIO, tally), raw=raw, **shape)
                done = _write(writer, blocks, span.rate, progress)
                size = tally.size
        return FileReport(
            source=shown,
            destination=name,
            header=header,
            seconds=done / span.rate,
            size=size,
            source_channels=header.channels,
            clipped=writer.clipped,
            damaged=list(reader.damaged),
        )


def describe_file(source: Place) -> FileDescription:
    """Say what is in a compressed file, without decoding it; of a pipe, everything is read.

    Raises:
        OSError: it cannot be read.
        ContainerError: it is no such file, or damaged.
    """
    with open_input(source) as (shown, file):
        tally = Tally(file)
        reader = ContainerReader(cast(BinaryIO, tally), name=shown)
        if not file.seekable():
            for _ in reader:
                pass
        assert reader.length is not None and reader.frames is not None
        return FileDescription(shown, reader.header, reader.length, reader.frames, tally.total())


def sound_seconds(path: Path, raw: RawFormat | None = None) -> float:
    """Length of a sound file in seconds, for a progress bar: 0 where it cannot be told."""
    try:
        with open_sound(path, raw) as sound:
            return sound.seconds or 0.0
    except (ValueError, OSError):
        return 0.0


def described_seconds(path: Path, start: float | None = None, stop: float | None = None) -> float:
    """Length of a compressed sound, or of a part of it, in seconds: 0 where it cannot be told."""
    try:
        whole = describe_file(path).seconds
    except (ValueError, OSError):
        return 0.0
    return max(0.0, min(whole, whole if stop is None else stop) - (start or 0.0))


def check_loom(path: str | os.PathLike[str]) -> None:
    """Raise ContainerError unless a path has the suffix of compressed files."""
    if Path(path).suffix.lower() != SUFFIX:
        raise ContainerError(
            f"{path} does not end in {SUFFIX}, as compressed files do; name it {Path(path).stem}{SUFFIX}"
        )


def _write(writer: SoundWriter, blocks: Iterable[Tensor], rate: int, progress: Progress | None) -> int:
    """Write all blocks; returns the number of samples."""
    done = 0
    for block in blocks:
        writer.write(block)
        done += block.shape[-1]
        if progress is not None:
            progress(block.shape[-1] / rate)
    return done


def _frames(reader: ContainerReader, tally: Tally) -> FrameSource:
    """Frames of a file from any frame on."""
    size = reader.header.frames_per_chunk

    def frames(first: int) -> Iterator[tuple[int, Tensor]]:
        if reader.recover or reader.frames is None:  # in order, and what lies before goes unused
            known = 0
            for number, chunk in reader.chunks():
                check_gap(known, number)
                known = number + chunk.shape[1 if reader.header.kind == "codes" else 0]
                yield number, chunk
            if reader.frames is not None:
                check_gap(known, reader.frames)
                shape = reader.header.shape
                yield reader.frames, torch.zeros(*shape, 0) if len(shape) == 1 else torch.zeros(0, *shape)
            return
        while first < reader.frames:
            stop = min(first // size * size + size, reader.frames)
            yield first, reader.read(first, stop)
            first = stop

    def check_gap(known: int, number: int) -> None:
        """A lost chunk was some bytes at least: a made-up number must not make days of silence."""
        if (number - known) // size * MIN_BLOCK > tally.total():
            raise ContainerError(
                f"{reader.name}: frames {known} to {number} are missing, more than the file can have held"
            )

    return frames
