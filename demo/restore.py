"""Decode a compressed file that was uploaded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from ..codecs.compression import decode_file, describe_file
from ..codecs.container import SUFFIX, ContainerError
from ..codecs.ecdc.ecdc_header import SUFFIX as ECDC_SUFFIX
from ..codecs.ecdc.ecdc_header import EcdcError, EcdcHeader
from ..core.audio import read_audio
from .codecs import Codecs
from .input import say_seconds
from .roundtrip import MAX_SECONDS, PageProgress, add_up

SUFFIXES = (SUFFIX, ECDC_SUFFIX)


@dataclass
class Restored:
    """A sound from a compressed file.

    Attributes:
        samples: float32 `[C, N]`.
        sample_rate: Hz.
        codec: name of what made it.
    """

    samples: Tensor
    sample_rate: int
    codec: str

    @property
    def seconds(self) -> float:
        """Length of the sound."""
        return self.samples.shape[-1] / self.sample_rate


def restore(source: Path, target: Path, codecs: Codecs, progress: PageProgress) -> Restored:
    """Decode a compressed file with the codec that it names, if that codec is on offer.

    Args:
        source: told by its first bytes, not by its name; a sound of at most `MAX_SECONDS`.
        target: wav file to write.
        codecs: what may decode it; nothing is fetched because a file says so.
        progress: called on the way.

    Raises:
        ValueError: no such file, a damaged one, one that is too long, or a codec that is not on offer.
        OSError: a file cannot be read or written.
    """
    progress(0.0, "reading")
    found = describe_file(source)
    if isinstance(found.header, EcdcHeader) and found.header.language_model:
        raise EcdcError(
            f"{source.name} was written with a language model, which takes minutes to undo: use soundloom "
            "decode on the command line"
        )
    codec = codecs.get(found.header.codec)
    _check_length(source, found.seconds)
    decode_file(source, target, codec, progress=add_up(progress, found.seconds, 0.0, 0.95, "decompressing"))
    return Restored(*read_audio(target), found.header.codec)


def _check_length(source: Path, seconds: float) -> None:
    if seconds > MAX_SECONDS:
        raise ContainerError(
            f"{source.name} holds {say_seconds(seconds)} of sound; here at most {say_seconds(MAX_SECONDS)} "
            "are opened: use soundloom decode on the command line"
        )
