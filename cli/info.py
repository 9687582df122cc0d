"""`soundloom info`: what compressed files say about themselves."""

from __future__ import annotations

import argparse
import sys
from functools import partial

from .command import Command, CommandError


def add_info_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "files", nargs="+", metavar="FILE", help=".loom or .ecdc files, or - for standard input"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a line")


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


COMMANDS = (
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
