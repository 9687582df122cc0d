"""Check a compressed file from its first byte to its last, without writing anything."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ...core.errors import SoundloomError
from ...core.files import PathOrStream, open_input
from ...core.progress import Advance
from ..container import ContainerError, ContainerReader
from ..ecdc.ecdc_header import starts_ecdc
from .ecdc_files import open_ecdc
from .loaded_codecs import CodecShelf
from .loom_files import open_loom


class CheckError(SoundloomError, ValueError):
    """A compressed file that decodes to something else than it says."""


@dataclass(frozen=True)
class CheckReport:
    """What was found of a file with nothing wrong.

    Attributes:
        name: of the file.
        seconds: of sound in it.
        decoded: whether it was decoded, too.
        missing: why not, where that was wanted.
    """

    name: str
    seconds: float
    decoded: bool
    missing: str = ""


def check_file(
    source: PathOrStream,
    codecs: CodecShelf | None = None,
    *,
    decode: bool = True,
    progress: Advance | None = None,
) -> CheckReport:
    """Read a file whole: every checksum, the index and the end; then decode it, as far as its codec is here.

    An .ecdc file has no checksums: it is decoded in any case.

    Args:
        source: a .loom or .ecdc file, or a binary stream with one that can seek.
        codecs: where its codec is found; only those on this machine are.
        decode: decode it, too.
        progress: called with the seconds that are done since the last call.

    Raises:
        OSError: it cannot be read.
        ContainerError, EcdcError: it is no such file, damaged, or was made with another codec or other
            weights than are here.
        CheckError: what it decodes to is not as long as it says, or NaN or infinite.
    """
    shelf = codecs or CodecShelf()
    with open_input(source) as (name, file):
        if starts_ecdc(file):
            decoding = open_ecdc(file, name, shelf, start=None, stop=None, rate=None)
            count = sum(_sound(block, name, decoding.rate, progress) for block in decoding.blocks)
            _check_count(name, count, decoding.count)
            return CheckReport(name, count / decoding.rate, True)
        if not file.seekable():
            raise ContainerError(f"{name} is a pipe, and testing reads a file twice; give the file")
        place = file.tell()
        reader = ContainerReader(file, name=name)
        header = reader.header
        for _ in reader:
            pass
        assert reader.length is not None
        assert reader.frames is not None
        seconds = reader.length / header.sample_rate
        if not decode:
            if progress is not None:
                progress(seconds)
            return CheckReport(name, seconds, False)
        try:
            shelf.find(header.codec, name)
        except ContainerError as error:
            return CheckReport(name, seconds, False, missing=str(error))
        file.seek(place)
        decoding = open_loom(file, name, shelf)
        reader.check_claims(reader.frames)
        count = sum(_sound(block, name, decoding.rate, progress) for block in decoding.blocks)
        _check_count(name, count, decoding.count)
        return CheckReport(name, seconds, True)


def _sound(block: Tensor, name: str, rate: int, progress: Advance | None) -> int:
    """Samples of a block that is sound."""
    if not torch.isfinite(block).all():
        raise CheckError(f"{name} decodes to NaN or infinite samples: the codec or the file is damaged")
    if progress is not None:
        progress(block.shape[-1] / rate)
    return block.shape[-1]


def _check_count(name: str, count: int, expected: int | None) -> None:
    if expected is not None and count != expected:
        raise CheckError(f"{name} says {expected} samples and decodes to {count}: it is damaged")
