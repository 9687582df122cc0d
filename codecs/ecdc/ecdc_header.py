"""The header of an `.ecdc` file, read without loading any model.

Magic `ECDC`, version 0, size of what follows as uint32, big-endian; then JSON: `m` model, `al` samples, `nc`
codebooks, `lm` whether a language model was used.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from typing import BinaryIO

from ...core._torchaudio import import_encodec
from ...core.errors import SoundloomError

SUFFIX = ".ecdc"
MAGIC = b"ECDC"
VERSION = 0
PREFIX = struct.Struct("!4sBI")
# The package's own headers have about 60 bytes.
MAX_HEADER = 4096
# `m` -> name that load_codec takes, Hz, channels.
MODELS = {"encodec_24khz": ("encodec-24khz", 24000, 1), "encodec_48khz": ("encodec-48khz", 48000, 2)}


class EcdcError(SoundloomError, ValueError):
    """An `.ecdc` file that cannot be read; the message says file, byte offset, what is wrong and the fix."""

    @classmethod
    def at(cls, name: str, offset: int, what: str) -> EcdcError:
        """What is wrong at a byte of a file."""
        return cls(f"{name}: byte {offset}: {what}; get the file again")


@dataclass(frozen=True)
class EcdcHeader:
    """What an `.ecdc` file says about itself.

    Attributes:
        model: "encodec_24khz" or "encodec_48khz".
        length: samples of the sound at the model's rate.
        num_codebooks: K.
        language_model: whether the codes were coded with a language model.
    """

    model: str
    length: int
    num_codebooks: int
    language_model: bool

    @property
    def codec(self) -> str:
        """What `load_codec` takes."""
        return MODELS[self.model][0]

    @property
    def sample_rate(self) -> int:
        """Hz of the sound, the model's."""
        return MODELS[self.model][1]

    @property
    def channels(self) -> int:
        """Channels of the sound, the model's."""
        return MODELS[self.model][2]


def write_header(stream: BinaryIO, header: EcdcHeader) -> None:
    """Write a header, as the package does."""
    fields = {
        "m": header.model,
        "al": header.length,
        "nc": header.num_codebooks,
        "lm": header.language_model,
    }
    import_encodec().binary.write_ecdc_header(stream, fields)


def read_header(stream: BinaryIO, name: str) -> tuple[EcdcHeader, int]:
    """Read a header from where a stream stands; also returns its size in bytes.

    The package's own reader believes any size, and does not say what is wrong where.

    Raises:
        EcdcError: no such file, or a hostile or damaged header.
    """
    prefix = read_fully(stream, PREFIX.size)
    if len(prefix) < PREFIX.size:
        raise EcdcError.at(name, len(prefix), "the file ends inside its header; it is truncated")
    magic, version, size = PREFIX.unpack(prefix)
    if magic != MAGIC:
        raise EcdcError.at(name, 0, f"it begins with {magic!r}, not {MAGIC!r}: this is no .ecdc file")
    if version != VERSION:
        raise EcdcError.at(name, 4, f"the format's version is {version}; only {VERSION} can be read")
    if not 2 <= size <= MAX_HEADER:
        raise EcdcError.at(name, 5, f"the header has {size} bytes; 2 to {MAX_HEADER} are allowed")
    content = read_fully(stream, size)
    if len(content) < size:
        raise EcdcError.at(
            name, PREFIX.size + len(content), "the file ends inside its header; it is truncated"
        )
    try:
        fields = json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise EcdcError.at(name, PREFIX.size, f"the header is not JSON ({error})") from error
    kinds = {"m": str, "al": int, "nc": int, "lm": bool}
    if not isinstance(fields, dict) or any(type(fields.get(key)) is not kind for key, kind in kinds.items()):
        raise EcdcError.at(
            name, PREFIX.size, "the header lacks m (text), al, nc (whole numbers) or lm (true or false)"
        )
    if fields["m"] not in MODELS:
        raise EcdcError.at(
            name, PREFIX.size, f"the model is {fields['m'][:40]!r}; known: {', '.join(MODELS)}"
        )
    if not 1 <= fields["al"] < 2**48:
        raise EcdcError.at(
            name, PREFIX.size, f"the length is {fields['al']:.4g} samples; 1 to 2**48 are allowed"
        )
    return EcdcHeader(fields["m"], fields["al"], fields["nc"], fields["lm"]), PREFIX.size + size


def starts_ecdc(stream: BinaryIO) -> bool:
    """Whether an `.ecdc` file begins where a stream stands; it stays there. False where nobody can tell."""
    if stream.seekable():
        place = stream.tell()
        start = stream.read(len(MAGIC))
        stream.seek(place)
        return start == MAGIC
    peek = getattr(stream, "peek", None)  # of a pipe, as many bytes as have come, at least one
    start = b"" if peek is None else peek(len(MAGIC))[: len(MAGIC)]
    return bool(start) and MAGIC.startswith(start)


def read_fully(stream: BinaryIO, size: int) -> bytes:
    """So many bytes, or those that are left; a pipe may give them in several pieces."""
    parts = []
    while size:
        part = stream.read(size)
        if not part:
            break
        size -= len(part)
        parts.append(part)
    return b"".join(parts)
