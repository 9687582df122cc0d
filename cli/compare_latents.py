"""`soundloom compare-latents`: Music2Latent2 models and their ways of decoding, side by side."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from .command import Command
from .embedder_option import add_embedder, load_embedder
from .options import NAMES, add_classifier, add_count, add_force, add_quiet, add_split, count, number, whole
from .terminal import progress_bar

if TYPE_CHECKING:
    from ..evaluation.evaluate_sounds import Example


def add_compare_latents_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("models", nargs="+", metavar="MODEL", help=NAMES)
    parser.add_argument(
        "--per-class",
        type=whole,
        default=4,
        metavar="N",
        help="held-out sounds of each class (default: 4; 0: none)",
    )
    parser.add_argument("--real", metavar="FOLDER", help="also decode the recordings in this folder")
    add_split(parser)
    add_count(parser, "--limit", None, "only N recordings, spread evenly over the folder (default: all)")
    parser.add_argument(
        "--seconds",
        type=number,
        default=10.0,
        metavar="SECONDS",
        help="beginning of each recording (default: 10)",
    )
    parser.add_argument(
        "--steps",
        type=count,
        nargs="+",
        default=[2, 4],
        metavar="N",
        help="autoregressive steps beside 1 (default: 2 4)",
    )
    parser.add_argument(
        "--zeroed", action="store_true", help="also what each model's latents give without its network"
    )
    add_embedder(parser, "FAD is")
    add_classifier(parser, "classifier")
    parser.add_argument(
        "--seed", type=whole, default=0, metavar="N", help="of the first sound's noise (default: 0)"
    )
    parser.add_argument("--json", metavar="FILE", help="also write the rows to this .json file")
    add_force(parser)
    add_quiet(parser, "no progress bar")


def run_compare_latents(options: argparse.Namespace) -> int:
    """Decode everything in every way, and print a table for each set of sounds; 130: Ctrl+C ended it."""
    from ..core.files import check_file_destination
    from ..evaluation.embedders import NamedClassifier
    from ..evaluation.evaluate_sounds import folder_examples
    from ..evaluation.held_out_examples import held_out_examples
    from ..evaluation.latent_comparison import HELD_OUT, compare_latents, load_models, table
    from ..evaluation.report import write_report

    if options.json is not None:
        check_file_destination(options.json, force=options.force)
    sets: dict[str, Sequence[Example]] = {}
    if options.per_class or options.real is None:
        sets[HELD_OUT] = held_out_examples(options.per_class)
    if options.real is not None:
        part = {"split": options.split, "limit": options.limit, "seconds": options.seconds}
        sets[options.real] = folder_examples(options.real, **part)
    models = load_models(options.models)
    classifier = NamedClassifier.from_pretrained(options.classifier)
    with progress_bar(enabled=not options.quiet, desc="comparing", unit="sounds") as progress:
        rows = compare_latents(
            models,
            sets,
            classifier,
            embedder=load_embedder(options.embedder),
            steps=options.steps,
            zeroed=options.zeroed,
            seed=options.seed,
            progress=progress,
        )
    print(table(rows))
    if options.json is not None:
        write_report(options.json, {"seed": options.seed, "classifier": options.classifier, "rows": rows})
    return 130 if rows[-1]["stopped"] else 0


COMMANDS = (
    Command(
        name="compare-latents",
        summary="compare Music2Latent2 models and ways of decoding",
        description="""\
Decode held-out renderings of the Foley corpus, and recordings, by Music2Latent2 models in one step, by the
two-step procedure and in more steps; print distances, FAD and SI-SDR of each, and what YAMNet hears.""",
        examples="""\
  soundloom compare-latents music2latent2 --per-class 1
  soundloom compare-latents music2latent2 runs/mine/model --per-class 0 --real recordings/ --limit 40
""",
        add_arguments=add_compare_latents_arguments,
        run=run_compare_latents,
    ),
)
