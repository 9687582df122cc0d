"""Describe a compressed file, and report what encoding or decoding one did."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, cast

from torch import Tensor

from ...core.files import PathOrStream, Tally, open_input
from ...core.limiter import Limiter
from ..container import ContainerReader, Header
from ..container.fields import READ_AHEAD
from ..container.tag_settings import is_tag_setting
from ..ecdc.ecdc_header import EcdcHeader, read_header, starts_ecdc
from ..frames.storage import codebooks_in_words


@dataclass(frozen=True)
class Decoding:
    """A compressed file that is ready to be decoded.

    Attributes:
        header: of the file.
        rate: Hz of what comes out.
        count: samples that will come out; None while unknown.
        blocks: the sound, float32 `[C, N]` each, decoded as they are asked for.
        damaged: what was lost, once all blocks have come; see FileReport.
        other_weights: see FileReport.
        limiter: through which the blocks went.
        tags: of the sound that was encoded.
    """

    header: Header | EcdcHeader
    rate: int
    count: int | None
    blocks: Iterator[Tensor]
    limiter: Limiter
    damaged: Callable[[], list[tuple[int, int, str]]] = list
    other_weights: bool = False
    tags: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class FileReport:
    """What was done.

    Attributes:
        source, destination: names.
        header: of the compressed file.
        seconds: of sound that were encoded or decoded.
        size: bytes of what was written.
        source_channels: of the sound that was encoded; of the file that was decoded.
        gain_reduction: dB, the most that the limiter took off what was beyond full scale while decoding.
        damaged: with `recover`, what was lost: first frame, number of frames, reason.
        other_weights: whether it was decoded with other weights than it was encoded with.
    """

    source: str
    destination: str
    header: Header | EcdcHeader
    seconds: float
    size: int
    source_channels: int
    gain_reduction: float = 0.0
    damaged: list[tuple[int, int, str]] = field(default_factory=list)
    other_weights: bool = False

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
    def tags(self) -> dict[str, str]:
        """Tags of the sound that was encoded."""
        return self.header.tags

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
        what = f"{codebooks_in_words(header.shape[0])} of {header.codebook_size}"
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
            f"  codec   {header.codec}, configuration {header.config_hash}, weights "
            + (header.weights or "unknown"),
            *(f"  {name}  {value}" for name, value in self._settings.items() if name != "weights"),
        ]

    def to_dict(self) -> dict[str, Any]:
        """Everything, ready for JSON."""
        header = asdict(self.header) | {
            "frame_rate": float(self.header.frame_rate),
            "shape": list(self.header.shape),
            "length": self.length,
            "weights": self.header.weights,
            "settings": self._settings,
            "tags": self.tags,
        }
        figures = {
            "frames": self.frames,
            "bytes": self.size,
            "seconds": self.seconds,
            "bitrate": self.bitrate,
        }
        return {"file": self.name, **header, **figures}

    @property
    def _settings(self) -> dict[str, Any]:
        """Those of the codec: tags are told as such."""
        return {name: value for name, value in self.header.settings.items() if not is_tag_setting(name)}


@dataclass(frozen=True)
class EcdcDescription:
    """What an `.ecdc` file says about itself; its codes are not looked at.

    Attributes:
        name: of the file.
        header: of the file.
        size: bytes of the file.
    """

    name: str
    header: EcdcHeader
    size: int

    @property
    def tags(self) -> dict[str, str]:
        """None: the format has no place for them."""
        return {}

    @property
    def length(self) -> int:
        """Samples at `header.sample_rate`."""
        return self.header.length

    @property
    def seconds(self) -> float:
        """Length of the sound."""
        return self.header.length / self.header.sample_rate

    @property
    def bitrate(self) -> float:
        """Bits per second that are really stored, the header included."""
        return 8 * self.size / self.seconds

    def lines(self) -> list[str]:
        """Everything in words, for people."""
        header = self.header
        channels = "mono" if header.channels == 1 else "stereo"
        coder = "coded with a language model" if header.language_model else "packed plainly"
        return [
            self.name,
            f"  sound   {self.seconds:.3f} s, {header.length} samples at {header.sample_rate} Hz, {channels}",
            f"  stored  {codebooks_in_words(header.num_codebooks)} of 1024, {coder}",
            f"  size    {self.size} bytes, {self.bitrate / 1000:.3f} kbit/s",
            f"  codec   {header.codec}, in EnCodec's own format",
        ]

    def to_dict(self) -> dict[str, Any]:
        """Everything, ready for JSON."""
        header = self.header
        return {
            "file": self.name,
            "codec": header.codec,
            "sample_rate": header.sample_rate,
            "channels": header.channels,
            "length": header.length,
            "kind": "codes",
            "shape": [header.num_codebooks],
            "language_model": header.language_model,
            "bytes": self.size,
            "seconds": self.seconds,
            "bitrate": self.bitrate,
        }


def describe_file(source: PathOrStream) -> FileDescription | EcdcDescription:
    """Say what is in a compressed file, without decoding it; of a pipe, everything is read.

    Raises:
        OSError: it cannot be read.
        ContainerError: it is no such file, or damaged.
        EcdcError: the header of an .ecdc file is damaged.
    """
    with open_input(source) as (shown, file):
        tally = Tally(file)
        if starts_ecdc(file):
            stream = cast(BinaryIO, tally)
            found, _ = read_header(stream, shown)
            while not file.seekable() and stream.read(READ_AHEAD):
                pass
            return EcdcDescription(shown, found, tally.total())
        reader = ContainerReader(cast(BinaryIO, tally), name=shown)
        if not file.seekable():
            for _ in reader:
                pass
        assert reader.length is not None
        assert reader.frames is not None
        return FileDescription(shown, reader.header, reader.length, reader.frames, tally.total())


def described_seconds(path: Path, start: float | None = None, stop: float | None = None) -> float:
    """Length of a compressed sound, or of a part of it, in seconds: 0 where it cannot be told."""
    try:
        whole = describe_file(path).seconds
    except (ValueError, OSError):
        return 0.0
    return max(0.0, min(whole, whole if stop is None else stop) - (start or 0.0))
