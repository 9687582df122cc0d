"""`soundloom test`: are compressed files whole?"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..core.progress import Advance
from .command import Command, CommandError
from .options import add_count, add_device, add_quiet, choose_device
from .terminal import progress_bar, say

if TYPE_CHECKING:
    from ..codecs.compression import CheckReport
    from ..codecs.compression.jobs import Job
    from ..core.failures import Failure


# Any other option in the first place is one of Lightning's, whose command `test` measures checkpoints.
OWN_OPTIONS = ("-h", "--help", "-q", "--quiet", "--jobs", "--no-decode", "--device", "--debug")


def means_files(words: Sequence[str]) -> bool:
    """Whether the words after `soundloom test` ask for this command."""
    return not words or not words[0].startswith("-") or words[0].partition("=")[0] in OWN_OPTIONS


def add_test_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "sources",
        nargs="+",
        metavar="FILE",
        help='.loom or .ecdc files, folders, quoted patterns ("a/**/*.loom")',
    )
    parser.add_argument(
        "--no-decode",
        dest="decode",
        action="store_false",
        help="read checksums, index and end only, which takes no codec; .ecdc files have none of these",
    )
    add_count(parser, "--jobs", 1, "files done at a time")
    add_device(parser)
    add_quiet(parser, "no progress bar, and of files nothing but what is wrong")


def run_test(options: argparse.Namespace) -> None:
    """Read every file whole; those that are not are named, and the others are read all the same."""
    from ..codecs.compression import CodecShelf, check_file, described_seconds
    from ..codecs.compression.jobs import find_files
    from ..codecs.container import SUFFIX
    from ..codecs.ecdc.ecdc_header import SUFFIX as ECDC_SUFFIX
    from ..core.failures import Failure, said
    from ..core.run_jobs import run_jobs
    from ..core.sound_tags import printable

    jobs = find_files(options.sources, suffixes={SUFFIX, ECDC_SUFFIX})
    codecs = CodecShelf(choose_device(options.device))
    total = sum(described_seconds(Path(job.source)) for job in jobs if job.failure is None)
    elapsed = 0.0
    with progress_bar(enabled=not options.quiet, desc="testing", unit="s") as bar:

        def advance(more: float) -> None:
            nonlocal elapsed
            elapsed += more
            bar(int(elapsed), int(total))

        def work(job: Job, progress: Advance) -> CheckReport:
            return check_file(job.source, codecs, decode=options.decode, progress=progress)

        def done(job: Job, outcome: CheckReport | Failure) -> None:
            if isinstance(outcome, Failure):
                say(f"soundloom: {printable(said(outcome))}", error=True)
            elif not options.quiet or outcome.missing:
                how = "decoded" if outcome.decoded else "not decoded"
                why = f": {printable(outcome.missing)}" if outcome.missing else ""
                say(f"{printable(outcome.name)}  {outcome.seconds:.2f} s, whole, {how}{why}")

        outcomes = run_jobs(jobs, work, workers=options.jobs, progress=advance, done=done)
    failed = sum(isinstance(outcome, Failure) for outcome in outcomes)
    if failed:
        raise CommandError(f"{failed} of {len(jobs)} files are not whole or could not be tested, see above")


COMMANDS = (
    Command(
        name="test",
        summary="check .loom and .ecdc files; with --config, measure a checkpoint on the test data",
        description="""\
Read compressed files whole, as `flac -t` does: every checksum, the index and the end, then decode them
without writing anything, as far as their codec is on this machine. The exit status is 0 if all are whole,
else 2.

(`soundloom test --config RECIPE` is `lightning test`, which measures a checkpoint on the test data.)""",
        examples="""\
  soundloom test song.loom
  soundloom test packed/ --jobs 4
  soundloom test "backup/**/*.loom" --no-decode               (checksums alone: a second for an hour of sound)
""",
        add_arguments=add_test_arguments,
        run=run_test,
    ),
)
