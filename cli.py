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
import traceback
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from . import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .codecs.audio import Audio

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
  soundloom demo                                                      (opens the browser)
  soundloom fit --config recipes/NAME.yaml                            (trains; the same as lightning fit)
"""
GENERATE_EXAMPLES = """\
examples:
  soundloom generate "a dog barks, then rain" -o dog.wav --duration 5 --seed 7
  soundloom generate "a bell" "a siren" -o sounds/
  soundloom generate "three knocks" -o sounds/ --num-samples 4
"""


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

    for name, summary in TRAINING_COMMANDS.items():  # shown in the help; main() hands these to lightning()
        commands.add_parser(name, help=summary, add_help=False)
    return parser


def _add_generate_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("prompts", nargs="+", metavar="PROMPT", help='what to hear; "" lets the model choose')
    parser.add_argument(
        "-o",
        "--output",
        metavar="OUT",
        help="a file (.wav, .flac, .ogg, .mp3), or an existing folder, which several sounds need "
        "(default: a .wav named after the prompt in the current folder)",
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
    parser.add_argument("--continue-from", metavar="FILE", help="a recording to go on from")
    parser.add_argument(
        "--model", default="foley", help="bundled name, folder or Hugging Face id (default: foley)"
    )
    parser.add_argument(
        "--device",
        default="auto",
        help="cpu, cuda, cuda:1, … (default: auto: cuda if there is one, else cpu)",
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress bar, no summary")


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
    return run_guarded(
        lambda: _generate(options) if options.command == "generate" else run_demo(options),
        debug=getattr(options, "debug", False),
    )


def run_guarded(command: Callable[[], None], *, debug: bool) -> int:
    """Run `command`, turn what it raises into one line on stderr, and return the exit status."""
    try:
        command()
    except KeyboardInterrupt:
        print("\nsoundloom: stopped", file=sys.stderr)
        return 130
    except Exception as error:
        if debug:
            traceback.print_exc()
        print(f"soundloom: error: {_describe(error)}", file=sys.stderr)
        return 2
    return 0


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
    if options.num_samples < 1:
        raise CommandError(f"--num-samples is {options.num_samples}: it must be 1 or more")
    files = plan_outputs(options.output, options.prompts, options.num_samples, force=options.force)
    beginning = None if options.continue_from is None else _read(options.continue_from)

    from .gen.pipeline import AudioGen

    model = AudioGen.from_pretrained(options.model, device=choose_device(options.device))
    with _progress_bar(enabled=not options.quiet) as progress:
        audio = model.generate(
            options.prompts,
            duration=options.duration,
            guidance_scale=options.guidance_scale,
            temperature=options.temperature,
            top_k=options.top_k,
            top_p=options.top_p,
            seed=options.seed,
            continue_from=beginning,
            num_samples=options.num_samples,
            progress=progress,
        )
    for index, file in enumerate(files):
        audio.save(file, index=index, force=options.force)
        if not options.quiet:
            print(f"{file}  {audio.duration:.2f} s, seed {audio.seeds[index]}")


def _read(path: str) -> Audio:
    from .codecs.audio import Audio, read_audio

    samples, sample_rate = read_audio(path)
    return Audio(samples=samples[None], sample_rate=sample_rate)


@contextmanager
def _progress_bar(*, enabled: bool) -> Iterator[Callable[[int, int], None]]:
    """Yield a callback (done, total) that draws a bar on stderr."""
    from tqdm import tqdm

    with tqdm(desc="generating", unit=" frames", disable=not enabled, file=sys.stderr, leave=False) as bar:

        def update(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield update


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

    # "omegaconf+" resolves ${…} after files and command line are merged, so that an override reaches every
    # value that depends on it; in a subcommand its paths count from that subcommand's own root.
    jsonargparse.set_parsing_settings(omegaconf_absolute_to_relative_paths=True)
    mode = {"parser_mode": "omegaconf+"}
    LightningCLI(
        seed_everything_default=0, parser_kwargs={**mode, **{name: dict(mode) for name in TRAINING_COMMANDS}}
    )
