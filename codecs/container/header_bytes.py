"""Pack and unpack the header of a .loom file, as docs/format.md specifies it."""

from __future__ import annotations

import struct
import zlib
from fractions import Fraction

from .fields import ContainerError, Fields, pack_varint
from .header import ENTROPY_CODERS, KINDS, PRECISIONS, Header, Setting

MAGIC = b"\x89LOOM\r\n\x1a"
VERSION = 1
# Magic, version, size of the fields that follow; those fields and a CRC-32 come after it.
PREAMBLE = struct.Struct("<8sBH")
CRC = struct.Struct("<I")
MAX_HEADER = 16384  # bytes of the fields


def pack_header(header: Header) -> bytes:
    """A header as the bytes that a file starts with.

    Raises:
        ContainerError: more settings than fit.
    """
    fields = [
        _pack_text(header.codec),
        bytes.fromhex(header.config_hash),
        pack_varint(header.sample_rate),
        pack_varint(header.channels),
        pack_varint(0 if header.length is None else header.length + 1),
        bytes(
            [
                KINDS[header.kind],
                PRECISIONS[header.kind][header.precision],
                ENTROPY_CODERS[header.entropy],
            ]
        ),
        *(pack_varint(size) for size in header.shape),
        pack_varint(header.codebook_size) if header.kind == "codes" else b"",
        pack_varint(header.frame_rate.numerator),
        pack_varint(header.frame_rate.denominator),
        pack_varint(header.frames_per_chunk),
        struct.pack("<d", header.scale),
        pack_varint(len(header.settings)),
    ]
    for name in sorted(header.settings):
        fields += [_pack_text(name), _pack_setting(header.settings[name])]
    body = b"".join(fields)
    if len(body) > MAX_HEADER:
        raise ContainerError(
            f"the header has {len(body)} bytes; at most {MAX_HEADER} fit: use fewer settings"
        )
    data = PREAMBLE.pack(MAGIC, VERSION, len(body)) + body
    return data + CRC.pack(zlib.crc32(data))


def header_seed(data: bytes) -> int:
    """What the checksums behind a header go on from: the one at its end.

    That is the CRC-32 of all before it. With the checksum's own bytes it would be the same for every header.
    """
    return int(CRC.unpack(data[-CRC.size :])[0])


def unpack_preamble(data: bytes) -> int:
    """Bytes of a header that follow its preamble.

    Raises:
        ContainerError: no such file, or a later version of it.
    """
    if not data.startswith(MAGIC):
        raise ContainerError(
            "this is no soundloom file (it does not start as one); `soundloom info` and `decode` take .loom "
            "and .ecdc files"
        )
    if len(data) < PREAMBLE.size:
        raise ContainerError("the file ends inside its header")
    _, version, size = PREAMBLE.unpack(data)
    if version != VERSION:
        raise ContainerError(
            f"the file has format version {version}, and this soundloom reads version {VERSION}; "
            "update soundloom"
        )
    if size > MAX_HEADER:
        raise ContainerError(f"the header claims {size} bytes; at most {MAX_HEADER} are allowed")
    return size + CRC.size


def unpack_header(data: bytes) -> Header:
    """The header in its bytes, preamble and checksum included.

    Raises:
        ContainerError: damaged bytes or values that are not allowed.
    """
    unpack_preamble(data[: PREAMBLE.size])
    checked, stored = data[: -CRC.size], CRC.unpack(data[-CRC.size :])[0]
    if zlib.crc32(checked) != stored:
        raise ContainerError("the header is damaged (its checksum differs)")
    fields = Fields(checked)
    fields.take(PREAMBLE.size)
    codec, digest = fields.text(), fields.take(8).hex()
    sample_rate, channels, length = fields.varint(), fields.varint(), fields.varint()
    kind = fields.choice("kind", KINDS)
    precision = fields.choice("precision", PRECISIONS[kind])
    entropy = fields.choice("entropy", ENTROPY_CODERS)
    shape = tuple(fields.varint() for _ in range(1 if kind == "codes" else 2))
    codebook_size = fields.varint() if kind == "codes" else 0
    numerator, denominator = fields.varint(), fields.varint()
    if denominator == 0:
        raise ContainerError("frame_rate has the denominator 0")
    frames_per_chunk = fields.varint()
    scale = struct.unpack("<d", fields.take(8))[0]
    settings = {}
    for _ in range(fields.varint()):
        name = fields.text()
        settings[name] = _take_setting(fields)
    header = Header(
        codec=codec,
        config_hash=digest,
        sample_rate=sample_rate,
        channels=channels,
        length=length - 1 if length else None,
        kind=kind,
        shape=shape,
        codebook_size=codebook_size,
        frame_rate=Fraction(numerator, denominator),
        frames_per_chunk=frames_per_chunk,
        precision=precision,
        entropy=entropy,
        scale=scale,
        settings=settings,
    )
    # One way to write each header: nothing can hide behind the fields, and a copy is equal to its original.
    if pack_header(header) != data:
        raise ContainerError("the header's fields are not written the one way that is allowed")
    return header


def _pack_text(text: str) -> bytes:
    return pack_varint(len(text)) + text.encode("ascii")


def _pack_setting(value: Setting) -> bytes:
    if isinstance(value, bool):
        return b"b" + bytes([value])
    if isinstance(value, int):
        return b"i" + struct.pack("<q", value)
    if isinstance(value, float):
        return b"f" + struct.pack("<d", value)
    return b"s" + _pack_text(value)


def _take_setting(fields: Fields) -> Setting:
    kind = fields.take(1)
    if kind == b"b":
        return bool(fields.byte())
    if kind == b"i":
        return int(struct.unpack("<q", fields.take(8))[0])
    if kind == b"f":
        return float(struct.unpack("<d", fields.take(8))[0])
    if kind == b"s":
        return fields.text()
    raise ContainerError(f"a setting has the unknown type {kind!r}")
