"""`soundloom probe`: how much of what a sound is can be read from a codec's latents."""

from __future__ import annotations

import argparse

from .command import Command
from .options import NAMES, add_count, add_force, add_quiet, number
from .terminal import progress_bar


def add_probe_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", metavar="FOLDER", help="recordings, and a metadata.csv with their classes")
    parser.add_argument("codecs", nargs="+", metavar="CODEC", help=f"{NAMES}")
    add_count(parser, "--per-class", 60, "take at most N recordings of each class and split")
    parser.add_argument(
        "--seconds", type=number, default=4.0, metavar="SECONDS", help="beginning of each (default: 4)"
    )
    parser.add_argument("-o", "--output", metavar="FILE", help="also write the figures to this .json file")
    add_force(parser)
    add_quiet(parser, "no progress bar")


def run_probe(options: argparse.Namespace) -> int:
    """Describe all recordings, train the classifiers, and print the table; 130: Ctrl+C ended it."""
    from ..codecs import load_codec
    from ..core.files import check_file_destination
    from ..evaluation.linear_probe import probe_codecs, probe_table
    from ..evaluation.report import write_report

    if options.output is not None:
        check_file_destination(options.output, force=options.force)
    codecs = {name: load_codec(name) for name in options.codecs}
    with progress_bar(enabled=not options.quiet, desc="describing", unit="clips") as progress:
        report = probe_codecs(
            codecs, options.folder, per_class=options.per_class, seconds=options.seconds, progress=progress
        )
    print(probe_table(report))
    if options.output is not None:
        write_report(options.output, report)
    return 130 if report["stopped"] else 0


COMMANDS = (
    Command(
        name="probe",
        summary="tell how well classes of sound can be read from latents",
        description="""\
Train a linear classifier on the latents of recordings (their means and deviations over time), and test it on
others: for each CODEC, and for a log-mel spectrogram to compare with. FOLDER has a metadata.csv with
file_name, split (train or test) and sound_class.
Ctrl+C ends it with the rows that are complete (exit status 130).""",
        examples="""\
  soundloom probe recordings/ music2latent2 seanet-16khz -o probe.json
""",
        add_arguments=add_probe_arguments,
        run=run_probe,
    ),
)
