"""`soundloom evaluate` and `compare`: how near sounds are to others, and to what was asked for."""

from __future__ import annotations

import argparse
from typing import Any

from .. import __version__
from .command import Command, CommandError
from .options import (
    NAMES,
    add_count,
    add_device,
    add_duration,
    add_force,
    add_judge,
    add_part,
    add_quiet,
    add_text_encoder,
    load_model,
    whole,
)
from .terminal import progress_bar


def add_evaluate_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "folder", nargs="?", metavar="FOLDER", help="sounds, with captions where they are needed"
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--model", metavar="NAME", help=f"measure this model: {NAMES}")
    what.add_argument("--codec", metavar="NAME", help=f"measure this codec: {NAMES}")
    parser.add_argument("--reference", metavar="FOLDER", help="sounds that those of FOLDER are compared with")
    add_judge(parser, "classifier")
    parser.add_argument(
        "--embedder",
        choices=["judge", "log-mel"],
        default="judge",
        help="what FAD is measured with: the judge's features (default), or statistics of a spectrogram",
    )
    add_count(parser, "--per-class", 4, "held-out sounds of each class, without FOLDER")
    add_part(parser)
    add_duration(parser, "of generated sounds")
    parser.add_argument(
        "--seed", type=whole, default=0, metavar="N", help="of the first generated sound (default: 0)"
    )
    add_text_encoder(parser)
    add_device(parser, "where --model runs: ")
    parser.add_argument("-o", "--output", metavar="FILE", help="also write the report to this .json file")
    add_force(parser)
    add_quiet(parser, "no progress bar")


def add_compare_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("original", metavar="A", help="the original, a sound or .loom file")
    parser.add_argument("other", metavar="B", help="what is compared with it, a sound or .loom file")
    parser.add_argument("--trim", action="store_true", help="cut the longer sound at its end")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def run_evaluate(options: argparse.Namespace) -> int:
    """Measure, print the table, and write the report; returns the exit status of the description."""
    if not (options.folder or options.model or options.codec):
        raise CommandError("nothing to evaluate: give a FOLDER with --reference, or --model or --codec")
    if options.reference and (options.model or options.codec):
        raise CommandError(
            "--reference goes with a FOLDER alone: with --model or --codec, the sounds of FOLDER are the "
            "references"
        )
    from ..codecs.bench.reports import check_report, write_report

    if options.output is not None:
        check_report(options.output, force=options.force)
    from ..gen.embedders import Judge, LogMelStatistics
    from ..gen.evaluation import report_lines
    from ..recipes.evaluation import (
        evaluate_codec,
        evaluate_model,
        evaluate_sounds,
        folder_examples,
        folder_failures,
        spread,
    )

    judge = Judge.from_pretrained(options.judge)
    common: dict[str, Any] = {"embedder": LogMelStatistics() if options.embedder == "log-mel" else None}
    settings = {"class_names": judge.class_names, "limit": options.limit, "seconds": options.seconds}
    if options.folder:
        examples = folder_examples(options.folder, captions=bool(options.model), **settings)
    else:
        from ..recipes.foley.evaluate import held_out_examples

        examples = spread(held_out_examples(options.per_class), options.limit)
    subject = {"sounds": options.folder or f"held-out Foley, {options.per_class} a class"}
    with progress_bar(enabled=not options.quiet, desc="evaluating", unit="sounds") as progress:
        common["progress"] = progress
        if options.model:
            own = {"duration": options.duration, "seed": options.seed}
            report = evaluate_model(load_model(options), examples, judge, **own, **common)
            subject = {"model": options.model, "captions": subject["sounds"]}
        elif options.codec:
            from ..codecs import load_codec

            report = evaluate_codec(load_codec(options.codec), examples, judge, **common)
            subject["codec"] = options.codec
        else:
            settings["limit"] = None
            references = folder_examples(options.reference, **settings) if options.reference else []
            report = evaluate_sounds(examples, references, judge, **common)
            subject["reference"] = options.reference
    for folder in filter(None, (options.folder, options.reference)):
        report["failed"] += [{"file": f.file, "reason": f.reason} for f in folder_failures(folder)]
    report = {"soundloom": __version__, "subject": subject, **report}
    if options.output is not None:
        write_report(options.output, report)
    print("\n".join(report_lines(report)))
    if report["stopped"]:
        return 130
    return 1 if report["failed"] else 0


def run_compare(options: argparse.Namespace) -> None:
    """Measure two files and print the figures."""
    from ..codecs.bench.compare import compare_files, comparison_table
    from ..codecs.bench.reports import to_json

    comparison = compare_files(options.original, options.other, trim=options.trim)
    print(to_json(comparison) if options.json else comparison_table(comparison))


COMMANDS = (
    Command(
        name="evaluate",
        summary="measure a folder of sounds, a model or a codec",
        description="""\
Measure sounds (FAD, KL, prompt accuracy), a model that makes them from captions, or a codec that
stores them. Without FOLDER, models and codecs are tried on held-out sounds of the Foley corpus.
Ctrl+C ends it with the figures of what was measured so far.
Exit status: 0 all is well, 1 some sounds were left out, 2 nothing could be measured.""",
        examples="""\
  soundloom evaluate --model foley -o report.json        (held-out Foley captions)
  soundloom evaluate mysounds/ --model foley             (captions of the folder; its sounds are references)
  soundloom evaluate mysounds/ --codec seanet-16khz      (its sounds, stored and restored)
  soundloom evaluate made/ --reference mysounds/         (sounds that are there already)
""",
        add_arguments=add_evaluate_arguments,
        run=run_evaluate,
    ),
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
