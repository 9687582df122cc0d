"""Decompress one file or pipe, or a part of it, or what is left of a damaged one."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

from ...core.audio import check_destination, check_subtype
from ...core.audio_blocks import FileWriter, PipeWriter, SoundWriter
from ...core.errors import ArgumentError
from ...core.files import PathOrStream, Tally, open_input, open_output
from ...core.limiter import CEILING
from ...core.loudness import LoudnessMeter, check_loudness, loudness_gain
from ...core.progress import Advance
from ...core.raw_format import RawFormat
from ...core.sound_tags import generated_mark
from ..base import Codec
from ..ecdc.ecdc_header import EcdcError, starts_ecdc
from .ecdc_files import open_ecdc
from .file_report import Decoding, FileReport
from .loaded_codecs import CodecShelf
from .loom_files import open_loom

UNLIMITED = 1e30  # a ceiling that no sound reaches


@dataclass(frozen=True, kw_only=True)
class SoundOutput:
    """How the sound of a compressed file is written.

    Attributes:
        sample_rate: Hz; None: that of the sound that was encoded.
        loudness: integrated, LUFS (ITU-R BS.1770); the sound is decoded twice, and a pipe cannot be. None: as
            it was.
        subtype: encoding of the samples in a file or a wav, see `write_audio`; None: the format's.
        raw: what a stream gets instead of wav.
        metadata: give it the tags of the sound that was encoded; without, only the mark of a generated one.
    """

    sample_rate: int | None = None
    loudness: float | None = None
    subtype: str | None = None
    raw: RawFormat | None = None
    metadata: bool = True

    def __post_init__(self) -> None:
        if self.loudness is not None:
            check_loudness(self.loudness)
        if self.raw is not None and self.subtype is not None:
            raise ArgumentError(
                f"subtype is {self.subtype!r}, but raw samples are {self.raw.encoding}: leave one of them out"
            )

    def tags(self, decoding: Decoding) -> dict[str, str]:
        """The tags that go with a sound."""
        return decoding.tags if self.metadata else generated_mark(decoding.tags)


def decode_file(
    source: PathOrStream,
    destination: PathOrStream,
    codec: Codec | CodecShelf | None = None,
    *,
    start: float | None = None,
    stop: float | None = None,
    recover: bool = False,
    any_weights: bool = False,
    force: bool = False,
    progress: Advance | None = None,
    **output: Any,
) -> FileReport:
    """Decompress a file to the sample rate, channels and exact length that its sound had.

    An .ecdc file does not say that: its sound has the codec's. What is beyond full scale is limited.

    Args:
        source: a .loom or .ecdc file, or a binary stream with one, told by its first bytes.
        destination: a file name that ends in .wav, .flac, .ogg or .mp3, or a binary stream, which gets wav.
        codec: that made the file; None or a CodecShelf: the one that the file names, if it is on this
            machine.
        start, stop: seconds between which the sound is wanted; a .loom file is then decoded only there.
        recover: keep what is intact of a damaged file; what is lost becomes silence, as far as a file of that
            size can have held it.
        any_weights: decode also with other weights of the codec than those that made the file: as it was
            trained again since, it may make noise of it.
        force: replace an existing file.
        progress: called with the seconds that are done since the last call.
        output: fields of `SoundOutput` by name: sample_rate, loudness, subtype, raw, metadata.

    Raises:
        FileExistsError: the destination exists and `force` is off, or it is the source itself.
        OSError: something cannot be read or written.
        ContainerError: the source is no such file, damaged, or made with another codec or other weights.
        EcdcError: an .ecdc file is damaged, or `recover` was asked for.
        AudioError: the destination's format does not take the sound.
        ValueError: no such part of the sound, a loudness outside -70 to 0 LUFS, or one for a pipe.
    """
    wanted = SoundOutput(**output)
    if isinstance(destination, (str, os.PathLike)):
        check_destination(destination, force=force, subtype=wanted.subtype)
    else:
        check_subtype(".wav", wanted.subtype)
    with open_input(source) as (shown, file):
        shelf = codec if isinstance(codec, CodecShelf) else CodecShelf()
        chosen = None if isinstance(codec, CodecShelf) else codec
        part: dict[str, Any] = {"start": start, "stop": stop, "rate": wanted.sample_rate}
        is_ecdc = starts_ecdc(file)
        if is_ecdc and recover:
            raise EcdcError(
                f"{shown} is an .ecdc file, which has no checks by which its intact parts could be told: "
                "leave out --recover (in Python recover=True)"
            )

        def open_sound(gain: float = 1.0, ceiling: float = CEILING) -> Decoding:
            loud: dict[str, Any] = {"gain": gain, "ceiling": ceiling}
            if is_ecdc:
                return open_ecdc(file, shown, chosen or shelf, **part, **loud)
            return open_loom(
                file, shown, chosen or shelf, recover=recover, any_weights=any_weights, **part, **loud
            )

        if wanted.loudness is None:
            decoding = open_sound()
        else:
            if not file.seekable():
                raise ArgumentError(
                    f"{shown} is a pipe, and the loudness of a sound is known at its end: give a file, or "
                    "leave the loudness out"
                )
            place = file.tell()
            decoding = open_sound(ceiling=UNLIMITED)  # limited once it has its loudness
            meter = LoudnessMeter(decoding.rate)
            for block in decoding.blocks:
                meter.push(block)
            file.seek(place)
            decoding = open_sound(loudness_gain(meter.integrated(), wanted.loudness))
        with open_output(destination, source, force=force) as (name, stream):
            tally = Tally(stream)
            writer: SoundWriter
            shape: dict[str, Any] = {"sample_rate": decoding.rate, "channels": decoding.header.channels}
            shape |= {"subtype": wanted.subtype, "tags": wanted.tags(decoding)}
            if isinstance(destination, (str, os.PathLike)):
                suffix = Path(destination).suffix.lower()
                partial = Path(stream.name)
                to_file = FileWriter(partial, suffix, shown=Path(destination), **shape)
                done = _write(to_file, decoding, progress)
                to_file.close()
                writer, size = to_file, partial.stat().st_size
            else:
                shape["length"] = decoding.count
                writer = PipeWriter(cast(BinaryIO, tally), raw=wanted.raw, **shape)
                done = _write(writer, decoding, progress)
                size = tally.size
        return FileReport(
            source=shown,
            destination=name,
            header=decoding.header,
            seconds=done / decoding.rate,
            size=size,
            source_channels=decoding.header.channels,
            gain_reduction=decoding.limiter.gain_reduction,
            damaged=decoding.damaged(),
            other_weights=decoding.other_weights,
        )


def _write(writer: SoundWriter, decoding: Decoding, progress: Advance | None) -> int:
    """Write the whole sound; returns the number of samples."""
    done = 0
    for block in decoding.blocks:
        writer.write(block)
        done += block.shape[-1]
        if progress is not None:
            progress(block.shape[-1] / decoding.rate)
    return done
