"""`soundloom encode`, `decode` and `info`: compressed files, folders of them, and pipes."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .command import Command, CommandError
from .options import (
    NAMES,
    add_count,
    add_device,
    add_force,
    add_quiet,
    choose_device,
    load_on_device,
    number,
    whole,
)
from .terminal import progress_bar, say, standard_output

if TYPE_CHECKING:
    from ..codecs.compression import FileReport
    from ..codecs.compression.jobs import Job

Work = Callable[[Any, Any, Callable[[float], None]], "FileReport"]
"""Makes a destination of a source, each a path or a stream, and reports seconds of sound that are done."""


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
        help="auto also codes by frequency where that is smaller (default); none packs plainly",
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
    _add_batch_arguments(parser)


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
    _add_batch_arguments(parser)


def _add_batch_arguments(parser: argparse.ArgumentParser) -> None:
    add_count(parser, "--jobs", 1, "files done at a time")
    add_device(parser)
    add_force(parser)
    add_quiet(parser)


def add_info_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "files", nargs="+", metavar="FILE", help=".loom or .ecdc files, or - for standard input"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a line")


def run_encode(options: argparse.Namespace) -> int:
    """Compress everything; returns 0, or raises what went wrong."""
    from ..codecs.compression import encode_file, sound_seconds
    from ..codecs.compression.storage import choose_storage
    from ..core.audio import SOUND_SUFFIXES, UNDECODED_SUFFIXES
    from ..core.sound_reader import RawFormat

    raw = None if options.raw is None else RawFormat.parse(options.raw, reading=True)
    jobs = _plan(options, suffixes={*SOUND_SUFFIXES, *UNDECODED_SUFFIXES}, new_suffix=f".{options.format}")
    codec = load_on_device(options.codec, choose_device(options.device))
    choice: dict[str, Any] = {
        "bitrate": None if options.bitrate is None else 1000 * options.bitrate,
        "codebooks": options.codebooks,
        "precision": options.precision,
    }
    choose_storage(codec, **choice)  # before any work

    def work(source: Any, destination: Any, progress: Callable[[float], None]) -> FileReport:
        return encode_file(
            source,
            destination,
            codec,
            **choice,
            entropy=options.entropy,
            raw=raw,
            allow_truncated=options.allow_truncated,
            level=options.level,
            force=options.force,
            progress=progress,
        )

    def line(report: FileReport) -> str:
        mixed = report.header.channels < report.source_channels
        return (
            f"{report.destination}  {report.seconds:.2f} s, {report.size} bytes, "
            f"{report.bitrate / 1000:.2f} kbit/s"
            + (f", {report.source_channels} channels mixed to mono" if mixed else "")
        )

    return _run_batch(options, jobs, work, line, lambda path: sound_seconds(path, raw), "encoding")


def run_decode(options: argparse.Namespace) -> int:
    """Decompress everything; returns 0, or raises what went wrong."""
    from ..codecs.compression import CodecShelf, decode_file, described_seconds
    from ..codecs.container import SUFFIX
    from ..codecs.ecdc.ecdc_header import SUFFIX as ECDC_SUFFIX
    from ..core.sound_reader import RawFormat

    raw = None if options.raw is None else RawFormat.parse(options.raw, reading=False)
    if raw is not None and options.destination != "-":
        raise CommandError("--raw goes with OUT -: files are written as .wav, .flac, .ogg or .mp3")
    jobs = _plan(options, suffixes={SUFFIX, ECDC_SUFFIX}, new_suffix=f".{options.format}")
    device = choose_device(options.device)
    codec = CodecShelf(device) if options.codec is None else load_on_device(options.codec, device)

    def work(source: Any, destination: Any, progress: Callable[[float], None]) -> FileReport:
        return decode_file(
            source,
            destination,
            codec,
            start=options.start,
            stop=options.stop,
            sample_rate=options.sample_rate,
            raw=raw,
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

    return _run_batch(options, jobs, work, line, seconds, "decoding")


def run_info(options: argparse.Namespace) -> None:
    """Describe every file; those that cannot be read are named, and the others described all the same."""
    import json

    from ..codecs.compression import describe_file
    from ..core.failures import Failure, attempt, said

    failed = 0
    for name in options.files:
        found = attempt(name, partial(describe_file, sys.stdin.buffer if name == "-" else name))
        if isinstance(found, Failure):
            if len(options.files) == 1 and found.error is not None:
                raise found.error
            print(f"soundloom: {said(found)}", file=sys.stderr)
            failed += 1
            continue
        print(json.dumps(found.to_dict()) if options.json else "\n".join(found.lines()))
    if failed:
        raise CommandError(f"{failed} of {len(options.files)} files could not be read, see above")


def _plan(options: argparse.Namespace, *, suffixes: Collection[str], new_suffix: str) -> list[Job]:
    """Jobs of `encode` and `decode`; none when there is a pipe at either end."""
    from ..codecs.compression.jobs import plan_jobs

    if "-" in options.sources or options.destination == "-":
        if len(options.sources) > 1:
            raise CommandError("- is one sound: give one IN and one OUT with it")
        return []
    return plan_jobs(
        options.sources, options.destination, suffixes=suffixes, new_suffix=new_suffix, force=options.force
    )


def _run_batch(
    options: argparse.Namespace,
    jobs: list[Job],
    work: Work,
    line: Callable[[FileReport], str],
    seconds: Callable[[Path], float],
    verb: str,
) -> int:
    """Do the jobs of `encode` or `decode`, or the one of a pipe, and say what was done."""
    import torch

    from ..codecs.compression.jobs import run_jobs
    from ..core.failures import Failure, attempt, said

    if options.jobs > 1:
        torch.set_num_threads(max(1, torch.get_num_threads() // options.jobs))
    lengths = [attempt(str(job.source), partial(seconds, job.source)) for job in jobs if job.failure is None]
    total = sum(length for length in lengths if not isinstance(length, Failure))  # failures come up again
    elapsed = 0.0
    with progress_bar(enabled=not options.quiet, desc=verb, unit="s") as bar:

        def advance(more: float) -> None:
            nonlocal elapsed
            elapsed += more
            bar(int(elapsed), int(total))

        if not jobs:
            report = _run_pipe(options, work, advance)
            if not options.quiet:
                say(line(report), error=options.destination == "-")
            return 0

        def done(job: Job, outcome: FileReport | Failure) -> None:
            if isinstance(outcome, Failure):
                if len(jobs) > 1:
                    say(f"soundloom: {said(outcome)}", error=True)
            elif not options.quiet:
                say(line(outcome))

        outcomes = run_jobs(
            jobs,
            lambda job, progress: work(job.source, job.destination, progress),
            workers=options.jobs,
            progress=advance,
            done=done,
        )
    failed = [outcome for outcome in outcomes if isinstance(outcome, Failure)]
    if failed:
        if len(jobs) == 1:
            raise failed[0].error or CommandError(str(failed[0]))
        raise CommandError(f"{len(failed)} of {len(jobs)} files could not be done, see above")
    return 0


def _run_pipe(options: argparse.Namespace, work: Work, advance: Callable[[float], None]) -> FileReport:
    """Do the one job that has standard input or output at an end."""
    source: Any = sys.stdin.buffer if options.sources[0] == "-" else options.sources[0]
    if options.destination != "-":
        return work(source, options.destination, advance)
    with standard_output() as stream:
        return work(source, stream, advance)


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
    Command(
        name="info",
        summary="describe .loom and .ecdc files",
        description="Print what compressed files say about themselves and how many bits they really take.",
        examples="""\
  soundloom info song.loom
  soundloom info packed/*.loom --json                         (one JSON object a line)
""",
        add_arguments=add_info_arguments,
        run=run_info,
    ),
)
