"""`soundloom decode`: compressed files become sounds."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.progress import Advance
from .command import Command, CommandError
from .options import (
    NAMES,
    add_metadata,
    add_subtype,
    choose_device,
    number,
    whole,
)

if TYPE_CHECKING:
    from ..codecs.compression import FileReport

from .batch import add_batch_arguments, plan, run_batch


def add_decode_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "sources",
        nargs="+",
        metavar="IN",
        help='.loom or .ecdc files, folders, quoted patterns ("a/**/*.loom"), or -',
    )
    parser.add_argument(
        "destination", metavar="OUT", help="a .wav, .flac, .ogg or .mp3 file, a folder for several, or -"
    )
    parser.add_argument("--codec", metavar="NAME", help=f"{NAMES} (default: as the file says)")
    parser.add_argument(
        "--start", type=number, metavar="SECONDS", help="begin there (default: the beginning)"
    )
    parser.add_argument("--stop", type=number, metavar="SECONDS", help="end there (default: the end)")
    parser.add_argument(
        "--sample-rate", type=whole, metavar="HZ", help="of the result (default: that of the sound encoded)"
    )
    parser.add_argument(
        "--format", choices=["wav", "flac", "ogg", "mp3"], default="wav", help="in folders (default: wav)"
    )
    add_subtype(parser)
    parser.add_argument("--raw", metavar="ENCODING", help="with OUT -: samples without a header, as s16le")
    parser.add_argument(
        "--loudness",
        type=number,
        metavar="LUFS",
        help="integrated loudness of the result (ITU-R BS.1770), for example -23 (default: as it was)",
    )
    parser.add_argument(
        "--recover", action="store_true", help="keep what is intact of a damaged file; the rest is silence"
    )
    parser.add_argument(
        "--any-weights",
        action="store_true",
        help="decode also if the codec was trained again since the file was made; that may give noise",
    )
    add_metadata(parser, "leave out the tags that the file keeps, but not the mark of a generated sound")
    add_batch_arguments(parser)


def run_decode(options: argparse.Namespace) -> int:
    """Decompress everything; returns 0, or raises what went wrong."""
    from ..codecs import load_codec
    from ..codecs.compression import CodecShelf, decode_file, described_seconds
    from ..codecs.compression.decode_file import SoundOutput
    from ..codecs.container import SUFFIX
    from ..codecs.ecdc.ecdc_header import SUFFIX as ECDC_SUFFIX
    from ..core.raw_format import RawFormat

    raw = None if options.raw is None else RawFormat.parse(options.raw, reading=False)
    if raw is not None and options.destination != "-":
        raise CommandError("--raw goes with OUT -: files are written as .wav, .flac, .ogg or .mp3")
    SoundOutput(raw=raw, subtype=options.subtype, loudness=options.loudness)  # checked before any work
    jobs = plan(options, suffixes={SUFFIX, ECDC_SUFFIX}, new_suffix=f".{options.format}")
    device = choose_device(options.device)
    codec = CodecShelf(device) if options.codec is None else load_codec(options.codec, device=device)

    def work(source: Any, destination: Any, progress: Advance) -> FileReport:
        return decode_file(
            source,
            destination,
            codec,
            start=options.start,
            stop=options.stop,
            sample_rate=options.sample_rate,
            raw=raw,
            subtype=options.subtype,
            metadata=options.metadata,
            recover=options.recover,
            any_weights=options.any_weights,
            loudness=options.loudness,
            force=options.force,
            progress=progress,
        )

    def line(report: FileReport) -> str:
        rate = options.sample_rate or report.header.sample_rate
        channels = "mono" if report.header.channels == 1 else "stereo"
        taken = report.gain_reduction
        limited = f", peaks limited by up to {taken:.1f} dB" if taken > 0.05 else ""
        lost = "".join(
            f"\n  lost: {frames} frames from frame {first} on ({reason})"
            if frames
            else f"\n  damaged at frame {first} ({reason})"
            for first, frames, reason in report.damaged
        )
        other = ", with other weights than made the file" if report.other_weights else ""
        return f"{report.destination}  {report.seconds:.2f} s, {rate} Hz {channels}{limited}{other}{lost}"

    def seconds(path: Path) -> float:
        return described_seconds(path, options.start, options.stop)

    return run_batch(options, jobs, work, line, seconds, "decoding")


COMMANDS = (
    Command(
        name="decode",
        summary="decompress .loom and .ecdc files",
        description="""\
Decompress .loom files to sounds, with the sample rate, channels and exact length they had, and EnCodec's
.ecdc files to sounds with the codec's sample rate and channels.""",
        examples="""\
  soundloom decode song.loom song.wav
  soundloom decode packed/ recordings/ --format flac
  soundloom decode hour.loom minute.wav --start 1800 --stop 1860   (decodes only that minute)
  soundloom decode song.loom - | aplay
  soundloom decode song.ecdc song.wav
  soundloom decode damaged.loom rescued.wav --recover
""",
        add_arguments=add_decode_arguments,
        run=run_decode,
    ),
)
