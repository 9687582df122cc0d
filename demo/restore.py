"""Opening a compressed file that somebody dropped on the page."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ..codecs._torchaudio import import_encodec
from ..codecs.audio import read_audio, write_audio
from ..codecs.container import SUFFIX, ContainerError
from ..codecs.ecdc import MODELS, EcdcError, EcdcReader
from ..codecs.encodec import EnCodec
from ..codecs.files import decode_file, describe_file
from .codecs import Codecs
from .input import say_seconds
from .roundtrip import MAX_SECONDS, Progress, add_up

SUFFIXES = (SUFFIX, ".ecdc")


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


def restore(source: Path, target: Path, codecs: Codecs, progress: Progress) -> Restored:
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
    with source.open("rb") as stream:
        magic = stream.read(4)
    if magic == b"ECDC":
        return _restore_ecdc(source, target, codecs)
    found = describe_file(source)
    codec = codecs.get(found.header.codec)
    _check_length(source, found.seconds)
    decode_file(source, target, codec, progress=add_up(progress, found.seconds, 0.0, 0.95, "decompressing"))
    return Restored(*read_audio(target), found.header.codec)


def _restore_ecdc(source: Path, target: Path, codecs: Codecs) -> Restored:
    reader, name = _open_ecdc(source, codecs)
    rate = reader.codec.sample_rate
    _check_length(source, reader.header.length / rate)
    with reader.stream:
        samples = torch.cat(list(reader), dim=-1).cpu()
    write_audio(target, samples, rate)
    return Restored(samples, rate, name)


def _open_ecdc(source: Path, codecs: Codecs) -> tuple[EcdcReader, str]:
    """A reader with an open stream, and the name of its codec."""
    model, language_model = _peek(source)
    name = MODELS.get(model)
    if name is None:
        raise EcdcError(f"{source.name}: byte 0: no header of an .ecdc file follows; get the file again")
    if language_model:
        raise EcdcError(
            f"{source.name} was written with a language model, which takes minutes to undo; open it in "
            "Python with soundloom.codecs.ecdc.read_ecdc"
        )
    codec = codecs.get(name)
    assert isinstance(codec, EnCodec)
    stream = source.open("rb")
    try:
        return EcdcReader(stream, codec, name=source.name), name
    except BaseException:
        stream.close()
        raise


def _peek(source: Path) -> tuple[str, bool]:
    """Model and language model that an .ecdc file tells of; EcdcReader checks the rest."""
    try:
        with source.open("rb") as stream:
            fields = import_encodec().binary.read_ecdc_header(stream)
        return str(fields["m"]), bool(fields["lm"])
    except (ValueError, EOFError, KeyError, TypeError, RecursionError):
        return "", False


def _check_length(source: Path, seconds: float) -> None:
    if seconds > MAX_SECONDS:
        raise ContainerError(
            f"{source.name} holds {say_seconds(seconds)} of sound; here at most {say_seconds(MAX_SECONDS)} "
            "are opened: use soundloom decode on the command line"
        )
