"""The compressed-audio file, suffix .loom, as docs/format.md specifies it.

    header | chunk | chunk | ... | end block with the index | footer

Every chunk has a checksum and is decodable on its own. Files can be written to pipes and read from pipes; in
a seekable file the footer leads to the index, and the index to any second of an hour.

From the inside out: fields (numbers and texts), header, packing and entropy (codes and latents as few bytes),
blocks (chunks and the end), writer and reader, and a whole file in memory (compressed).
"""

from .compressed import Compressed
from .fields import ContainerError
from .header import MIME_TYPE, SUFFIX, Header, config_hash
from .reader import ContainerReader
from .writer import ContainerWriter

__all__ = [
    "MIME_TYPE",
    "SUFFIX",
    "Compressed",
    "ContainerError",
    "ContainerReader",
    "ContainerWriter",
    "Header",
    "config_hash",
]
