"""Encode and decode sound files and pipes, in memory that does not grow with their length.

    encode_file("a.wav", "a.loom", codec)        decode_file("a.loom", "a.wav")        describe_file("a.loom")

Sources and destinations are paths or binary streams (pipes); what is written appears complete or not at all.

One file: encode_file, decode_file, check_file, file_report, with the codecs that files name (loaded_codecs);
many: jobs. Sound to frames and back is in ../frames/; EnCodec's own format goes another way (ecdc_files,
../ecdc/).
"""

from .check_file import CheckError, CheckReport, check_file
from .decode_file import decode_file
from .encode_file import encode_file, sound_seconds
from .file_report import EcdcDescription, FileDescription, FileReport, describe_file, described_seconds
from .loaded_codecs import CodecShelf

__all__ = [
    "CheckError",
    "CheckReport",
    "CodecShelf",
    "EcdcDescription",
    "FileDescription",
    "FileReport",
    "check_file",
    "decode_file",
    "describe_file",
    "described_seconds",
    "encode_file",
    "sound_seconds",
]
