"""Compress one sound file or pipe."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, TypedDict, Unpack, cast

import numpy as np
import torch
from torch import Tensor

from ...core.audio import AudioError
from ...core.errors import ArgumentError
from ...core.files import PathOrStream, SoundSource, Tally, open_output
from ...core.progress import Advance
from ...core.raw_format import RawFormat
from ...core.sound_reader import open_sound
from ...core.sound_tags import generated_mark, read_tags
from ..base import Codec
from ..container import SUFFIX, ContainerError, ContainerWriter, Header
from ..container.verify import verify_frames
from ..ecdc.ecdc_header import SUFFIX as ECDC_SUFFIX
from ..ecdc.ecdc_header import EcdcHeader
from ..frames.encode_frames import BLOCK_SECONDS, encode_blocks
from ..frames.level import LevelMatch, match_level
from ..frames.storage import choose_storage, make_header
from .ecdc_files import check_encodec, encode_ecdc
from .file_report import FileReport

# Seconds of a pipe that are waited for: it may be a live sound.
LIVE_SECONDS = 0.25


class Rate(TypedDict, total=False):
    """How much of a sound is kept, as in `Codec.compress`."""

    bitrate: float | None
    codebooks: int | None
    precision: str | None


def encode_file(
    source: SoundSource,
    destination: PathOrStream,
    codec: Codec,
    *,
    entropy: str = "auto",
    raw: RawFormat | None = None,
    allow_truncated: bool = False,
    level: bool = True,
    metadata: bool = True,
    verify: bool = False,
    force: bool = False,
    progress: Advance | None = None,
    **rate: Unpack[Rate],
) -> FileReport:
    """Compress a sound file of any length, sample rate and channel count; see `Codec.compress` for the rules.

    An .ecdc file, EnCodec's own, holds the sound at the codec's rate and channels.

    Args:
        source: a sound file, its bytes, or a stream with them; see `open_sound`. For an .ecdc file, no pipe.
        destination: a file name that ends in .loom, or in .ecdc if the codec is an EnCodec; or a binary
            stream, which gets the content of a .loom file.
        codec: that encodes.
        entropy: as in `Codec.compress`.
        raw: what the samples are, for a source without a header.
        allow_truncated: compress what is there of a file that breaks off early, with a warning.
        level: as in `Codec.compress`; not for pipes, which are passed on while they come in, nor in .ecdc
            files.
        metadata: keep the tags of a sound file (title, artist, comment); without, only that it says that it
            was generated. Pipes and .ecdc files have none.
        verify: read a .loom file again before it gets its name, and compare its frames with those encoded.
        force: replace an existing file.
        progress: called with the seconds that are done since the last call.
        rate: `bitrate`, `codebooks` and `precision`, as in `Codec.compress`.

    Raises:
        FileExistsError: the destination exists and `force` is off, or it is the source itself.
        OSError: something cannot be read or written.
        TruncatedAudioError: the source breaks off early, and `allow_truncated` is off.
        AudioError: the source holds no sound, a damaged one, NaN or infinite samples, or samples on the scale
            of integers.
        ValueError: settings that the codec does not have, or to verify what goes to a pipe or is no .loom.
        ContainerError: what was written is not what was encoded.
    """
    storage = choose_storage(codec, **rate)
    to_ecdc = isinstance(destination, (str, os.PathLike)) and _is_ecdc(destination, codec)
    if verify and (to_ecdc or not isinstance(destination, (str, os.PathLike))):
        raise ArgumentError(
            "only .loom files are verified while they are made, neither pipes nor .ecdc files; test the "
            "finished file (soundloom test FILE)"
        )
    with open_sound(source, raw, allow_truncated=allow_truncated) as sound:
        if sound.length == 0:
            raise AudioError(f"{sound.name} holds 0 samples; use a file that is not empty")
        tags = {} if sound.pipe or raw is not None or to_ecdc else read_tags(source)
        tags.pop("software", None)  # it tells of the file, not of the sound
        tags = tags if metadata else generated_mark(tags)
        count = 0

        def blocks() -> Iterator[Tensor]:
            nonlocal count
            size = (LIVE_SECONDS if sound.pipe else BLOCK_SECONDS) * sound.sample_rate
            for block in sound.blocks(max(1, round(size))):
                yield block
                count += block.shape[-1]
                if progress is not None:
                    progress(block.shape[-1] / sound.sample_rate)

        written: list[Tensor] = []
        with open_output(destination, source, force=force) as (name, stream):
            tally = Tally(stream)
            header: Header | EcdcHeader
            if to_ecdc:
                header = encode_ecdc(cast(BinaryIO, tally), codec, storage.shape[0], sound, blocks())
            else:
                header = make_header(
                    codec,
                    storage,
                    sample_rate=sound.sample_rate,
                    channels=sound.channels,
                    length=sound.length,
                    entropy=entropy,
                ).with_tags(tags, sound.name)
                match = LevelMatch(codec, header) if level and not sound.pipe else None
                encoded = encode_blocks(codec, header, blocks(), source=sound.name, match=match)
                if match is not None:
                    header, encoded = _matched(header, encoded, match)
                writer = ContainerWriter(cast(BinaryIO, tally), header)
                for frames in encoded:
                    writer.write(frames)
                    if verify:
                        written.append(frames.detach().cpu())
                writer.close(count)
                if verify:
                    stream.flush()
                    with open(stream.name, "rb") as file:
                        verify_frames(file, written, name=name)
        return FileReport(
            source=sound.name,
            destination=name,
            header=header,
            seconds=count / sound.sample_rate,
            size=tally.size,
            source_channels=sound.channels,
        )


def _matched(header: Header, encoded: Iterator[Tensor], match: LevelMatch) -> tuple[Header, Iterator[Tensor]]:
    """The header with the gain, which stands before the frames but is known after them, and the frames."""
    kept = tempfile.TemporaryFile()  # noqa: SIM115  (closed by `again`)
    count = 0
    try:
        for frames in encoded:
            np.save(kept, frames.numpy(), allow_pickle=False)
            count += 1
    except BaseException:
        kept.close()
        raise

    def again() -> Iterator[Tensor]:
        with kept:
            kept.seek(0)
            for _ in range(count):
                yield torch.from_numpy(np.load(kept, allow_pickle=False))

    return match_level(header, match), again()


def sound_seconds(path: Path, raw: RawFormat | None = None) -> float:
    """Length of a sound file in seconds, for a progress bar: 0 where it cannot be told."""
    try:
        with open_sound(path, raw) as sound:
            return sound.seconds or 0.0
    except (ValueError, OSError):
        return 0.0


def _is_ecdc(path: str | os.PathLike[str], codec: Codec) -> bool:
    """Whether a compressed file is to be an `.ecdc` file.

    Raises:
        ContainerError: neither that nor a .loom file.
        ValueError: an .ecdc file, and the codec is no EnCodec.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in (SUFFIX, ECDC_SUFFIX):
        raise ContainerError(
            f"{path} does not end in {SUFFIX} or {ECDC_SUFFIX}, as compressed files do; name it "
            f"{path.stem}{SUFFIX}"
        )
    if suffix == ECDC_SUFFIX:
        check_encodec(codec, path)
    return suffix == ECDC_SUFFIX
