"""`soundloom render`: write captioned sounds of the procedural Foley corpus."""

from __future__ import annotations

import argparse
import os

from .command import Command
from .options import add_count, add_force, add_quiet, number, whole
from .terminal import progress_bar


def composition_weights(text: str) -> dict[str, float]:
    """Parse "single:0.7,then:0.3"."""
    weights = {}
    for item in text.split(","):
        name, _, weight = item.partition(":")
        try:
            weights[name.strip()] = float(weight or 1.0)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{item!r} is not NAME:WEIGHT, such as single:0.7") from None
    return weights


def class_names(text: str) -> list[str]:
    """Parse "dog,rain"."""
    return [name.strip() for name in text.split(",") if name.strip()]


def add_render_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("out", metavar="OUT", help="folder to make")
    parser.add_argument("--clips", type=whole, required=True, metavar="N", help="how many clips")
    parser.add_argument(
        "--split", default="train", choices=("train", "validation", "test"), help="default: train"
    )
    parser.add_argument("--seed", type=whole, default=0, metavar="N", help="of the corpus (default: 0)")
    parser.add_argument(
        "--seconds", type=number, default=5.0, metavar="SECONDS", help="length of a clip (default: 5)"
    )
    parser.add_argument("--sample-rate", type=whole, default=16000, metavar="HZ", help="default: 16000")
    parser.add_argument(
        "--compositions",
        type=composition_weights,
        metavar="WEIGHTS",
        help="such as single:0.7,then:0.15,while:0.1,background:0.05 (these are the default)",
    )
    parser.add_argument("--classes", type=class_names, metavar="NAMES", help="with commas (default: all)")
    add_count(parser, "--variants", 3, "captions a clip")
    add_count(parser, "--jobs", os.cpu_count() or 1, "processes")
    add_force(parser, "replace the data set in an existing folder")
    add_quiet(parser)


def run_render(options: argparse.Namespace) -> None:
    """Render the clips."""
    from ..recipes.foley.render_dataset import render_dataset

    with progress_bar(enabled=not options.quiet, desc="rendering", unit="clips") as progress:
        render_dataset(
            options.out,
            clips=options.clips,
            split=options.split,
            seed=options.seed,
            seconds=options.seconds,
            sample_rate=options.sample_rate,
            jobs=options.jobs,
            variants=options.variants,
            compositions=options.compositions,
            classes=options.classes,
            force=options.force,
            progress=progress,
        )


COMMANDS = (
    Command(
        name="render",
        summary="write captioned sounds of the procedural corpus to train on",
        description="""\
Render clips of the procedural Foley corpus: OUT/audio.npy (int16 [clips, N]) and OUT/metadata.jsonl, which
recipes train on. The same options give the same files, whatever --jobs is.""",
        examples="""\
  soundloom render data/foley/train --clips 20000 --seed 1
  soundloom render data/foley/validation --clips 2000 --split validation --seed 1
  soundloom prepare data/foley/train --codec seanet-16khz        (its codes beside it, for a language model)
""",
        add_arguments=add_render_arguments,
        run=run_render,
    ),
)
