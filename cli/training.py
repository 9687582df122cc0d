"""`soundloom fit`, `validate`, `test`, `predict`, and the command `lightning`, which does the same."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

from .command import CommandError, did_you_mean, run_guarded
from .recipe_files import find_recipe, present_words, recipe_names
from .sleep_while_waiting import sleep_while_waiting
from .training_help import command_help, overview, with_model_class

TRAINING_COMMANDS = {
    "fit": "train a model from a YAML recipe",
    "validate": "measure a checkpoint on the validation data",
    "test": "measure a checkpoint on the test data",
    "predict": "write what a checkpoint makes of the validation data as files",
}
EXAMPLES = {
    "fit": """\
  soundloom fit --config recipes/audiogen_finetune.yaml --data.folders '[mysounds]'
  soundloom fit --config recipes/classifier.yaml --trainer.fast_dev_run 2       (two steps, nothing is kept)
  soundloom fit --config recipes/classifier.yaml --model.learning_rate 1e-3 --trainer.max_epochs 4
  soundloom fit --config recipes/classifier.yaml --ckpt_path last               (go on where it stopped)
  soundloom fit --config recipes/classifier.yaml --print_config > mine.yaml     (all settings, to change them)
""",
    "validate": """\
  soundloom validate --config recipes/classifier.yaml --ckpt_path runs/classifier/checkpoints/last.ckpt
""",
    "test": """\
  soundloom test --config recipes/classifier.yaml --ckpt_path runs/classifier/checkpoints/last.ckpt
""",
    "predict": """\
  soundloom predict --config recipes/audiogen_foley.yaml --ckpt_path runs/audiogen_foley/checkpoints/last.ckpt
""",
}


# Options that a command without a recipe makes sense with.
_WITHOUT_RECIPE = ("-c", "--config", "--model", "--print_config", "--help", "-h")


def lightning(args: Sequence[str] | None = None, *, name: str = "lightning") -> int:
    """Run `lightning fit|validate|test|predict`; returns the exit status.

    A word that is none of these belongs to the lightning SDK, whose own `lightning` command it is handed to
    when that package is installed beside this one.

    Args:
        args: the words after `lightning`; None: of the command line.
        name: the command's, in what it says: `soundloom` for `soundloom fit`.
    """
    if args is not None:  # what is started here reads sys.argv; so does Lightning's launcher of processes
        given, sys.argv = sys.argv, [name, *args]
        try:
            return lightning(name=name)
        finally:
            sys.argv = given
    words = sys.argv[1:]
    if words and (words[0] in TRAINING_COMMANDS or words[0].startswith("-")):
        sleep_while_waiting()
        return _train(words, name)
    other = _other_lightning_command()
    if other is not None:
        status = other()
        return status if isinstance(status, int) else 0
    problem = f"there is no command {words[0]!r}" if words else "no command is given"
    hint = did_you_mean(words[0], TRAINING_COMMANDS) if words else ""
    print(
        f"lightning: error: {problem}{hint}; use one of {', '.join(TRAINING_COMMANDS)}, as in\n"
        "    lightning fit --config recipes/NAME.yaml\n"
        "(the cloud commands of lightning.ai need their own package: pip install lightning-sdk)",
        file=sys.stderr,
    )
    return 2


def _train(words: list[str], program: str) -> int:
    """Show a help, or hand the words to Lightning's command line as it understands them.

    Args:
        words: of the command line.
        program: what it is called in messages.
    """
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    if words and {"-h", "--help"} & set(words):
        name = words[0] if words[0] in TRAINING_COMMANDS else None

        def show_help() -> None:
            print(
                command_help(name, EXAMPLES[name], program) if name else overview(TRAINING_COMMANDS, program)
            )

        return run_guarded(show_help, debug=debug, name=program)
    words = ["--help" if word == "--help-all" else word for word in words]

    def run() -> int:
        if words[0] in TRAINING_COMMANDS and not any(
            word.split("=")[0] in _WITHOUT_RECIPE or word.startswith("--model.") or ".help" in word
            for word in words
        ):
            raise CommandError(
                f"no recipe is given: add --config NAME, one of {', '.join(recipe_names())}, or a .yaml file "
                "of yours"
            )
        for place, word in enumerate(words):
            option, equals, value = word.partition("=")
            if option in ("-c", "--config") and equals:
                words[place] = f"{option}={find_recipe(value)}"
            elif option in ("-c", "--config") and place + 1 < len(words):
                words[place + 1] = str(find_recipe(words[place + 1]))
        # What runs reads sys.argv, as do the processes that Lightning starts beside this one.
        sys.argv = [sys.argv[0], *with_model_class(present_words(words))]
        from .recipe import run_recipe

        return run_recipe(EXAMPLES, program, verbose=debug)

    return run_guarded(run, debug=debug, name=program)


def _other_lightning_command() -> Callable[[], Any] | None:
    """Return what another installed package calls `lightning`, or None."""
    from importlib.metadata import entry_points

    for entry in entry_points(group="console_scripts", name="lightning"):
        if entry.module.split(".")[0] != "soundloom":
            return entry.load()
    return None
