"""Decode a compressed file that was uploaded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from ..codecs.compression import decode_file, describe_file
from ..codecs.container import SUFFIX, ContainerError, ContainerReader
from ..codecs.container.reader import FIX
from ..codecs.ecdc.ecdc_header import SUFFIX as ECDC_SUFFIX
from ..codecs.ecdc.ecdc_header import EcdcError, EcdcHeader
from ..core.audio import read_audio
from .codecs import Codecs
from .input import say_seconds
from .roundtrip import MAX_SECONDS, PageProgress, add_up, never
from .stoppable import Cancel

SUFFIXES = (SUFFIX, ECDC_SUFFIX)


@dataclass
class Restored:
    """A sound from a compressed file.

    Attributes:
        samples: float32 `[C, N]`.
        sample_rate: Hz.
        codec: name of what made it.
        lost: seconds of a damaged file that were lost.
    """

    samples: Tensor
    sample_rate: int
    codec: str
    lost: float = 0.0

    @property
    def seconds(self) -> float:
        """Length of the sound."""
        return self.samples.shape[-1] / self.sample_rate


def restore(
    source: Path,
    target: Path,
    codecs: Codecs,
    progress: PageProgress,
    cancel: Cancel = never,
    *,
    recover: bool = False,
) -> Restored:
    """Decode a compressed file with the codec that it names, if that codec is on offer.

    Args:
        source: told by its first bytes, not by its name; a sound of at most `MAX_SECONDS`.
        target: wav file to write.
        codecs: what may decode it; nothing is fetched because a file says so.
        progress: called on the way.
        cancel: asked on the way whether to stop.
        recover: keep what is intact of a damaged .loom file.

    Raises:
        ValueError: no such file, a damaged one, one that is too long, or a codec that is not on offer; see
            `can_recover`.
        OSError: a file cannot be read or written.
        Stopped: `cancel` said so.
    """
    progress(0.0, "reading")
    if recover:
        with source.open("rb") as file:
            header = ContainerReader(file, name=source.name, recover=True).header
        name, seconds = header.codec, MAX_SECONDS
    else:
        found = describe_file(source)
        if isinstance(found.header, EcdcHeader) and found.header.language_model:
            raise EcdcError(
                f"{source.name} was written with a language model, which takes minutes to undo: use "
                "soundloom decode on the command line"
            )
        name, seconds = found.header.codec, found.seconds
    codec = codecs.get(name)
    _check_length(source, seconds)
    step = add_up(progress, seconds, 0.0, 0.95, "decompressing", cancel)
    # Of a damaged file nothing tells reliably how long it is.
    done = decode_file(
        source, target, codec, recover=recover, stop=MAX_SECONDS if recover else None, progress=step
    )
    lost = sum(frames for _, frames, _ in done.damaged) / codec.frame_rate
    return Restored(*read_audio(target), name, lost)


def can_recover(error: Exception) -> bool:
    """Whether a .loom file is damaged, but may hold something that is intact."""
    return isinstance(error, ContainerError) and FIX in str(error)


def without_remedy(error: Exception) -> str:
    """What is wrong, without the remedy that the page itself offers."""
    return str(error).replace(f"; {FIX}", "").replace(FIX, "").rstrip(" :;,.") + "."


def _check_length(source: Path, seconds: float) -> None:
    if seconds > MAX_SECONDS:
        raise ContainerError(
            f"{source.name} holds {say_seconds(seconds)} of sound; here at most {say_seconds(MAX_SECONDS)} "
            "are opened: use soundloom decode on the command line"
        )
