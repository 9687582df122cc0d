"""`soundloom compare-models`: what a fine-tuning changed."""

from __future__ import annotations

import argparse
import io
import math
from pathlib import Path

from .command import Command, CommandError
from .options import add_classifier, add_count, add_force, add_quiet, number, whole
from .terminal import progress_bar

PICTURES = (".png", ".pdf", ".svg")


def add_compare_models_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("before", metavar="BEFORE", help="model that training started from, as foley")
    parser.add_argument("after", metavar="AFTER", help="folder of the fine-tuned model")
    parser.add_argument("sounds", metavar="SOUNDS", help="recordings with captions, kept out of the training")
    parser.add_argument("--known", metavar="FOLDER", help="recordings trained on, for --groups")
    parser.add_argument(
        "--groups", nargs="+", default=[], metavar="WORDS", help="words of captions that make a group"
    )
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="picture: .png, .pdf or .svg")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures as JSON")
    parser.add_argument(
        "--duration", type=number, default=2.0, metavar="SECONDS", help="of all sounds (default: 2)"
    )
    add_count(parser, "--samples", 4, "sounds of each caption")
    add_count(parser, "--limit", None, "use only N of SOUNDS, evenly spread (default: all)")
    add_count(parser, "--columns", 5, "captions in the picture")
    parser.add_argument(
        "--seed", type=whole, default=0, metavar="N", help="of the first generated sound (default: 0)"
    )
    add_classifier(parser, "classifier")
    add_force(parser)
    add_quiet(parser, "no progress bar")


def run_compare_models(options: argparse.Namespace) -> int:
    """Generate from all captions by both models, print the figures, write report and picture.

    Returns:
        0, or 130 where Ctrl+C ended it: then there is no picture.
    """
    if not 0 < options.duration < math.inf:
        raise CommandError(f"--duration is {options.duration:g}; it must be a number of seconds above 0")
    if bool(options.known) != bool(options.groups):
        raise CommandError("--known and --groups go together: the groups are those of the known recordings")
    if options.output is not None and options.output.suffix not in PICTURES:
        raise CommandError(f"-o is {options.output}; it must end in {', '.join(PICTURES)}")
    from ..core.files import check_file_destination
    from ..evaluation.embedders import NamedClassifier
    from ..evaluation.evaluate_sounds import folder_examples
    from ..evaluation.model_comparison import compare_models, table
    from ..evaluation.report import write_report
    from ..gen.pipeline import AudioGen

    for path in filter(None, (options.output, options.json)):
        check_file_destination(path, force=options.force)
    classifier = NamedClassifier.from_pretrained(options.classifier)
    beginning = {"captions": True, "seconds": options.duration}
    examples = folder_examples(options.sounds, limit=options.limit, **beginning)
    settings = {name: getattr(options, name) for name in ("duration", "seed", "samples")}
    with progress_bar(enabled=not options.quiet, desc="comparing", unit="sounds") as progress:
        found = compare_models(
            AudioGen.from_pretrained(options.before),
            AudioGen.from_pretrained(options.after),
            examples,
            classifier,
            known=folder_examples(options.known, **beginning) if options.known else (),
            groups=options.groups,
            progress=progress,
            **settings,
        )
    print("\n".join(table(found)))
    if options.json is not None:
        subject = {name: getattr(options, name) for name in ("before", "after", "sounds", "known")}
        about = {"classifier": classifier.name, "captions": len(examples)}
        end = {"figures": found.figures, "stopped": found.stopped, "notes": found.notes}
        write_report(options.json, {"subject": subject, **settings, **about, **end})
    if options.output is not None and not found.stopped:
        picture = io.BytesIO()
        figure = found.draw(options.groups, options.columns)
        figure.savefig(picture, dpi=80, format=options.output.suffix[1:])
        write_report(options.output, picture.getvalue())
    return 130 if found.stopped else 0


COMMANDS = (
    Command(
        name="compare-models",
        summary="measure what a fine-tuning changed",
        description="""\
Let two models generate from the captions of recordings that were kept out of the training, and print
FAD, KL and, with --groups, how many sounds are nearest to the recordings that were asked for.
Ctrl+C ends it with the figures of what was made so far (exit status 130), and without the picture.""",
        examples="""\
  soundloom compare-models foley runs/audiogen_finetune/model heldout/ -o picture.png --json figures.json
  soundloom compare-models foley mymodel heldout/ --known mysounds/ --groups tabla hi-hat
""",
        add_arguments=add_compare_models_arguments,
        run=run_compare_models,
    ),
)
