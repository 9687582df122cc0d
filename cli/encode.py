"""`soundloom encode`: sounds become compressed files."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from ..core.progress import Advance
from .command import Command
from .options import (
    NAMES,
    add_metadata,
    choose_device,
    number,
    whole,
)

if TYPE_CHECKING:
    from ..codecs.compression import FileReport

from .batch import add_batch_arguments, plan, run_batch


def add_encode_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "sources", nargs="+", metavar="IN", help='sound files, folders, quoted patterns ("a/**/*.wav"), or -'
    )
    parser.add_argument(
        "destination", metavar="OUT", help="a .loom or .ecdc file, a folder for several, or -"
    )
    parser.add_argument(
        "--codec", default="seanet-16khz", metavar="NAME", help=f"{NAMES} (default: seanet-16khz)"
    )
    rate = parser.add_mutually_exclusive_group()
    rate.add_argument(
        "--bitrate", type=number, metavar="KBIT", help="at most so many kbit/s (default: the codec's own)"
    )
    rate.add_argument(
        "--codebooks", type=whole, metavar="K", help="how many codebooks to keep (default: all)"
    )
    parser.add_argument(
        "--precision",
        choices=["exact", "float16", "int8"],
        help="exact: codes; float16, int8: continuous latents, of codecs that have them (default: codes, "
        "else float16)",
    )
    parser.add_argument(
        "--entropy",
        choices=["auto", "none"],
        default="auto",
        help="auto: compress codes further, without loss, where that is smaller (default); none: "
        "pack plainly",
    )
    parser.add_argument(
        "--format",
        choices=["loom", "ecdc"],
        default="loom",
        help="in folders; ecdc is EnCodec's own format, for --codec encodec-24khz or encodec-48khz (default: "
        "loom)",
    )
    parser.add_argument(
        "--no-level",
        dest="level",
        action="store_false",
        help="do not decode to compare levels: several times as fast, but the level may come back dB off",
    )
    parser.add_argument(
        "--raw", metavar="FORMAT", help="IN has no header: ENCODING:RATE:CHANNELS, for example s16le:44100:2"
    )
    parser.add_argument(
        "--allow-truncated",
        action="store_true",
        help="compress what is there of a file that breaks off early (default: an error for that file)",
    )
    parser.add_argument(
        "--verify",
        action="store_true",
        help="read each .loom file again before it gets its name, and compare its codes with those encoded",
    )
    add_metadata(
        parser, "leave out the tags of sounds (title, artist, …), but not the mark of generated ones"
    )
    add_batch_arguments(parser)


def run_encode(options: argparse.Namespace) -> int:
    """Compress everything; returns 0, or raises what went wrong."""
    from ..codecs import load_codec
    from ..codecs.compression import encode_file, sound_seconds
    from ..codecs.frames.storage import choose_storage
    from ..core.audio import SOUND_SUFFIXES, UNDECODED_SUFFIXES
    from ..core.raw_format import RawFormat

    raw = None if options.raw is None else RawFormat.parse(options.raw, reading=True)
    jobs = plan(options, suffixes={*SOUND_SUFFIXES, *UNDECODED_SUFFIXES}, new_suffix=f".{options.format}")
    codec = load_codec(options.codec, device=choose_device(options.device))
    choice: dict[str, Any] = {
        "bitrate": None if options.bitrate is None else 1000 * options.bitrate,
        "codebooks": options.codebooks,
        "precision": options.precision,
    }
    choose_storage(codec, **choice)  # before any work

    def work(source: Any, destination: Any, progress: Advance) -> FileReport:
        return encode_file(
            source,
            destination,
            codec,
            **choice,
            entropy=options.entropy,
            raw=raw,
            allow_truncated=options.allow_truncated,
            level=options.level,
            metadata=options.metadata,
            verify=options.verify,
            force=options.force,
            progress=progress,
        )

    def line(report: FileReport) -> str:
        mixed = report.header.channels < report.source_channels
        return (
            f"{report.destination}  {report.seconds:.2f} s, {report.size} bytes, "
            f"{report.bitrate / 1000:.2f} kbit/s"
            + (f", {report.source_channels} channels mixed to mono" if mixed else "")
            + (", verified" if options.verify else "")
        )

    return run_batch(options, jobs, work, line, lambda path: sound_seconds(path, raw), "encoding")


COMMANDS = (
    Command(
        name="encode",
        summary="compress sound files",
        description="""\
Compress sounds to .loom files: tens of times smaller than wav, alike rather than equal.
Any sample rate and channel count goes in; decoding gives rate and exact length back. A codec with
one channel mixes stereo down, and that comes back mono.""",
        examples="""\
  soundloom encode song.wav song.loom
  soundloom encode song.wav song.loom --bitrate 1.5           (kbit/s)
  soundloom encode recordings/ packed/ --jobs 4               (a folder, with the folders in it)
  soundloom encode "takes/**/*.flac" packed/
  soundloom encode song.wav song.loom --codec encodec-24khz
  soundloom encode song.wav song.ecdc --codec encodec-24khz   (EnCodec's own format)
  arecord -f cd | soundloom encode - live.loom
""",
        add_arguments=add_encode_arguments,
        run=run_encode,
    ),
)
