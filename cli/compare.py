"""`soundloom compare`: how far a sound is from another."""

from __future__ import annotations

import argparse

from .command import Command


def add_compare_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("original", metavar="A", help="the original, a sound or .loom file")
    parser.add_argument("other", metavar="B", help="what is compared with it, a sound or .loom file")
    parser.add_argument("--trim", action="store_true", help="cut the longer sound at its end")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def run_compare(options: argparse.Namespace) -> None:
    """Measure two files and print the figures."""
    from ..evaluation.compare_files import compare_files, comparison_table
    from ..evaluation.report import to_json

    comparison = compare_files(options.original, options.other, trim=options.trim)
    print(to_json(comparison) if options.json else comparison_table(comparison))


COMMANDS = (
    Command(
        name="compare",
        summary="measure how far a sound file is from another",
        description="""\
Print mel distance, log-spectral distance and SI-SDR, all in dB, between a sound file and its original.""",
        examples="""\
  soundloom compare original.wav decoded.wav
  soundloom compare original.wav coded.loom
""",
        add_arguments=add_compare_arguments,
        run=run_compare,
    ),
)
