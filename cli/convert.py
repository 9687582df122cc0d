"""`soundloom convert`: a model with smaller weights."""

from __future__ import annotations

import argparse

from .command import Command
from .options import NAMES, SCHEMES, add_force, add_quiet, add_text_encoder


def add_convert_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help=NAMES)
    parser.add_argument("output", metavar="OUT", help="folder to write")
    parser.add_argument(
        "--quantization",
        choices=SCHEMES,
        default="int8",
        help="how the weights of the language model are stored, and then run (default: int8)",
    )
    add_text_encoder(parser)
    add_force(parser, "write into a folder that is not empty")
    add_quiet(parser, "no summary")


def run_convert(options: argparse.Namespace) -> None:
    """Write the folder and say how large it is."""
    from ..gen.conversion import convert_model

    done = convert_model(
        options.model,
        options.output,
        quantization=options.quantization,
        text_encoder=options.text_encoder,
        force=options.force,
    )
    if not options.quiet:
        print(
            f"{done.folder}  {done.size / 1e6:.1f} MB, of these {done.weights / 1e6:.1f} MB of weights in "
            f"{done.quantization}"
        )


COMMANDS = (
    Command(
        name="convert",
        summary="write a model again with smaller weights",
        description="""\
Write a model as a folder whose language model is stored in bf16, int8 or int4, and runs so: smaller on the
disk and in memory, and mostly faster. Also from the files that Meta published. Only one tensor at a time is
in memory.""",
        examples="""\
  soundloom convert mymodel mymodel-int8
  soundloom convert facebook/audiogen-medium audiogen-int4 --quantization int4
  soundloom generate "heavy rain" --model audiogen-int4
""",
        add_arguments=add_convert_arguments,
        run=run_convert,
    ),
)
