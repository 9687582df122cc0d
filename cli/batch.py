"""What `encode` and `decode` share: many files at once, and pipes."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.progress import Advance
from .command import CommandError
from .options import (
    add_count,
    add_device,
    add_force,
    add_quiet,
)
from .terminal import progress_bar, say, standard_output

if TYPE_CHECKING:
    from ..codecs.compression import FileReport
    from ..codecs.compression.jobs import Job


Work = Callable[[Any, Any, Advance], "FileReport"]
"""Makes a destination of a source, each a path or a stream, and reports seconds of sound that are done."""


def add_batch_arguments(parser: argparse.ArgumentParser) -> None:
    add_count(parser, "--jobs", 1, "files done at a time")
    add_device(parser)
    add_force(parser)
    add_quiet(parser)


def plan(options: argparse.Namespace, *, suffixes: Collection[str], new_suffix: str) -> list[Job]:
    """Jobs of `encode` and `decode`; none when there is a pipe at either end."""
    from ..codecs.compression.jobs import plan_jobs

    if "-" in options.sources or options.destination == "-":
        if len(options.sources) > 1:
            raise CommandError("- is one sound: give one IN and one OUT with it")
        return []
    return plan_jobs(
        options.sources, options.destination, suffixes=suffixes, new_suffix=new_suffix, force=options.force
    )


def run_batch(
    options: argparse.Namespace,
    jobs: list[Job],
    work: Work,
    line: Callable[[FileReport], str],
    seconds: Callable[[Path], float],
    verb: str,
) -> int:
    """Do the jobs of `encode` or `decode`, or the one of a pipe, and say what was done."""
    import torch

    from ..core.failures import Failure, attempt, said
    from ..core.run_jobs import run_jobs

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

        def do(job: Job, progress: Advance) -> FileReport:
            job.destination.parent.mkdir(parents=True, exist_ok=True)
            return work(job.source, job.destination, progress)

        outcomes = run_jobs(
            jobs,
            do,
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


def _run_pipe(options: argparse.Namespace, work: Work, advance: Advance) -> FileReport:
    """Do the one job that has standard input or output at an end."""
    source: Any = sys.stdin.buffer if options.sources[0] == "-" else options.sources[0]
    if options.destination != "-":
        return work(source, options.destination, advance)
    with standard_output() as stream:
        return work(source, stream, advance)
