"""The `soundloom` and `lightning` commands.

Nothing heavy is imported until a command needs it: `soundloom --help` loads neither torch nor gradio, and
`soundloom generate` loads only the inference code.
"""

from __future__ import annotations

import argparse
import logging
import os
import re
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NoReturn

from . import __version__

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from .codecs.audio import Audio
    from .codecs.batch import Job
    from .codecs.files import FileReport
    from .gen.pipeline import AudioGen

TRAINING_COMMANDS = {
    "fit": "train a model from a YAML recipe (the same as `lightning fit`)",
    "validate": "measure a checkpoint on the validation data (the same as `lightning validate`)",
    "test": "measure a checkpoint on the test data (the same as `lightning test`)",
    "predict": "run a checkpoint on the prediction data (the same as `lightning predict`)",
}
EXAMPLES = """\
examples:
  soundloom generate "a dog barks" -o dog.wav --duration 5 --seed 7
  soundloom generate "heavy rain" "an owl hoots twice" -o sounds/      (one file a prompt)
  soundloom generate "then a door is knocked on" --continue-from dog.wav -o more.wav --duration 8
  soundloom encode song.wav song.loom                                 (about 2 kbit/s)
  soundloom decode song.loom back.wav
  soundloom demo                                                      (opens the browser)
  soundloom fit --config recipes/NAME.yaml                            (trains; the same as lightning fit)
  soundloom prepare mysounds/                                         (are they fit to train on?)
  soundloom export runs/NAME/checkpoints/last.ckpt mymodel            (what was trained, for --model mymodel)
"""
GENERATE_EXAMPLES = """\
examples:
  soundloom generate "a dog barks, then rain" -o dog.wav --duration 5 --seed 7
  soundloom generate "a bell" "a siren" -o sounds/
  soundloom generate "three knocks" -o sounds/ --num-samples 4
  soundloom generate "a church bell" -o bell.wav --candidates 8       (the best of eight)
  soundloom generate "heavy rain" --duration 60 -o - --stream | aplay (heard while it is made)
"""
EXPORT_EXAMPLES = """\
examples:
  soundloom export runs/audiogen_finetune/checkpoints/last.ckpt mymodel
  soundloom export last.ckpt mymodel --weights int8           (a quarter of the size)
  soundloom generate "a small bell" --model mymodel
"""
PREPARE_EXAMPLES = """\
examples:
  soundloom prepare mysounds/                              list what is wrong
  soundloom prepare mysounds/ --report report.json         the whole list, for a program
  soundloom prepare mysounds/ -o encoded/ --codec seanet-16khz
  soundloom prepare mysounds/ -o shards/ --shards          tar files of the sounds as they are
  soundloom prepare mysounds/ -o shards/ --shards --codec seanet-16khz --text-encoder t5-base
"""
MEASURE_TEXTS = {  # command -> description, examples
    "evaluate": (
        "Measure sounds (FAD, KL, prompt accuracy), a model that makes them from captions, or a codec that\n"
        "stores them. Without FOLDER, models and codecs are tried on held-out sounds of the Foley corpus.",
        """\
examples:
  soundloom evaluate --model foley -o report.json        held-out Foley captions
  soundloom evaluate mysounds/ --model foley             captions of the folder; its sounds are references
  soundloom evaluate mysounds/ --codec seanet-16khz      its sounds, stored and restored
  soundloom evaluate made/ --reference mysounds/         sounds that are there already
""",
    ),
    "compare": (
        "Print mel distance, log-spectral distance and SI-SDR between a sound file and its original.",
        "examples:\n"
        "  soundloom compare original.wav decoded.wav\n"
        "  soundloom compare original.wav coded.loom\n",
    ),
    "bench-codecs": (
        "Store every sound of a folder with every codec, and measure what comes back: distances, FAD, the\n"
        "bits really stored, and speed.",
        """\
examples:
  soundloom bench-codecs mysounds/ -o bench/                  table, JSON and plot into bench/
  soundloom bench-codecs mysounds/ --codecs seanet-16khz,encodec-24khz:1.5:3 --opus 6,12,24 --limit 20
""",
    ),
}


COMPRESS_TEXTS = {  # command -> description, examples
    "encode": (
        "Compress sounds to .loom files: tens of times smaller than wav, alike rather than equal.\n"
        "Any sample rate and channel count goes in; decoding gives rate and exact length back. A codec with\n"
        "one channel mixes stereo down, and that comes back mono.",
        """\
examples:
  soundloom encode song.wav song.loom
  soundloom encode song.wav song.loom --bitrate 1.5           (kbit/s)
  soundloom encode recordings/ packed/ --jobs 4               (a folder, with the folders in it)
  soundloom encode "takes/**/*.flac" packed/
  soundloom encode song.wav song.loom --codec encodec-24khz
  arecord -f cd | soundloom encode - live.loom
""",
    ),
    "decode": (
        "Decompress .loom files to sounds, with the sample rate, channels and exact length they had.",
        """\
examples:
  soundloom decode song.loom song.wav
  soundloom decode packed/ recordings/ --format flac
  soundloom decode hour.loom minute.wav --start 1800 --stop 1860   (decodes only that minute)
  soundloom decode song.loom - | aplay
  soundloom decode damaged.loom rescued.wav --recover
""",
    ),
    "info": (
        "Print what .loom files say about themselves and how many bits they really take.",
        """\
examples:
  soundloom info song.loom
  soundloom info packed/*.loom --json                         (one JSON object a line)
""",
    ),
}


class CommandError(ValueError):
    """The command line asks for something that cannot be done; the message names the value and the fix."""


class _Parser(argparse.ArgumentParser):
    """An argument parser that reports what is wrong in the same words as every other error."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"soundloom: error: {message}\n(see: {self.prog} --help)\n")


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the `soundloom` command."""
    debug = _Parser(add_help=False)
    debug.add_argument(
        "--debug", action="store_true", default=argparse.SUPPRESS, help="show the traceback of an error"
    )
    parser = _Parser(
        prog="soundloom",
        description="Text to sound, and sound to very few numbers.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[debug],
    )
    parser.add_argument("--version", action="version", version=f"soundloom {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True, parser_class=_Parser)

    generate = commands.add_parser(
        "generate",
        help="write the sound of a sentence to a file",
        description="Generate a sound for every prompt and write it to a file.",
        epilog=GENERATE_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[debug],
    )
    _add_generate_arguments(generate)

    demo = commands.add_parser(
        "demo",
        help="open the demo in the browser",
        description="Start the browser demo on this machine and open it.",
        parents=[debug],
    )
    add_demo_arguments(demo)

    for name, summary, add_arguments in (
        ("evaluate", "measure a folder of sounds, a model or a codec", _add_evaluate_arguments),
        ("compare", "measure how far a sound file is from another", _add_compare_arguments),
        ("bench-codecs", "compare codecs, and Opus, on your own sounds", _add_bench_arguments),
    ):
        add_arguments(
            commands.add_parser(
                name,
                help=summary,
                description=MEASURE_TEXTS[name][0],
                epilog=MEASURE_TEXTS[name][1],
                formatter_class=argparse.RawDescriptionHelpFormatter,
                parents=[debug],
            )
        )

    for name, summary, add_arguments in (
        ("encode", "compress sound files", _add_encode_arguments),
        ("decode", "decompress .loom files", _add_decode_arguments),
        ("info", "describe .loom files", _add_info_arguments),
    ):
        add_arguments(
            commands.add_parser(
                name,
                help=summary,
                description=COMPRESS_TEXTS[name][0],
                epilog=COMPRESS_TEXTS[name][1],
                formatter_class=argparse.RawDescriptionHelpFormatter,
                parents=[debug],
            )
        )

    prepare = commands.add_parser(
        "prepare",
        help="check a folder of sounds before training on it; encode it",
        description="Decode every sound in a folder and list what is unreadable, silent, too short, there\n"
        "twice or without a caption (metadata.csv or metadata.jsonl with file_name and text, or a .json or\n"
        ".txt beside each sound). With -o, write the others for training: encoded, as shards, or both.\n"
        "Exit status: 0 all is well, 1 some sounds were left out, 2 nothing could be done.",
        epilog=PREPARE_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[debug],
    )
    _add_prepare_arguments(prepare)

    export = commands.add_parser(
        "export",
        help="turn a checkpoint of a training run into a model folder",
        description="Write the model in a checkpoint of `soundloom fit` as a folder that --model takes:\n"
        "a language model with text encoder and codec, a codec, or the judge.",
        epilog=EXPORT_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[debug],
    )
    _add_export_arguments(export)

    for name, summary in TRAINING_COMMANDS.items():  # shown in the help; main() hands these to lightning()
        commands.add_parser(name, help=summary, add_help=False)
    return parser


def _add_generate_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("prompts", nargs="+", metavar="PROMPT", help='what to hear; "" lets the model choose')
    parser.add_argument(
        "-o",
        "--output",
        metavar="OUT",
        help="a file (.wav, .flac, .ogg, .mp3), or an existing folder, which several sounds need, or - for "
        "wav on the standard output (default: a .wav named after the prompt in the current folder)",
    )
    parser.add_argument("-f", "--force", action="store_true", help="overwrite existing files")
    parser.add_argument(
        "--duration",
        type=float,
        default=5.0,
        metavar="SECONDS",
        help="length of the result, what it continues included (default: 5)",
    )
    parser.add_argument("--seed", type=int, help="same seed, same sound (default: a new one, printed)")
    parser.add_argument(
        "--num-samples", type=int, default=1, metavar="N", help="sounds a prompt (default: 1)"
    )
    parser.add_argument(
        "--guidance-scale",
        type=float,
        metavar="X",
        help="how closely to follow the prompt (default: the model's own, usually 3)",
    )
    parser.add_argument(
        "--temperature", type=float, default=1.0, metavar="X", help="how varied; 0 is greedy (default: 1)"
    )
    parser.add_argument(
        "--top-k",
        type=int,
        metavar="K",
        help="draw from the K likeliest codes, 0 is all (default: the model's own, usually 250)",
    )
    parser.add_argument(
        "--top-p",
        type=float,
        default=0.0,
        metavar="P",
        help="draw from the likeliest codes that sum to P instead; 0 is off (default)",
    )
    parser.add_argument(
        "--guidance-end",
        type=float,
        metavar="X",
        help="let the guidance scale move evenly to X by the end (default: it stays)",
    )
    parser.add_argument(
        "--negative-prompt", metavar="PROMPT", help="what to lead away from, for example noise"
    )
    parser.add_argument(
        "--candidates",
        type=int,
        default=1,
        metavar="N",
        help="make N for each sound and keep the one in which a classifier, which knows the sounds that the "
        "model foley was taught, hears most of the prompt (default: 1)",
    )
    parser.add_argument("--continue-from", metavar="FILE", help="a recording to go on from")
    parser.add_argument(
        "--stream", action="store_true", help="with -o -: send the sound on while it is being made"
    )
    parser.add_argument(
        "--model", default="foley", help="bundled name, folder or Hugging Face id (default: foley)"
    )
    parser.add_argument(
        "--device",
        default="auto",
        help="cpu, cuda, cuda:1, … (default: auto: cuda if there is one, else cpu)",
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress bar, no summary")


def _add_encode_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "sources", nargs="+", metavar="IN", help='sound files, folders, quoted patterns ("a/**/*.wav"), or -'
    )
    parser.add_argument("destination", metavar="OUT", help="a .loom file, a folder for several, or -")
    parser.add_argument(
        "--codec",
        default="seanet-16khz",
        metavar="NAME",
        help="bundled name, folder or Hugging Face id (default: seanet-16khz)",
    )
    rate = parser.add_mutually_exclusive_group()
    rate.add_argument(
        "--bitrate", type=float, metavar="KBIT", help="at most so many kbit/s (default: the codec's own)"
    )
    rate.add_argument("--codebooks", type=int, metavar="K", help="how many codebooks to keep (default: all)")
    parser.add_argument(
        "--precision",
        choices=["exact", "float16", "int8"],
        help="exact: codes; float16, int8: continuous latents, of codecs that have them (default: codes, "
        "else float16)",
    )
    parser.add_argument(
        "--entropy",
        choices=["auto", "none"],
        default="auto",
        help="auto also codes by frequency where that is smaller (default); none packs plainly",
    )
    parser.add_argument(
        "--raw", metavar="FORMAT", help="IN has no header: ENCODING:RATE:CHANNELS, for example s16le:44100:2"
    )
    _add_batch_arguments(parser)


def _add_decode_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "sources", nargs="+", metavar="IN", help='.loom files, folders, quoted patterns ("a/**/*.loom"), or -'
    )
    parser.add_argument(
        "destination", metavar="OUT", help="a .wav, .flac, .ogg or .mp3 file, a folder for several, or -"
    )
    parser.add_argument(
        "--codec", metavar="NAME", help="bundled name, folder or Hugging Face id (default: as the file says)"
    )
    parser.add_argument("--start", type=float, metavar="SECONDS", help="begin there (default: the beginning)")
    parser.add_argument("--stop", type=float, metavar="SECONDS", help="end there (default: the end)")
    parser.add_argument(
        "--sample-rate", type=int, metavar="HZ", help="of the result (default: that of the sound encoded)"
    )
    parser.add_argument(
        "--format", choices=["wav", "flac", "ogg", "mp3"], default="wav", help="in folders (default: wav)"
    )
    parser.add_argument("--raw", metavar="ENCODING", help="with OUT -: samples without a header, as s16le")
    parser.add_argument(
        "--recover", action="store_true", help="keep what is intact of a damaged file; the rest is silence"
    )
    _add_batch_arguments(parser)


def _add_batch_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="files done at a time (default: 1)")
    parser.add_argument(
        "--device",
        default="auto",
        help="cpu, cuda, cuda:1, … (default: auto: cuda if there is one, else cpu)",
    )
    parser.add_argument("-f", "--force", action="store_true", help="overwrite existing files")
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress bar, no summary")


def _add_info_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", nargs="+", metavar="FILE", help=".loom files, or - for standard input")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")


def _add_export_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help="a .ckpt file of a training run")
    parser.add_argument("output", metavar="OUT", help="folder to write")
    parser.add_argument(
        "--weights",
        choices=["float", "int8"],
        default="float",
        help="float32, or int8 for language models, a quarter of the size (default: float)",
    )
    parser.add_argument(
        "--ema",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="take the moving average of the weights, or the weights as trained (default: the average where "
        "the checkpoint has one)",
    )
    parser.add_argument("-f", "--force", action="store_true", help="write into a folder that is not empty")
    parser.add_argument("-q", "--quiet", action="store_true", help="no summary")


def _add_prepare_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", metavar="FOLDER", help="sounds (.wav, .flac, .ogg, .mp3), any depth")
    parser.add_argument("-o", "--output", metavar="OUT", help="folder to write for training")
    parser.add_argument(
        "--codec", metavar="NAME", help="encode the sounds: bundled name, folder or Hugging Face id"
    )
    parser.add_argument(
        "--text-encoder",
        metavar="NAME",
        help="encode the captions too, with a T5 (t5-base, …) or the (frozen) encoder of a bundled model",
    )
    parser.add_argument("--shards", action="store_true", help="write WebDataset shards (tar files)")
    parser.add_argument(
        "--shard-size", type=float, default=500.0, metavar="MB", help="of one shard (default: 500)"
    )
    parser.add_argument(
        "--seconds",
        type=float,
        default=30.0,
        help="longest piece that is encoded; longer recordings are cut (default: 30)",
    )
    parser.add_argument(
        "--min-seconds", type=float, default=0.1, metavar="S", help="shorter is too short (default: 0.1)"
    )
    parser.add_argument(
        "--silence-db", type=float, default=-60.0, metavar="DB", help="peak of a silent sound (default: -60)"
    )
    parser.add_argument(
        "--no-captions", action="store_true", help="captions are not needed (codecs, unconditional training)"
    )
    parser.add_argument(
        "--normalize-captions",
        action="store_true",
        help="reduce written captions to key words, as the AudioGen paper does",
    )
    parser.add_argument("--report", metavar="FILE", help="write the report as JSON")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="files read at the same time")
    parser.add_argument("--batch-size", type=int, default=16, help="pieces encoded at once (default: 16)")
    parser.add_argument(
        "--device",
        default="auto",
        help="cpu, cuda, cuda:1, … (default: auto: cuda if there is one, else cpu)",
    )
    parser.add_argument("-f", "--force", action="store_true", help="replace what was written to OUT earlier")
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress bar, no summary")


def _add_evaluate_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "folder", nargs="?", metavar="FOLDER", help="sounds, with captions where they are needed"
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--model", metavar="NAME", help="measure this model: bundled name, folder or hub id")
    what.add_argument("--codec", metavar="NAME", help="measure this codec: bundled name, folder or hub id")
    parser.add_argument("--reference", metavar="FOLDER", help="sounds that those of FOLDER are compared with")
    parser.add_argument("--judge", default="foley-judge", help="classifier (default: foley-judge)")
    parser.add_argument(
        "--embedder",
        choices=["judge", "log-mel"],
        default="judge",
        help="what FAD is measured with: the judge's features (default), or statistics of a spectrogram",
    )
    parser.add_argument(
        "--per-class", type=int, default=4, metavar="N", help="held-out sounds of each class (default: 4)"
    )
    parser.add_argument(
        "--duration", type=float, default=5.0, metavar="SECONDS", help="of generated sounds (default: 5)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the first generated sound (default: 0)")
    parser.add_argument("--device", default="auto", help="for --model: cpu, cuda, … (default: auto)")
    parser.add_argument("-o", "--output", metavar="FILE", help="also write the report to this .json file")
    _add_measure_arguments(parser)


def _add_compare_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("original", metavar="A", help="the original")
    parser.add_argument("other", metavar="B", help="what is compared with it")
    parser.add_argument("--trim", action="store_true", help="cut the longer sound at its end")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def _add_bench_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", metavar="FOLDER", help="sounds to try the codecs on")
    parser.add_argument(
        "--codecs",
        metavar="NAMES",
        help="bundled names, folders or hub ids, separated by commas; NAME:3:6 takes the rates nearest "
        "below 3 and 6 kbit/s instead of all that a codec has (default: what is bundled)",
    )
    parser.add_argument(
        "--opus",
        default="6,12,24",
        metavar="KBPS",
        help="bit rates of Opus; none leaves it out (default: 6,12,24)",
    )
    parser.add_argument(
        "--opus-tool",
        choices=["auto", "opusenc", "libsndfile"],
        default="auto",
        help="default: opusenc (Debian: opus-tools) if it is installed, else libsndfile",
    )
    parser.add_argument(
        "--rate",
        type=int,
        metavar="HZ",
        help="sample rate at which all are compared (default: the lowest of the codecs' own)",
    )
    parser.add_argument("--judge", default="foley-judge", help="classifier for FAD (default: foley-judge)")
    parser.add_argument(
        "-o", "--output", metavar="DIR", help="write bench.json, bench.md and bench.png into this folder"
    )
    _add_measure_arguments(parser)


def _add_measure_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--limit", type=int, metavar="N", help="take only N sounds, spread evenly over the folder"
    )
    parser.add_argument(
        "--seconds",
        type=float,
        default=30.0,
        metavar="S",
        help="take only the first S seconds of each sound (default: 30)",
    )
    parser.add_argument("-f", "--force", action="store_true", help="overwrite existing files")
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress bar")


def add_demo_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `soundloom demo` (also those of `python app.py`) to `parser`."""
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1)")
    parser.add_argument(
        "--port", type=int, help="port to listen on (default: 7860, or the next one that is free)"
    )
    parser.add_argument("--share", action="store_true", help="also open a public link (needs the internet)")
    parser.add_argument("--no-browser", action="store_true", help="do not open the browser")
    parser.add_argument(
        "--model", default="foley", help="bundled name, folder or Hugging Face id (default: foley)"
    )
    parser.add_argument("--device", default="auto", help="cpu, cuda, cuda:1, … (default: auto)")


def main(args: Sequence[str] | None = None) -> int:
    """Run `soundloom`; `args` defaults to the command line. Returns the exit status."""
    words = list(sys.argv[1:] if args is None else args)
    if words and words[0] in TRAINING_COMMANDS:
        return lightning(args)
    logging.basicConfig(level=logging.WARNING, format="soundloom: %(message)s", stream=sys.stderr)
    options = build_parser().parse_args(words)
    handlers: dict[str, Callable[[argparse.Namespace], int | None]] = {
        "generate": _generate,
        "demo": run_demo,
        "export": _export,
        "prepare": _prepare,
        "evaluate": _evaluate,
        "compare": _compare,
        "bench-codecs": _bench_codecs,
        "encode": _encode,
        "decode": _decode,
        "info": _info,
    }
    return run_guarded(lambda: handlers[options.command](options), debug=getattr(options, "debug", False))


def run_guarded(command: Callable[[], int | None], *, debug: bool) -> int:
    """Run `command`, turn what it raises into one line on stderr, and return the exit status.

    That is what the command returns (None: 0), or 2 for an error.
    """
    try:
        return command() or 0
    except KeyboardInterrupt:
        print("\nsoundloom: stopped", file=sys.stderr)
        return 130
    except Exception as error:
        if debug:
            traceback.print_exc()
        print(f"soundloom: error: {_describe(error)}", file=sys.stderr)
        return 2


def _describe(error: Exception) -> str:
    if isinstance(error, (ValueError, OSError)) and str(error):
        return str(error)
    return f"{type(error).__name__}: {error} (run again with --debug for the traceback)"


def choose_device(name: str) -> str:
    """Return a torch device name; "auto" means the first CUDA device where there is one, else the CPU.

    Raises:
        ValueError: `name` is no device, or one that this machine or this build of torch lacks.
    """
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(1, device=name)
    except (RuntimeError, AssertionError) as error:  # torch built without CUDA asserts
        raise CommandError(
            f"device {name!r} cannot be used here ({str(error).splitlines()[0]}): use cpu or auto"
        ) from None
    return name


def slug(prompt: str) -> str:
    """Return a file name stem for a prompt: lower-case words joined by dashes, at most 60 characters."""
    return re.sub(r"[\W_]+", "-", prompt.lower()).strip("-")[:60].rstrip("-") or "sound"


def plan_outputs(output: str | None, prompts: Sequence[str], num_samples: int, *, force: bool) -> list[Path]:
    """Return the file of every sound, in the order of generation, after checking that each can be written.

    Args:
        output: a file, an existing folder, or None for the current folder.
        prompts: the prompts, after which files in a folder are named.
        num_samples: sounds a prompt.
        force: allow existing files to be replaced.

    Raises:
        CommandError: several sounds are to go into one file, a file exists and `force` is not given, or the
            folder is not writable.
        ValueError, OSError: the folder does not exist, or the suffix is unknown.
    """
    from .codecs.audio import check_destination

    count = len(prompts) * num_samples
    target = Path.cwd() if output is None else Path(output)
    files: list[Path] = []
    if target.is_dir():
        for stem in (slug(prompt) for prompt in prompts for _ in range(num_samples)):
            number, file = 1, target / f"{stem}.wav"
            while file in files:
                number += 1
                file = target / f"{stem}-{number}.wav"
            files.append(file)
    elif count > 1:
        raise CommandError(
            f"{count} sounds need a folder, and {output!r} is not an existing one: make it (mkdir -p sounds) "
            "and give -o sounds"
        )
    else:
        files.append(target)
    for file in files:
        try:
            check_destination(file, force=force)
        except FileExistsError:
            raise CommandError(
                f"{file} exists: give --force to replace it, or another name with -o"
            ) from None
    if not os.access(files[0].parent, os.W_OK):
        raise CommandError(f"the folder {files[0].parent} is not writable: choose another one with -o")
    return files


def _generate(options: argparse.Namespace) -> None:
    for name, count in (("--num-samples", options.num_samples), ("--candidates", options.candidates)):
        if count < 1:
            raise CommandError(f"{name} is {count}: it must be 1 or more")
    files: list[Path] = []
    if options.output == "-":
        _check_pipe(options)
    elif options.stream:
        raise CommandError(
            "--stream sends sound on while it is being made, which needs -o - and a reader: "
            'soundloom generate "rain" -o - --stream | aplay'
        )
    else:
        files = plan_outputs(options.output, options.prompts, options.num_samples, force=options.force)
    beginning = None if options.continue_from is None else _read(options.continue_from)

    from .gen.pipeline import AudioGen

    model = AudioGen.from_pretrained(options.model, device=choose_device(options.device))
    guidance = options.guidance_scale
    if options.guidance_end is not None:
        guidance = (model.guidance_scale if guidance is None else guidance, options.guidance_end)
    with _progress_bar(enabled=not options.quiet) as progress:
        settings: dict[str, Any] = {
            "duration": options.duration,
            "guidance_scale": guidance,
            "negative_prompt": options.negative_prompt,
            "temperature": options.temperature,
            "top_k": options.top_k,
            "top_p": options.top_p,
            "seed": options.seed,
            "continue_from": beginning,
            "num_samples": options.num_samples,
            "progress": progress,
        }
        if options.stream:
            summary = _send(model, options, settings)
        else:
            if options.candidates > 1:
                from .gen.rerank import JudgeScorer

                settings |= {"candidates": options.candidates, "rerank": JudgeScorer()}
            audio = model.generate(options.prompts, **settings)
            summary = [f"{audio.duration:.2f} s, seed {seed}" for seed in audio.seeds]
    if not files and not options.stream:
        with tempfile.TemporaryDirectory() as folder, _standard_output() as stream:
            stream.write(audio.save(Path(folder, "sound.wav")).read_bytes())
    if not files and not options.quiet:
        print(f"(standard output)  {summary[0]}", file=sys.stderr)
    for index, file in enumerate(files):
        audio.save(file, index=index, force=options.force)
        if not options.quiet:
            print(f"{file}  {summary[index]}")


def _check_pipe(options: argparse.Namespace) -> None:
    if len(options.prompts) * options.num_samples > 1:
        raise CommandError("-o - takes one sound: give one prompt and --num-samples 1, or -o a folder")
    if options.stream and options.candidates > 1:
        raise CommandError("--candidates chooses among finished sounds: leave out --stream, or --candidates")
    if sys.stdout.isatty():
        raise CommandError(
            "-o - writes a wav file to the standard output, which is this terminal: send it to a player or a "
            'file, as in  soundloom generate "rain" -o - | aplay'
        )


def _send(model: AudioGen, options: argparse.Namespace, settings: dict[str, Any]) -> list[str]:
    """Write a sound to the standard output while it is being made; returns what to say about it."""
    from .gen.streaming import WavStream

    chunks = model.stream(options.prompts, **settings)
    rate, length = model.codec.sample_rate, model.count_samples(options.duration)
    with _standard_output() as stream:
        wav = WavStream(stream, sample_rate=rate, channels=model.codec.channels, length=length)
        for chunk in chunks:
            wav.write(chunk.samples[0])
    clipped = f", {wav.clipped} samples clipped" if wav.clipped else ""
    return [f"{length / rate:.2f} s, seed {chunk.seeds[0]}{clipped}"]


@contextmanager
def _standard_output() -> Iterator[BinaryIO]:
    """Yield the standard output for bytes; a reader that has gone is one clear error."""
    try:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        # Or Python complains once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise CommandError("the program that was to read the sound has stopped reading") from None


def _read(path: str) -> Audio:
    from .codecs.audio import Audio, read_audio

    samples, sample_rate = read_audio(path)
    return Audio(samples=samples[None], sample_rate=sample_rate)


@contextmanager
def _progress_bar(
    *, enabled: bool, desc: str = "generating", unit: str = " frames"
) -> Iterator[Callable[[int, int], None]]:
    """Yield a callback (done, total) that draws a bar on stderr."""
    from tqdm import tqdm

    with tqdm(desc=desc, unit=unit, disable=not enabled, file=sys.stderr, leave=False) as bar:

        def update(done: int, total: int) -> None:
            bar.total = total or None
            bar.update(done - bar.n)

        yield update


def _prepare(options: argparse.Namespace) -> int:
    for name in ("codec", "text_encoder", "shards"):
        if getattr(options, name) and options.output is None:
            raise CommandError(f"--{name.replace('_', '-')} needs a folder to write to: give one with -o")
    if options.output is not None and not (options.codec or options.shards):
        raise CommandError("-o is given, but not what to write: add --codec NAME, --shards, or both")
    if options.text_encoder and not options.codec:
        raise CommandError("--text-encoder needs --codec: captions are encoded along with the sounds")
    if not options.shard_size > 0:
        raise CommandError(f"--shard-size is {options.shard_size}: it must be more than 0")

    from .recipes.prepare import check_folder, check_output, prepare_folder

    if options.output is not None:
        check_output(options.folder, options.output, force=options.force)
    device = choose_device(options.device) if options.codec else "cpu"
    with _progress_bar(enabled=not options.quiet, desc="reading", unit=" files") as progress:
        report = check_folder(
            options.folder,
            captions=not options.no_captions,
            min_seconds=options.min_seconds,
            silence_db=options.silence_db,
            jobs=options.jobs,
            progress=progress,
        )
    if not options.quiet:
        print("\n".join(report.lines()))
    if options.report is not None:
        report.write(Path(options.report))
    if options.output is not None:
        with _progress_bar(enabled=not options.quiet, desc="writing", unit=" files") as progress:
            prepare_folder(
                report,
                options.output,
                codec=options.codec,
                text_encoder=options.text_encoder,
                shards=options.shards,
                shard_bytes=round(options.shard_size * 1e6),
                normalize=options.normalize_captions,
                force=options.force,
                seconds=options.seconds,
                batch_size=options.batch_size,
                device=device,
                progress=progress,
            )
        if not options.quiet:
            print(f"wrote {options.output}")
    if not report.usable:
        return 2
    return 1 if report.problems else 0


def _evaluate(options: argparse.Namespace) -> None:
    if not (options.folder or options.model or options.codec):
        raise CommandError("nothing to evaluate: give a FOLDER with --reference, or --model or --codec")
    if options.reference and (options.model or options.codec):
        raise CommandError(
            "--reference goes with a FOLDER alone: with --model or --codec, the sounds of FOLDER are the "
            "references"
        )
    from .codecs.reports import check_report, write_report

    if options.output is not None:
        check_report(options.output, force=options.force)
    from .gen.embedders import Judge, LogMelStatistics
    from .gen.evaluation import report_lines
    from .recipes.evaluation import evaluate_codec, evaluate_model, evaluate_sounds, folder_examples, spread

    judge = Judge.from_pretrained(options.judge)
    common: dict[str, Any] = {"embedder": LogMelStatistics() if options.embedder == "log-mel" else None}
    settings = {"class_names": judge.class_names, "limit": options.limit, "seconds": options.seconds}
    if options.folder:
        examples = folder_examples(options.folder, captions=bool(options.model), **settings)
    else:
        from .recipes.foley.evaluate import held_out_examples

        examples = spread(held_out_examples(options.per_class), options.limit)
    subject = {"sounds": options.folder or f"held-out Foley, {options.per_class} a class"}
    with _progress_bar(enabled=not options.quiet, desc="evaluating", unit=" sounds") as progress:
        common["progress"] = progress
        if options.model:
            from .gen.pipeline import AudioGen

            model = AudioGen.from_pretrained(options.model, device=choose_device(options.device))
            own = {"duration": options.duration, "seed": options.seed}
            report = evaluate_model(model, examples, judge, **own, **common)
            subject = {"model": options.model, "captions": subject["sounds"]}
        elif options.codec:
            from .codecs import load_codec

            report = evaluate_codec(load_codec(options.codec), examples, judge, **common)
            subject["codec"] = options.codec
        else:
            settings["limit"] = None
            references = folder_examples(options.reference, **settings) if options.reference else []
            report = evaluate_sounds(examples, references, judge, **common)
            subject["reference"] = options.reference
    report = {"soundloom": __version__, "subject": subject, **report}
    if options.output is not None:
        write_report(options.output, report)
    print("\n".join(report_lines(report)))


def _encode(options: argparse.Namespace) -> int:
    from .codecs import load_codec
    from .codecs.container import SUFFIX
    from .codecs.files import encode_file, sound_seconds
    from .codecs.soundio import SOUND_SUFFIXES, RawFormat
    from .codecs.storage import choose_storage

    raw = None if options.raw is None else RawFormat.parse(options.raw, reading=True)
    jobs = _plan(options, suffixes=SOUND_SUFFIXES, new_suffix=SUFFIX)
    codec: Any = load_codec(options.codec)
    codec = codec.to(choose_device(options.device))
    choice: dict[str, Any] = {
        "bitrate": None if options.bitrate is None else 1000 * options.bitrate,
        "codebooks": options.codebooks,
        "precision": options.precision,
    }
    choose_storage(codec, **choice)  # before any work

    def work(source: Any, destination: Any, progress: Callable[[float], None]) -> FileReport:
        return encode_file(
            source,
            destination,
            codec,
            **choice,
            entropy=options.entropy,
            raw=raw,
            force=options.force,
            progress=progress,
        )

    def line(report: FileReport) -> str:
        mixed = report.header.channels < report.source_channels
        return (
            f"{report.destination}  {report.seconds:.2f} s, {report.size} bytes, "
            f"{report.bitrate / 1000:.2f} kbit/s"
            + (f", {report.source_channels} channels mixed to mono" if mixed else "")
        )

    return _run_batch(options, jobs, work, line, lambda path: sound_seconds(path, raw), "encoding")


def _decode(options: argparse.Namespace) -> int:
    from .codecs import load_codec
    from .codecs.container import SUFFIX
    from .codecs.files import CodecShelf, decode_file, described_seconds
    from .codecs.soundio import RawFormat

    raw = None if options.raw is None else RawFormat.parse(options.raw, reading=False)
    if raw is not None and options.destination != "-":
        raise CommandError("--raw goes with OUT -: files are written as .wav, .flac, .ogg or .mp3")
    jobs = _plan(options, suffixes={SUFFIX}, new_suffix=f".{options.format}")
    device = choose_device(options.device)
    codec: Any = CodecShelf(device)
    if options.codec is not None:
        chosen: Any = load_codec(options.codec)
        codec = chosen.to(device)

    def work(source: Any, destination: Any, progress: Callable[[float], None]) -> FileReport:
        return decode_file(
            source,
            destination,
            codec,
            start=options.start,
            stop=options.stop,
            sample_rate=options.sample_rate,
            raw=raw,
            recover=options.recover,
            force=options.force,
            progress=progress,
        )

    def line(report: FileReport) -> str:
        rate = options.sample_rate or report.header.sample_rate
        channels = "mono" if report.header.channels == 1 else "stereo"
        clipped = f", {report.clipped} samples clipped" if report.clipped else ""
        lost = "".join(
            f"\n  lost: {count} frames from frame {first} on ({reason})"
            for first, count, reason in report.damaged
        )
        return f"{report.destination}  {report.seconds:.2f} s, {rate} Hz {channels}{clipped}{lost}"

    def seconds(path: Path) -> float:
        return described_seconds(path, options.start, options.stop)

    return _run_batch(options, jobs, work, line, seconds, "decoding")


def _plan(options: argparse.Namespace, *, suffixes: Collection[str], new_suffix: str) -> list[Job]:
    """Jobs of `encode` and `decode`; none when there is a pipe at either end."""
    from .codecs.batch import plan_jobs

    if "-" in options.sources or options.destination == "-":
        if len(options.sources) > 1:
            raise CommandError("- is one sound: give one IN and one OUT with it")
        return []
    return plan_jobs(
        options.sources, options.destination, suffixes=suffixes, new_suffix=new_suffix, force=options.force
    )


def _run_batch(
    options: argparse.Namespace,
    jobs: list[Job],
    work: Callable[[Any, Any, Callable[[float], None]], FileReport],
    line: Callable[[FileReport], str],
    seconds: Callable[[Path], float],
    verb: str,
) -> int:
    """Do the jobs of `encode` or `decode`, or the one of a pipe, and say what was done."""
    import torch
    from tqdm import tqdm

    from .codecs.batch import run_jobs

    if options.jobs < 1:
        raise CommandError(f"--jobs is {options.jobs}: it must be 1 or more")
    if options.jobs > 1:
        torch.set_num_threads(max(1, torch.get_num_threads() // options.jobs))
    total = sum(seconds(job.source) for job in jobs)
    elapsed = 0.0
    with _progress_bar(enabled=not options.quiet, desc=verb, unit=" s") as bar:

        def advance(more: float) -> None:
            nonlocal elapsed
            elapsed += more
            bar(int(elapsed), int(total))

        if not jobs:
            source: Any = sys.stdin.buffer if options.sources[0] == "-" else options.sources[0]
            if options.destination != "-":
                report = work(source, options.destination, advance)
            else:
                with _standard_output() as stream:
                    report = work(source, stream, advance)
            if not options.quiet:
                tqdm.write(line(report), file=sys.stderr if options.destination == "-" else sys.stdout)
            return 0

        def done(job: Job, outcome: FileReport | Exception) -> None:
            if isinstance(outcome, Exception):
                if len(jobs) > 1:
                    tqdm.write(f"soundloom: {job.source}: {_describe(outcome)}", file=sys.stderr)
            elif not options.quiet:
                tqdm.write(line(outcome), file=sys.stdout)

        outcomes = run_jobs(
            jobs,
            lambda job, progress: work(job.source, job.destination, progress),
            workers=options.jobs,
            progress=advance,
            done=done,
        )
    failed = [outcome for outcome in outcomes if isinstance(outcome, Exception)]
    if failed:
        if len(jobs) == 1:
            raise failed[0]
        raise CommandError(f"{len(failed)} of {len(jobs)} files could not be done, see above")
    return 0


def _info(options: argparse.Namespace) -> None:
    import json

    from .codecs.files import describe_file

    failed = 0
    for name in options.files:
        try:
            found = describe_file(sys.stdin.buffer if name == "-" else name)
        except (ValueError, OSError) as error:
            if len(options.files) == 1:
                raise
            print(f"soundloom: {_describe(error)}", file=sys.stderr)
            failed += 1
            continue
        print(json.dumps(found.to_dict()) if options.json else "\n".join(found.lines()))
    if failed:
        raise CommandError(f"{failed} of {len(options.files)} files could not be read, see above")


def _compare(options: argparse.Namespace) -> None:
    from .codecs.compare import compare_files, comparison_table
    from .codecs.reports import to_json

    comparison = compare_files(options.original, options.other, trim=options.trim)
    print(to_json(comparison) if options.json else comparison_table(comparison))


def _bench_codecs(options: argparse.Namespace) -> None:
    from .codecs.contenders import parse_codecs, parse_rates

    opus_rates = [] if options.opus == "none" else parse_rates(options.opus)
    chosen = None if options.codecs is None else parse_codecs(options.codecs)
    files = _bench_files(options)

    from .codecs import load_codec
    from .codecs.base import BUNDLED_MODELS, bundled_names
    from .codecs.bench import run_bench
    from .codecs.contenders import codec_contenders, opus_contenders
    from .codecs.reports import write_report
    from .gen.embedders import Judge
    from .gen.metrics import JudgeScores
    from .recipes.evaluation import bench_sounds, folder_examples

    examples = folder_examples(options.folder, limit=options.limit, seconds=options.seconds)
    codecs = [
        (name, load_codec(name), rates)
        for name, rates in chosen or [(name, None) for name in bundled_names(BUNDLED_MODELS)]
    ]
    contenders = [contender for codec in codecs for contender in codec_contenders(*codec)]
    rate = options.rate or min(codec.sample_rate for _, codec, _ in codecs)
    channels = min(codec.channels for _, codec, _ in codecs)
    opus, notes = opus_contenders(options.opus_tool, opus_rates, channels)
    judge = Judge.from_pretrained(options.judge)
    with _progress_bar(enabled=not options.quiet, desc="coding", unit=" sounds") as progress:
        result = run_bench(
            [*contenders, *opus],
            bench_sounds(examples, rate, channels, progress),
            rate,
            scorer=lambda: JudgeScores(judge),
            notes=notes,
        )
    if files:
        import io

        picture = io.BytesIO()
        result.plot().savefig(picture, format="png")
        report = {"soundloom": __version__, "folder": options.folder, **result.to_dict()}
        contents: tuple[Any, ...] = (report, result.table(), picture.getvalue())
        for file, content in zip(files, contents, strict=True):
            write_report(file, content)
    print(result.table(), end="")
    if not options.quiet:
        print("".join(f"{file}\n" for file in files), end="")


def _bench_files(options: argparse.Namespace) -> list[Path]:
    """The files that a bench writes, after checking that it can; its folder is made."""
    from .codecs.reports import check_report

    if options.output is None:
        return []
    folder = Path(options.output)
    if folder.parent.is_dir() and not folder.exists():
        folder.mkdir()
    names = ("bench.json", "bench.md", "bench.png")
    return [check_report(folder / name, force=options.force) for name in names]


def _export(options: argparse.Namespace) -> None:
    from .gen.export import export_checkpoint

    done = export_checkpoint(
        options.checkpoint, options.output, weights=options.weights, ema=options.ema, force=options.force
    )
    if not options.quiet:
        kind = "moving average" if done.averaged else "weights as trained"
        print(f"{done.folder}  {done.size / 1e6:.1f} MB, {done.step} steps, {kind} ({done.module})")


def run_demo(options: argparse.Namespace) -> None:
    """Load the model, start the demo and wait until it is stopped; see `add_demo_arguments`."""
    from .app import build_demo, serve
    from .gen.pipeline import AudioGen

    print(f"loading {options.model!r} …", flush=True)
    model = AudioGen.from_pretrained(options.model, device=choose_device(options.device))
    serve(
        build_demo(model, name=options.model),
        host=options.host,
        port=options.port,
        share=options.share,
        open_browser=not options.no_browser,
    )


def lightning(args: Sequence[str] | None = None) -> int:
    """Run `lightning fit|validate|test|predict`; returns the exit status.

    A word that is none of these belongs to the lightning SDK, whose own `lightning` command it is handed to
    when that package is installed beside this one.
    """
    if (
        args is not None
    ):  # what is started from here reads sys.argv: Lightning's launcher of worker processes too
        given, sys.argv = sys.argv, ["lightning", *args]
        try:
            return lightning()
        finally:
            sys.argv = given
    words = sys.argv[1:]
    if words and (words[0] in TRAINING_COMMANDS or words[0].startswith("-")):
        _run_training()
        return 0
    other = _other_lightning_command()
    if other is not None:
        status = other()
        return status if isinstance(status, int) else 0
    problem = f"{words[0]!r} is not a command" if words else "no command is given"
    print(
        f"lightning: error: {problem}: use one of {', '.join(TRAINING_COMMANDS)}, as in\n"
        "    lightning fit --config recipes/NAME.yaml\n"
        "(the cloud commands of lightning.ai need their own package: pip install lightning-sdk)",
        file=sys.stderr,
    )
    return 2


def _other_lightning_command() -> Callable[[], Any] | None:
    """Return what another installed package calls `lightning`, or None."""
    from importlib.metadata import entry_points

    for entry in entry_points(group="console_scripts", name="lightning"):
        if entry.module.split(".")[0] != "soundloom":
            return entry.load()
    return None


def _run_training() -> None:
    import jsonargparse
    from lightning.pytorch.cli import LightningCLI

    from .gen import sharding
    from .recipes.resume import StepSeed

    sharding.register()  # --trainer.strategy fsdp2
    # "omegaconf+" resolves ${…} after files and command line are merged, so that an override reaches every
    # value that depends on it; in a subcommand its paths count from that subcommand's own root.
    jsonargparse.set_parsing_settings(omegaconf_absolute_to_relative_paths=True)
    mode = {"parser_mode": "omegaconf+"}
    LightningCLI(
        seed_everything_default=0,
        parser_kwargs={**mode, **{name: dict(mode) for name in TRAINING_COMMANDS}},
        # A run that is killed and resumed goes on as if it had not been.
        trainer_defaults={
            "callbacks": [StepSeed()],
            "plugins": {"class_path": "soundloom.recipes.resume.WholeFileIO"},
        },
    )
