"""Sound files and pipes to compressed files and back, in memory that does not grow with their length.

    encode_file("a.wav", "a.loom", codec)        decode_file("a.loom", "a.wav")        describe_file("a.loom")

Sources and destinations are paths or binary streams (pipes); what is written appears complete or not at all.

From the inside out: where things come from and go to (places), sounds block by block (soundio, pieces), what
of a codec is stored (storage), sound to frames and back (compression); one file (encoding, decoding, shelf,
report), and many (batch). EnCodec's own format goes another way (ecdc).
"""

from .decode_file import decode_file
from .encode_file import encode_file, sound_seconds
from .file_report import EcdcDescription, FileDescription, FileReport, describe_file, described_seconds
from .loaded_codecs import CodecShelf

__all__ = [
    "CodecShelf",
    "EcdcDescription",
    "FileDescription",
    "FileReport",
    "decode_file",
    "describe_file",
    "described_seconds",
    "encode_file",
    "sound_seconds",
]
