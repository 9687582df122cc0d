"""`soundloom evaluate`: how near sounds are to others, and to what was asked for."""

from __future__ import annotations

import argparse
from typing import Any

from .. import __version__
from ..core.progress import Progress
from .command import Command, CommandError
from .embedder_option import add_embedder, load_embedder
from .lora_option import add_lora
from .options import (
    NAMES,
    add_classifier,
    add_count,
    add_device,
    add_duration,
    add_force,
    add_part,
    add_quantization,
    add_quiet,
    add_split,
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
    what.add_argument(
        "--codec",
        action="append",
        metavar="NAME",
        help=f"measure this codec: {NAMES}; several, each behind a --codec of its own, make one table",
    )
    parser.add_argument(
        "--zeroed",
        action="store_true",
        help="beside every Music2Latent2, what its latents give without its network, in one table",
    )
    parser.add_argument("--reference", metavar="FOLDER", help="sounds that those of FOLDER are compared with")
    add_classifier(parser, "classifier")
    add_embedder(parser, "FAD and KAD are")
    parser.add_argument(
        "--prompts",
        nargs="?",
        const="",
        metavar="FILE.csv",
        help="with --embedder yamnet: generate from these prompts (columns prompt and tags; default: prompts "
        "that ship) and tell how often a right tag is heard; a FOLDER is then what FAD and KAD compare with",
    )
    parser.add_argument(
        "--renderings",
        action="store_true",
        help="with --embedder yamnet: tell of every class of the Foley corpus how often its tags are heard "
        "in renderings, and in recordings of FOLDER (metadata.csv with file_name and sound_class), if given",
    )
    add_count(
        parser, "--per-class", None, "held-out sounds of each class, without FOLDER (4), or renderings (20)"
    )
    add_split(parser)
    add_part(parser)
    add_duration(parser, "of generated sounds")
    parser.add_argument(
        "--seed", type=whole, default=0, metavar="N", help="of the first generated sound (default: 0)"
    )
    add_count(parser, "--candidates", 1, "of each generated sound make N and keep the best, as generate does")
    add_text_encoder(parser)
    add_device(parser, "where --model runs: ")
    add_quantization(parser)
    add_lora(parser)
    parser.add_argument("-o", "--output", metavar="FILE", help="also write the report to this .json file")
    add_force(parser)
    add_quiet(parser, "no progress bar")


def run_evaluate(options: argparse.Namespace) -> int:
    """Measure, print the table, and write the report; returns the exit status of the description."""
    _check_evaluate(options)
    from ..core.files import check_file_destination
    from ..evaluation.codec_table import codecs_table
    from ..evaluation.evaluate_sounds import folder_failures
    from ..evaluation.evaluation import failed_lines, report_lines
    from ..evaluation.renderings import renderings_lines
    from ..evaluation.report import write_report

    if options.output is not None:
        check_file_destination(options.output, force=options.force)
    with progress_bar(enabled=not options.quiet, desc="evaluating", unit="sounds") as progress:
        report = {"soundloom": __version__, **_measure(options, progress)}
    if not options.renderings:
        for folder in filter(None, (options.folder, options.reference)):
            report["failed"] += [{"file": f.file, "reason": f.reason} for f in folder_failures(folder)]
    if "rows" in report:
        lines = [codecs_table(report["rows"]), *failed_lines(report)]
    else:
        lines = renderings_lines(report) if options.renderings else report_lines(report)
    print("\n".join(lines))
    if options.output is not None:
        write_report(options.output, report)
    return 130 if report["stopped"] else 1 if report["failed"] else 0


def _check_evaluate(options: argparse.Namespace) -> None:
    """Refuse options that do not go together."""
    if options.prompts is not None:
        if options.codec or options.reference:
            raise CommandError("--prompts are for models: leave out --codec and --reference")
        options.model = "foley" if options.model is None else options.model
    if options.renderings and (options.model or options.reference or len(options.codec or ()) > 1):
        raise CommandError(
            "--renderings are of the Foley corpus: leave out --model, --prompts and --reference; --codec may "
            "name one codec that they go through"
        )
    for name in ("prompts", "renderings"):
        if getattr(options, name) not in (None, False) and not options.embedder.startswith("yamnet"):
            raise CommandError(f"--{name} needs a tagger: add --embedder yamnet:FILE.onnx")
    if options.renderings:
        return
    if not (options.folder or options.model or options.codec):
        raise CommandError(
            "nothing to evaluate: give a FOLDER with --reference, or --model or --codec, or --prompts"
        )
    if options.reference and (options.model or options.codec):
        raise CommandError(
            "--reference goes with a FOLDER alone: with --model or --codec, the sounds of FOLDER are the "
            "references"
        )


def _model(options: argparse.Namespace) -> dict[str, Any]:
    """What the report says of the model."""
    return {"model": options.model} | ({"lora": dict(options.lora)} if options.lora else {})


def _measure(options: argparse.Namespace, progress: Progress) -> dict[str, Any]:
    """The report that the options ask for, beginning with its subject."""
    from ..evaluation.codec_table import evaluate_codecs, read_once
    from ..evaluation.embedders import NamedClassifier
    from ..evaluation.evaluate_sounds import (
        evaluate_codec,
        evaluate_model,
        evaluate_sounds,
        folder_examples,
        spread,
    )
    from ..evaluation.prompts import evaluate_prompts, read_prompts
    from ..evaluation.renderings import evaluate_renderings, recordings_by_class
    from ..evaluation.yamnet import YAMNet

    embedder = load_embedder(options.embedder)
    if isinstance(embedder, YAMNet) and options.renderings:
        recordings = recordings_by_class(options.folder) if options.folder else None
        per_class = options.per_class or 20
        from ..codecs import load_codec

        [codec] = options.codec or [None]
        report = evaluate_renderings(
            embedder,
            recordings,
            per_class=per_class,
            codec=None if codec is None else load_codec(codec),
            progress=progress,
        )
        subject = {"renderings": "Foley corpus", "recordings": options.folder, "codec": codec}
        return {"subject": subject, **report}
    classifier = NamedClassifier.from_pretrained(options.classifier)
    settings = {"class_names": classifier.class_names, "seconds": options.seconds}
    common: dict[str, Any] = {"progress": progress}
    generation = {"duration": options.duration, "seed": options.seed, "candidates": options.candidates}
    if isinstance(embedder, YAMNet) and options.prompts is not None:
        prompts = spread(read_prompts(*filter(None, [options.prompts])), options.limit)
        references = folder_examples(options.folder, **settings) if options.folder else []
        model = load_model(options)
        report = evaluate_prompts(
            model, prompts, classifier, embedder, references=references, **generation, **common
        )
        return {
            "subject": {**_model(options), "prompts": options.prompts or "those that ship"},
            **report,
        }
    common["embedder"] = embedder
    if options.folder:
        examples = folder_examples(
            options.folder,
            captions=bool(options.model),
            split=options.split,
            limit=options.limit,
            **settings,
        )
    else:
        from ..evaluation.held_out_examples import held_out_examples

        per_class = options.per_class or 4
        examples = spread(held_out_examples(per_class), options.limit)
    sounds = options.folder or f"held-out Foley, {options.per_class or 4} a class"
    if options.model:
        report = evaluate_model(load_model(options), examples, classifier, **generation, **common)
        return {"subject": {**_model(options), "captions": sounds}, **report}
    if options.codec:
        from ..codecs import load_codec

        subject = {"sounds": sounds, "codec": options.codec[0]}
        if len(options.codec) == 1 and not options.zeroed:
            return {
                "subject": subject,
                **evaluate_codec(load_codec(options.codec[0]), examples, classifier, **common),
            }
        codecs = {name: load_codec(name) for name in options.codec}
        kept = examples if options.folder else read_once(examples)
        rows = evaluate_codecs(codecs, kept, classifier, zeroed=options.zeroed, **common)
        last = rows[-1]  # every codec meets the same sounds
        subject = {**subject, "codec": options.codec, "split": options.split, "embedder": options.embedder}
        return {"subject": subject, "rows": rows, "failed": last["failed"], "stopped": last["stopped"]}
    references = folder_examples(options.reference, **settings) if options.reference else []
    report = evaluate_sounds(examples, references, classifier, **common)
    return {"subject": {"sounds": sounds, "reference": options.reference}, **report}


COMMANDS = (
    Command(
        name="evaluate",
        summary="measure a folder of sounds, a model or a codec",
        description="""\
Measure sounds (FAD, KAD, KL, prompt accuracy), a model that makes them from captions, or a codec that
stores them; with YAMNet, also how a tagger that was trained elsewhere hears them.
FAD and KAD are the Fréchet and the kernel audio distance, KL is the Kullback-Leibler divergence between
what the classifier hears in a sound and in its reference: of each, smaller is better. Without FOLDER, models
and codecs are tried on held-out sounds of the Foley corpus.
Ctrl+C ends it with the figures of what was measured so far.
Exit status: 0 all is well, 1 some sounds were left out, 2 nothing could be measured, 130 Ctrl+C ended it.""",
        examples="""\
  soundloom evaluate --model foley -o report.json        (held-out Foley captions)
  soundloom evaluate mysounds/ --model foley             (captions of the folder; its sounds are references)
  soundloom evaluate mysounds/ --codec seanet-16khz      (its sounds, stored and restored)
  soundloom evaluate made/ --reference mysounds/         (sounds that are there already)
  soundloom evaluate --prompts --embedder yamnet:yamnet.onnx                         (is the prompt heard?)
  soundloom evaluate --renderings --embedder yamnet:yamnet.onnx                      (the corpus itself)
  soundloom evaluate mysounds/ --codec seanet-16khz --embedder yamnet:yamnet.onnx    (is it heard as before?)
  soundloom evaluate mysounds/ --codec seanet-16khz --codec music2latent2 --zeroed --split test   (one table)
""",
        add_arguments=add_evaluate_arguments,
        run=run_evaluate,
    ),
)
