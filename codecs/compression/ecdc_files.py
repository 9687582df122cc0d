"""Sound files to EnCodec's own `.ecdc` files and back, block by block.

EnCodec itself is imported only when there is such a file.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from torch import Tensor

from ...core.audio import AudioError, check_rate, check_sound, mix, resampled_length
from ...core.errors import ArgumentError
from ...core.limiter import CEILING, Limiter, limit_blocks
from ...core.resampler import Resampler, cut
from ...core.sound_reader import SoundReader
from ..base import Codec
from ..ecdc.ecdc_header import EcdcHeader
from ..frames.span import check_part
from .file_report import Decoding
from .loaded_codecs import CodecShelf

if TYPE_CHECKING:
    from ..encodec.model import EnCodec


def check_encodec(codec: Codec, path: Path) -> EnCodec:
    """Return the codec that is to make or read an `.ecdc` file.

    Raises:
        ValueError: it is no EnCodec, or one that these files do not know.
    """
    from ..ecdc.write_ecdc import check_codec
    from ..encodec.model import EnCodec

    if not isinstance(codec, EnCodec):
        raise ArgumentError(
            f"{path}: an .ecdc file holds what EnCodec made, and {codec.name or type(codec).__name__!r} is "
            "another codec; use --codec encodec-24khz or encodec-48khz, or a .loom file"
        )
    check_codec(codec)
    return codec


def encode_ecdc(
    stream: BinaryIO, codec: Codec, codebooks: int, sound: SoundReader, blocks: Iterable[Tensor]
) -> EcdcHeader:
    """Write an `.ecdc` file.

    Args:
        stream: to write to.
        codec: that encodes.
        codebooks: K.
        sound: what is encoded.
        blocks: of the sound, `[C, N]`.

    Raises:
        AudioError: NaN or infinite samples, or a pipe.
    """
    from ..ecdc.write_ecdc import EcdcWriter

    codec = check_encodec(codec, Path(sound.name))
    if sound.pipe:
        raise AudioError(
            f"{sound.name} is a pipe, whose length is not known before its end, and an .ecdc file begins "
            "with the length; write a .loom file, or give the sound as a file"
        )
    resampler = Resampler(sound.sample_rate, codec.sample_rate, sound.channels)
    length = resampled_length(sound.count(), sound.sample_rate, codec.sample_rate)
    writer = EcdcWriter(stream, codec, length, num_codebooks=codebooks)
    for block in blocks:
        check_sound(block, sound.name)
        writer.write(mix(resampler.push(block), codec.channels))
    writer.write(mix(resampler.flush(), codec.channels))
    writer.close()
    return writer.header


def open_ecdc(
    file: BinaryIO,
    shown: str,
    codec: Codec | CodecShelf,
    *,
    start: float | None,
    stop: float | None,
    rate: int | None,
    gain: float = 1.0,
    ceiling: float = CEILING,
) -> Decoding:
    """Get an `.ecdc` file ready for decoding; nothing is fetched, neither codec nor language model.

    Args:
        file: where it stands.
        shown: its name, for messages.
        codec: that decodes, or where it is found.
        start, stop: seconds between which the sound is wanted; all before is decoded too.
        rate: Hz of the result; None: the codec's.
        gain: factor on the sound, which is then limited.
        ceiling: of the limiter.

    Raises:
        EcdcError: a damaged file.
        ContainerError: its codec is not here.
        OSError: its language model is not here.
        ValueError: another codec, or no such part of the sound.
    """
    from ..ecdc.read_ecdc import EcdcReader

    def find(header: EcdcHeader) -> EnCodec:
        if isinstance(codec, CodecShelf):
            return codec.find_encodec(header.codec, shown)
        return check_encodec(codec, Path(shown))

    reader = EcdcReader(file, find, name=shown, local_files_only=True)
    header = reader.header
    wanted = header.sample_rate if rate is None else check_rate(rate)
    check_part(start, stop, header.length / header.sample_rate)
    first = round((start or 0.0) * wanted)
    end = resampled_length(header.length, header.sample_rate, wanted)
    end = end if stop is None else min(end, round(stop * wanted))

    def resampled() -> Iterator[Tensor]:
        resampler = Resampler(header.sample_rate, wanted, header.channels)
        for block in reader:
            yield resampler.push(gain * block.cpu())
        yield resampler.flush()

    # Without a stop the file is read to its end, where too much data is an error.
    limiter = Limiter(wanted, ceiling)
    blocks = cut(limit_blocks(resampled(), limiter), first, lambda: None if stop is None else end)
    return Decoding(header=header, rate=wanted, count=end - first, blocks=blocks, limiter=limiter)
