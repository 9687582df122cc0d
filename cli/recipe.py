"""Running a recipe: Lightning's command line with our settings, and with errors like those of all commands.

Importing this module loads torch and lightning, so training.py does it only when a recipe is to run.
"""

from __future__ import annotations

import argparse
import inspect
import re
from collections.abc import Mapping
from pydoc import locate
from typing import NoReturn

import jsonargparse
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI

from ..gen import sharding
from ..recipes.resume import StepSeed
from .command import did_you_mean


class _Formatter(jsonargparse.DefaultHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Leaves the lines of the examples as they are."""


class RecipeParser(LightningArgumentParser):
    """A parser that names the setting that was probably meant, and not all settings that there are."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        if not self.exit_on_error:  # one that jsonargparse uses itself, for the settings of a class
            super().error(message, ex)
        parser = getattr(ex, "subcommand_parser", None) or self
        prog = parser.prog.replace(" [options]", "")
        hint = nearest_setting(message, parser.format_usage())
        self.exit(2, f"{prog.split()[0]}: error: {message}\n{hint}(see: {prog} --help)\n")


def nearest_setting(message: str, usage: str) -> str:
    """A line about what was probably meant by a setting that is not known; empty where nothing is near.

    Args:
        message: of jsonargparse: names the option that is not recognized, or a class and the setting that it
            does not take.
        usage: of the parser, with all its options.
    """
    word, known = "", []
    if option := re.match(r"unrecognized arguments: (--[^\s=]+)", message):
        word, known = option[1], re.findall(r"--[a-z_.]+", usage)
    elif found := re.search(r"class_path '([\w.]+)':\s+Option '([\w.]+)' is not accepted", message):
        kind = locate(found[1])
        word, known = found[2], list(inspect.signature(kind).parameters) if inspect.isclass(kind) else []
    hint = did_you_mean(word, known)
    return f"{hint.removeprefix('; ')}\n" if hint else ""


class RecipeCLI(LightningCLI):
    """Lightning's command line; a debug run leaves no checkpoint behind."""

    def before_fit(self) -> None:
        """Keep Lightning from writing one at the end of a debug run, among the checkpoints of others."""
        if getattr(self.trainer, "fast_dev_run", False):
            for callback in self.trainer.checkpoint_callbacks:
                if isinstance(callback, ModelCheckpoint):
                    callback.save_last = False


def run_recipe(examples: Mapping[str, str]) -> None:
    """Run the training command that sys.argv holds.

    Args:
        examples: training commands, and what the help of each ends with.
    """
    sharding.register()  # --trainer.strategy fsdp2
    # "omegaconf+" resolves ${…} after files and command line are merged, so that an override reaches every
    # value that depends on it; in a subcommand its paths count from that subcommand's own root.
    jsonargparse.set_parsing_settings(omegaconf_absolute_to_relative_paths=True)
    mode = {"parser_mode": "omegaconf+", "formatter_class": _Formatter}
    commands = {name: {**mode, "epilog": f"examples:\n{lines}"} for name, lines in examples.items()}
    RecipeCLI(
        parser_class=RecipeParser,
        seed_everything_default=0,
        parser_kwargs={**mode, **commands},
        # A run that is killed and resumed goes on as if it had not been.
        trainer_defaults={
            "callbacks": [StepSeed()],
            "plugins": {"class_path": "soundloom.recipes.resume.WholeFileIO"},
        },
    )
