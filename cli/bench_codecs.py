"""`soundloom bench-codecs`: codecs side by side on the user's own sounds."""

from __future__ import annotations

import argparse
import io
from pathlib import Path
from typing import Any

from .. import __version__
from .command import Command
from .options import add_classifier, add_force, add_part, add_quiet, whole
from .terminal import progress_bar

FILES = ("bench.json", "bench.md", "bench.png")


def add_bench_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", metavar="FOLDER", help="sounds to try the codecs on")
    parser.add_argument(
        "--codecs",
        metavar="NAMES",
        help="bundled names, folders or Hugging Face ids, separated by commas; NAME:3:6 takes the rates "
        "nearest below 3 and 6 kbit/s instead of all that a codec has (default: what is bundled)",
    )
    parser.add_argument(
        "--opus",
        default="6,12,24",
        metavar="KBIT",
        help="bit rates of Opus in kbit/s; none leaves it out (default: 6,12,24)",
    )
    parser.add_argument(
        "--opus-tool",
        choices=["auto", "opusenc", "libsndfile"],
        default="auto",
        help="default: opusenc (Debian: opus-tools) if it is installed, else libsndfile",
    )
    parser.add_argument(
        "--rate",
        type=whole,
        metavar="HZ",
        help="sample rate at which all are compared (default: the lowest of the codecs' own)",
    )
    add_classifier(parser, "classifier for FAD")
    add_part(parser)
    parser.add_argument("-o", "--output", metavar="DIR", help=f"write {', '.join(FILES)} into this folder")
    add_force(parser)
    add_quiet(parser, "no progress bar")


def run_bench_codecs(options: argparse.Namespace) -> int:
    """Try all codecs, print the table, and write table, figures and plot; 1: sounds left out, 130: Ctrl+C."""
    from ..evaluation.bench.contenders import parse_codecs, parse_rates

    opus_rates = [] if options.opus == "none" else parse_rates(options.opus)
    chosen = None if options.codecs is None else parse_codecs(options.codecs)
    files = _plan_files(options)

    from ..codecs import load_codec
    from ..core.failures import Failure, failure_lines
    from ..core.hub import BUNDLED_MODELS, bundled_names
    from ..evaluation.bench.contenders import codec_contenders, opus_contenders
    from ..evaluation.bench.run import run_bench
    from ..evaluation.classifier_scores import ClassifierScores
    from ..evaluation.embedders import NamedClassifier
    from ..evaluation.evaluate_sounds import bench_sounds, folder_examples, folder_failures
    from ..evaluation.report import write_report

    examples = folder_examples(options.folder, limit=options.limit, seconds=options.seconds)
    codecs = [
        (name, load_codec(name), rates)
        for name, rates in chosen or [(name, None) for name in bundled_names(BUNDLED_MODELS)]
    ]
    contenders = [contender for codec in codecs for contender in codec_contenders(*codec)]
    rate = options.rate or min(codec.sample_rate for _, codec, _ in codecs)
    channels = min(codec.channels for _, codec, _ in codecs)
    opus, notes = opus_contenders(options.opus_tool, opus_rates, channels)
    classifier = NamedClassifier.from_pretrained(options.classifier)
    failures: list[Failure] = []
    with progress_bar(enabled=not options.quiet, desc="coding", unit="sounds") as progress:
        result = run_bench(
            [*contenders, *opus],
            bench_sounds(examples, rate, channels, progress, failures),
            rate,
            scorer=lambda: ClassifierScores(classifier),
            notes=notes,
        )
    failures += folder_failures(options.folder)
    if files:
        picture = io.BytesIO()
        result.plot().savefig(picture, format="png")
        failed = [{"file": failure.file, "reason": failure.reason} for failure in failures]
        report = {"soundloom": __version__, "folder": options.folder, **result.to_dict(), "failed": failed}
        contents: tuple[Any, ...] = (report, result.table(), picture.getvalue())
        for file, content in zip(files, contents, strict=True):
            write_report(file, content)
    print(result.table(), end="")
    if not options.quiet:
        print("".join(f"{file}\n" for file in files), end="")
    if failures:
        print("\n".join([f"left out: {len(failures)}", *failure_lines(failures)]))
    return 130 if result.stopped else 1 if failures else 0


def _plan_files(options: argparse.Namespace) -> list[Path]:
    """The files that a bench writes, after checking that it can; its folder is made."""
    from ..core.files import check_file_destination

    if options.output is None:
        return []
    folder = Path(options.output)
    if folder.parent.is_dir() and not folder.exists():
        folder.mkdir()
    return [check_file_destination(folder / name, force=options.force) for name in FILES]


COMMANDS = (
    Command(
        name="bench-codecs",
        summary="compare codecs, and Opus, on your own sounds",
        description="""\
Store every sound of a folder with every codec, and measure what comes back: distances, FAD, the
bits really stored, and speed.""",
        examples="""\
  soundloom bench-codecs mysounds/ -o bench/                  (table, JSON and plot into bench/)
  soundloom bench-codecs mysounds/ --codecs seanet-16khz,encodec-24khz:1.5:3 --opus 6,12,24 --limit 20
""",
        add_arguments=add_bench_arguments,
        run=run_bench_codecs,
    ),
)
