"""`soundloom`: which commands there are, and the way to each."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence

from .. import __version__
from . import (
    augment,
    bench_codecs,
    compare,
    compare_latents,
    compare_models,
    convert,
    decode,
    demo,
    detect,
    distil_text,
    draw,
    edit,
    encode,
    evaluate,
    export,
    generate,
    info,
    prepare,
    probe,
    push,
    render,
    serve,
    test,
)
from .command import Parser, did_you_mean, run_guarded
from .options import run_with
from .sleep_while_waiting import sleep_while_waiting
from .terminal import show_any_name
from .training import TRAINING_COMMANDS, lightning

FAMILIES = (
    *(generate, demo, serve, edit, encode, decode, info, test, detect),
    *(evaluate, compare, compare_models, compare_latents, probe, bench_codecs, draw),
    *(prepare, augment, export, convert, push, render, distil_text),
)
COMMANDS = {command.name: command for family in FAMILIES for command in family.COMMANDS}
EXAMPLES = """\
  soundloom generate "a dog barks" -o dog.wav --duration 5 --seed 7
  soundloom generate "heavy rain" "an owl hoots twice" -o sounds/     (one file a prompt)
  soundloom edit street.wav --replace 1.2:2 --prompt "a dog barks" -o dog.wav
  soundloom encode song.wav song.loom                                 (about 2 kbit/s)
  soundloom decode song.loom back.wav
  soundloom demo                                                      (opens the browser)
  soundloom serve                                                     (for programs, over HTTP)
  soundloom prepare mysounds/                                         (are they fit to train on?)
  soundloom fit --config recipes/NAME.yaml                            (trains; the same as lightning fit)
  soundloom export runs/NAME/checkpoints/last.ckpt mymodel            (what was trained, for --model mymodel)
"""


def main(args: Sequence[str] | None = None) -> int:
    """Run `soundloom`; `args` defaults to the command line. Returns the exit status."""
    sleep_while_waiting()
    words = list(sys.argv[1:] if args is None else args)
    if is_training(words):
        return lightning(args, name="soundloom")
    show_any_name()
    logging.basicConfig(level=logging.WARNING, format="soundloom: %(message)s", stream=sys.stderr)
    parser = build_parser()
    known = [*COMMANDS, *TRAINING_COMMANDS]
    choices = f"; use one of {', '.join(known)}"
    name = next((word for word in words if not word.startswith("-")), None)
    place = words.index(name) if name is not None else 0
    if is_training(words[place:]):
        parser.parse_args(words[:place])  # what may stand there is --debug
        return lightning([*words[place:], "--debug"], name="soundloom")
    if name is not None and name not in known:
        parser.error(f"there is no command {name!r}{did_you_mean(name, known) or choices}")
    options = parser.parse_args(words)
    if options.command is None:
        parser.error(f"no command is given{choices}")
    run = COMMANDS[options.command].run
    debug = getattr(options, "debug", False)
    logging.getLogger("soundloom").setLevel(logging.DEBUG if debug else logging.NOTSET)
    return run_guarded(lambda: run_with(options, run), debug=debug)


def is_training(words: Sequence[str]) -> bool:
    """Whether words of the command line are Lightning's; `test` is also a command for compressed files."""
    if not words or words[0] not in TRAINING_COMMANDS:
        return False
    return words[0] != "test" or not test.means_files(words[1:])


def build_parser() -> Parser:
    """Return the parser of the `soundloom` command."""
    debug = Parser(add_help=False)  # goes before the command and behind it
    debug.add_argument(
        "--debug", action="store_true", default=argparse.SUPPRESS, help="show the traceback of an error"
    )
    parser = Parser(
        prog="soundloom",
        description="Text to sound, and sound to very few numbers.",
        examples=EXAMPLES,
        parents=[debug],
    )
    parser.add_argument("--version", action="version", version=f"soundloom {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=Parser)
    for command in COMMANDS.values():
        command.add_arguments(
            commands.add_parser(
                command.name,
                help=command.summary,
                description=command.description,
                examples=command.examples,
                parents=[debug],
            )
        )
    for name, summary in TRAINING_COMMANDS.items():  # shown in the help; main() hands these to lightning()
        if name in COMMANDS:
            continue
        commands.add_parser(name, help=f"{summary} (as `lightning {name}`)", add_help=False)
    return parser
