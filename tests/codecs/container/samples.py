"""Small compressed-audio files, and what is in them by formula, that several tests share."""

from __future__ import annotations

import io
import struct
import zlib
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor

from soundloom.codecs.container import Compressed, ContainerWriter, Header

PREAMBLE = 11  # bytes before a header's fields


def make_header(**changes: Any) -> Header:
    """A header of codes `[2, T]` of 1024 values in chunks of 4 frames, with changes."""
    values: dict[str, Any] = {
        "codec": "seanet-16khz",
        "config_hash": "0123456789abcdef",
        "sample_rate": 16000,
        "channels": 1,
        "length": 3200,
        "kind": "codes",
        "shape": (2,),
        "codebook_size": 1024,
        "frame_rate": Fraction(50),
        "frames_per_chunk": 4,
        "precision": "exact",
    }
    return Header(**{**values, **changes})


def latent_header(**changes: Any) -> Header:
    """A header of latents `[T, 2, 3]` as float16 in chunks of 2 frames, with changes."""
    values: dict[str, Any] = {
        "codec": "owner/music2latent2",
        "kind": "latents",
        "shape": (2, 3),
        "codebook_size": 0,
        "sample_rate": 44100,
        "channels": 2,
        "length": 150000,
        "frame_rate": Fraction(11025, 8192),
        "frames_per_chunk": 2,
        "precision": "float16",
    }
    return make_header(**{**values, **changes})


def formula_codes(codebooks: int, frames: int, size: int) -> Tensor:
    """Codes `[K, T]`: `(7 t t + 13 k t + 5 k) mod V`."""
    k, t = torch.arange(codebooks)[:, None], torch.arange(frames)[None]
    return (7 * t * t + 13 * k * t + 5 * k) % size


def repeating_codes(codebooks: int, frames: int) -> Tensor:
    """Codes `[K, T]` that come back often: `37 (t t mod (k + 3)) + k`."""
    k, t = torch.arange(codebooks)[:, None], torch.arange(frames)[None]
    return 37 * (t * t % (k + 3)) + k


def formula_latents(frames: int, rows: int, channels: int) -> Tensor:
    """Latents `[T, S, D]`, exact in float16: `((37 t + 11 s + 5 d) mod 97 - 48) / 64`, channel 1 silent."""
    t, s, d = torch.meshgrid(torch.arange(frames), torch.arange(rows), torch.arange(channels), indexing="ij")
    latents = ((37 * t + 11 * s + 5 * d) % 97 - 48) / 64
    latents[..., 1] = 0
    return latents


# Name of a golden file -> its header and frames; "piped" is written with a length that only the end has.
SAMPLES: dict[str, tuple[Header, Tensor]] = {
    "codes": (
        make_header(settings={"bandwidth": 6.0, "level": -2, "mode": "a b", "tail": True}),
        formula_codes(2, 10, 1024),
    ),
    "codes-mixed-radix": (
        make_header(shape=(3,), codebook_size=14641, frames_per_chunk=22),
        formula_codes(3, 45, 14641),
    ),
    "codes-adaptive": (
        make_header(entropy="adaptive", frames_per_chunk=20, scale=0.5),
        repeating_codes(2, 50),
    ),
    "latents-float16": (latent_header(), formula_latents(5, 2, 3)),
    "latents-int8": (latent_header(precision="int8"), formula_latents(5, 2, 3)),
    "codes-weights": (make_header(settings={"weights": "00c0ffee"}), formula_codes(2, 10, 1024)),
    "piped": (make_header(length=None), formula_codes(2, 10, 1024)),
}
PIPED_LENGTH = 3201


def sample_bytes(name: str) -> bytes:
    """A sample as this version writes it."""
    header, frames = SAMPLES[name]
    if header.length is not None:
        return Compressed(header, frames).to_bytes()
    stream = io.BytesIO()
    writer = ContainerWriter(stream, header)
    writer.write(frames)
    writer.close(PIPED_LENGTH)
    return stream.getvalue()


def split(data: bytes) -> list[bytes]:
    """The fields of an intact file's header and its blocks, all without checksum: what `join` takes."""
    size = struct.unpack_from("<H", data, 9)[0]
    place = PREAMBLE + size + 4
    end = len(data) - 8 - struct.unpack_from("<I", data, len(data) - 8)[0]
    sizes = _index(data[end + 3 : -12])
    parts = [data[PREAMBLE : place - 4]]
    for size in sizes:
        parts.append(data[place : place + size - 4])
        place += size
    return [*parts, data[end:-12]]


def join(parts: list[bytes], preamble: bytes = b"\x89LOOM\r\n\x1a\x01") -> bytes:
    """A file of fields and blocks that may hold anything, with the checksums and the footer that fit."""
    head = preamble + struct.pack("<H", len(parts[0])) + parts[0]
    seed = zlib.crc32(head)
    head += struct.pack("<I", seed)
    blocks = [part + struct.pack("<I", zlib.crc32(part, seed)) for part in parts[1:]]
    return head + b"".join(blocks) + struct.pack("<I", len(blocks[-1])) + b"MOOL"


def _index(fields: bytes) -> list[int]:
    """The sizes in an end block's fields, which start with 3 other numbers."""
    numbers, value, shift = [], 0, 0
    for byte in fields:
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            numbers.append(value)
            value = shift = 0
    return numbers[3:]


class Pipe(io.RawIOBase):
    """Bytes that come in pieces and once only, as from a pipe."""

    def __init__(self, data: bytes, piece: int) -> None:
        self._data, self._piece = data, piece

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        part = self._data[: min(self._piece, len(buffer))]
        self._data = self._data[len(part) :]
        buffer[: len(part)] = part
        return len(part)
