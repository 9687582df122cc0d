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
from ..core.slug import slug
from .codecs import Codecs
from .input import say_seconds
from .roundtrip import MAX_SECONDS, PageProgress, add_up, never
from .stoppable import Cancel

SUFFIXES = (SUFFIX, ECDC_SUFFIX)


@dataclass
class Restored:
    """A sound from a compressed file.

    Attributes:
        file: wav.
        samples: float32 `[C, N]`.
        sample_rate: Hz.
        codec: name of what made it.
        damaged: it is what was intact of a damaged file.
        lost: seconds of it that are silent, because they were damaged.
        whole: seconds of the sound that was compressed; None: of a damaged file that does not say that.
    """

    file: Path
    samples: Tensor
    sample_rate: int
    codec: str
    damaged: bool = False
    lost: float = 0.0
    whole: float | None = None

    @property
    def seconds(self) -> float:
        """Length of the sound."""
        return self.samples.shape[-1] / self.sample_rate

    @property
    def recovered(self) -> str:
        """How much of a damaged file's sound this is, in words."""
        there = say_seconds(max(0.0, self.seconds - self.lost))
        return f"{there} of {'an unknown length' if self.whole is None else say_seconds(self.whole)}"


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
        target: wav file to write; what was recovered gets a name that says how much of the sound it is.
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
        whole = None if header.length is None else header.length / header.sample_rate
    else:
        found = describe_file(source)
        if isinstance(found.header, EcdcHeader) and found.header.language_model:
            raise EcdcError(
                f"{source.name} was written with a language model, which takes minutes to undo: use "
                "soundloom decode on the command line"
            )
        name, seconds = found.header.codec, found.seconds
        whole = seconds
    codec = codecs.get(name)
    _check_length(source, seconds)
    step = add_up(progress, seconds, 0.0, 0.95, "decompressing", cancel)
    # Of a damaged file nothing tells reliably how long it is.
    done = decode_file(
        source, target, codec, recover=recover, stop=MAX_SECONDS if recover else None, progress=step
    )
    lost = sum(frames for _, frames, _ in done.damaged) / codec.frame_rate
    restored = Restored(target, *read_audio(target), name, bool(done.damaged), lost, whole)
    if restored.damaged:  # so that it is not taken for the whole sound later
        told = f"{target.stem}-{slug(restored.recovered)}-recovered{target.suffix}"
        restored.file = target.rename(target.with_name(told))
    return restored


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
