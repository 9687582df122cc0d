"""Running a recipe: Lightning's command line with our settings, and with errors like those of all commands.

Importing this module loads torch and lightning, so training.py does it only when a recipe is to run.
"""

from __future__ import annotations

import argparse
import inspect
import logging
import re
import shlex
import signal
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from pydoc import locate
from typing import Any, NoReturn

import diffusers
import jsonargparse
import transformers
from lightning import Trainer
from lightning.pytorch.callbacks import LearningRateMonitor, ModelCheckpoint, ProgressBar
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.loggers import TensorBoardLogger

from ..gen.training import fsdp
from ..recipes.board import Board, PredictionFiles
from ..recipes.checkpoints import Checkpoints, LastStep, check_folder_is_free, last_checkpoint
from ..recipes.interrupt import RunStopped, StopSignals
from ..recipes.resume import StepSeed
from ..recipes.step_progress import StepProgress
from .command import CommandError, did_you_mean
from .moved_modules import know_moved_modules
from .recipe_files import config_of, read_recipe, recipe_name
from .terminal import say

# How jsonargparse begins when it wraps what the constructor of a class raised.
_UNION = "Does not validate against any of the Union subtypes"


class _Formatter(jsonargparse.DefaultHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Leaves the lines of the examples as they are."""


class RecipeParser(LightningArgumentParser):
    """A parser that names the setting that was probably meant, and not all settings that there are."""

    def parse_path(self, path: Any, *args: Any, **options: Any) -> jsonargparse.Namespace:
        """Read a recipe, over that which it extends (see recipe_files.py)."""
        from omegaconf import OmegaConf

        content = OmegaConf.to_yaml(OmegaConf.create(read_recipe(Path(str(path)))))
        return self.parse_string(content, *args, path=Path(str(path)).name, **options)

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        if not self.exit_on_error:  # one that jsonargparse uses itself, for the settings of a class
            super().error(message, ex)
        parser = getattr(ex, "subcommand_parser", None) or self
        prog = parser.prog.replace(" [options]", "")
        hint = nearest_setting(message, parser.format_usage())
        self.exit(
            2, f"{prog.split()[0]}: error: {in_short(message, _command(prog))}\n{hint}(see: {prog} --help)\n"
        )


def _command(prog: str) -> str:
    """A command as the user gave it, with its recipe."""
    config = config_of(sys.argv)
    return prog if config is None else f"{prog} --config {shlex.quote(recipe_name(config))}"


def in_short(message: str, command: str) -> str:
    """What jsonargparse says at length about a setting, in one sentence; other messages as they are.

    Args:
        message: of jsonargparse: names a class and the setting that it does not take, or a setting, the types
            that it may have, and its value.
        command: the training command and its recipe, to be shown with other options.
    """
    problem = re.search(r"class_path '([\w.]+)':\n(.*?)(?:\n    - Expected|\Z)", message, re.DOTALL)
    keys = re.findall(r'Parser key "([\w.]+)":', message)
    text = problem[2] if problem else message
    unknown = r"Option '([\w.]+)' is not accepted|unrecognized arguments: --([\w.]+)"
    if problem and keys and (option := re.search(unknown, text)):
        kind = problem[1].rpartition(".")[2]
        named = option[1] or option[2]
        return f"{named!r} is not a setting of {kind}; `{command} --{keys[0]}.help` lists them"
    value = re.search(r"(?:Got|Given) value: (.*)", text)
    types = re.findall(r"Expected an? (.+?)(?:\. Got value: .*)?$", text, re.MULTILINE)
    other = not problem and re.search(r"^ +- (?!Expected)", text, re.MULTILINE)
    if not keys or not types or not value or other:
        return message
    known = [
        re.sub(r"^(?:<class '(?:\w+\.)*(\w+)'>|typing\.Literal\[(.*)\])$", r"\1\2", name) for name in types
    ]
    allowed = " or ".join(known).replace("NoneType", "null")
    return f"--{'.'.join(keys)} is {value[1]}; allowed: {allowed}"


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
    """Lightning's command line, with what every run here has (see `instantiate_trainer`)."""

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add the sections `checkpoint:` and `board:`."""
        parser.add_lightning_class_args(Checkpoints, "checkpoint")
        parser.add_lightning_class_args(Board, "board")

    def _parse_ckpt_path(self) -> None:
        """Leave the settings as they were given: Lightning would replace them by those in the checkpoint."""

    def before_instantiate_classes(self) -> None:
        """Refuse a checkpoint that is not there before anything is built or prepared for it."""
        path = self._get(self.config, "ckpt_path")
        if path is not None and not is_there(str(path)):
            raise CommandError(
                f"--ckpt_path {path}: there is no such checkpoint; check the spelling and the current "
                "folder, or use --ckpt_path last, the newest one of the run's folder"
            )

    def instantiate_classes(self) -> None:
        """Build everything; what a class refuses is said in its own words."""
        try:
            super().instantiate_classes()
        except ValueError as error:
            cause: BaseException = error
            while str(cause).startswith(_UNION) and cause.__cause__ is not None:
                cause = cause.__cause__
            if cause is error:
                raise
            raise cause from None

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Build the trainer; what it writes goes below its default_root_dir, unless a setting says other."""
        given = {**self._get(self.config_init, "trainer", default={}), **kwargs}
        root = Path(given.get("default_root_dir") or ".")
        callbacks = given.get("callbacks") or []
        callbacks = list(callbacks) if isinstance(callbacks, list) else [callbacks]
        if given.get("logger") in (None, True):
            given["logger"] = TensorBoardLogger(root, name=None)
        if not given["logger"]:  # nothing to log to
            callbacks = [one for one in callbacks if not isinstance(one, LearningRateMonitor)]
        callbacks.append(self._get(self.config_init, "board"))
        checkpoints = self._get(self.config_init, "checkpoint")
        own = {
            kind for kind in (ModelCheckpoint, ProgressBar) if any(isinstance(one, kind) for one in callbacks)
        }
        if ModelCheckpoint not in own and given.get("enable_checkpointing") is not False:
            checkpoints.dirpath = checkpoints.dirpath or str(root / "checkpoints")
            callbacks.append(checkpoints)
        if ProgressBar not in own and given.get("enable_progress_bar") is not False:
            callbacks.append(StepProgress())
        # A run that is killed and resumed goes on as if it had not been.
        callbacks += [StepSeed(), PredictionFiles(), LastStep(), StopSignals()]
        given["callbacks"] = callbacks
        return self._instantiate_trainer(given, [])

    def before_fit(self) -> None:
        """Refuse a folder that holds another run; keep debug runs from writing checkpoints."""
        writers = [one for one in self.trainer.checkpoint_callbacks if isinstance(one, ModelCheckpoint)]
        if getattr(self.trainer, "fast_dev_run", False):
            for writer in writers:
                writer.save_last = False
            return
        if self.trainer.is_global_zero:
            check_folder_is_free(
                self.trainer.default_root_dir,
                [writer.dirpath for writer in writers if writer.dirpath is not None],
                getattr(self.model, "export_to", None),
                self._get(self.config_init, "ckpt_path"),
            )

    def _prepare_subcommand_kwargs(self, subcommand: str) -> dict[str, Any]:
        words = super()._prepare_subcommand_kwargs(subcommand)
        words["weights_only"] = True  # reading a checkpoint must not run code from it
        if subcommand == "predict":
            words["return_predictions"] = False  # they are files: all of them may be too many to keep
        return words

    def after_fit(self) -> None:
        """Say where the model is, and how to try it."""
        trainer = self.trainer
        if not trainer.is_global_zero or getattr(trainer, "fast_dev_run", False):
            return
        model = getattr(self.model, "export_to", None)
        if model:
            print(f"the model is in {model}; try it:")
            for command in getattr(self.model, "usage", lambda folder: [])(str(model)):
                print(f"    {command}")
        elif (path := last_checkpoint(trainer)) is not None:
            path = _short(path)
            print(f"the checkpoint is {path}; make a model of it: soundloom export {path} FOLDER")
        if isinstance(trainer.logger, TensorBoardLogger):
            print(f"curves, pictures and sounds of the run: tensorboard --logdir {trainer.default_root_dir}")

    def after_predict(self) -> None:
        """Say where the files are."""
        for callback in self.trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, PredictionFiles) and callback.folder and self.trainer.is_global_zero:
                print(f"wrote what the model makes of {callback.written} items to {_short(callback.folder)}")


def _short(path: Path) -> Path:
    """A path as seen from the current folder, where it is below that."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def is_there(checkpoint: str) -> bool:
    """Whether --ckpt_path names a file or folder that exists, or one that Lightning finds by itself."""
    found_later = checkpoint in ("last", "best", "hpc") or checkpoint.startswith("registry")
    return found_later or "://" in checkpoint or Path(checkpoint).exists()


def run_recipe(examples: Mapping[str, str], program: str, *, verbose: bool = False) -> int:
    """Run the training command that sys.argv holds, and return the exit status.

    Args:
        examples: training commands, and what the help of each ends with.
        program: what it is called in messages.
        verbose: show all that Lightning says.
    """
    know_moved_modules()
    fsdp.register()  # --trainer.strategy fsdp2
    _set_up_messages(verbose)
    # "omegaconf+" resolves ${…} after files and command line are merged, so that an override reaches every
    # value that depends on it; in a subcommand its paths count from that subcommand's own root.
    jsonargparse.set_parsing_settings(omegaconf_absolute_to_relative_paths=True)
    mode = {"parser_mode": "omegaconf+", "formatter_class": _Formatter, "allow_abbrev": False}
    commands = {name: {**mode, "epilog": f"examples:\n{lines}"} for name, lines in examples.items()}
    try:
        RecipeCLI(
            parser_class=RecipeParser,
            seed_everything_default=0,
            parser_kwargs={**mode, "prog": program, **commands},
            trainer_defaults={"plugins": {"class_path": "soundloom.recipes.resume.WholeFileIO"}},
            save_config_kwargs={"overwrite": True},  # of this folder's run, which goes on
        )
    except RunStopped as stop:
        print(_how_to_go_on(stop), file=sys.stderr)
        return 128 + stop.signum
    except SystemExit as stop:
        if not isinstance(stop.__context__, KeyboardInterrupt):
            raise
        print(
            "stopped at once; what the run had kept before is still there (--ckpt_path last)", file=sys.stderr
        )
        return 128 + signal.SIGINT
    return 0


def _how_to_go_on(stop: RunStopped) -> str:
    if stop.checkpoint is None:
        return f"stopped at step {stop.step}; this run keeps no checkpoints, so nothing is kept"
    path, command = _short(stop.checkpoint), [Path(sys.argv[0]).name, *sys.argv[1:]]
    if "--ckpt_path" in command:
        place = command.index("--ckpt_path")
        del command[place : place + 2]
    command = [word for word in command if not word.startswith("--ckpt_path=")]
    return (
        f"stopped at step {stop.step}; all of it is kept in {path}. To go on:\n"
        f"    {shlex.join(command)} --ckpt_path last\n"
        f"To try what there is: soundloom export {path} FOLDER"
    )


def _set_up_messages(verbose: bool) -> None:
    """Show what the library reports, such as the progress of rendering; leave out what helps nobody."""
    ours = logging.getLogger("soundloom")
    if not any(isinstance(handler, _AboveTheBar) for handler in ours.handlers):
        ours.addHandler(_AboveTheBar())
    ours.setLevel(logging.INFO)
    if verbose:
        return
    if not sys.stderr.isatty():
        for library in (diffusers, transformers):
            library.utils.logging.disable_progress_bar()
    logging.getLogger("lightning.pytorch.utilities.rank_zero").addFilter(_helps)
    for text in (
        "does not have many workers",
        "exists and is not empty",
        "smaller than the logging interval",
    ):
        warnings.filterwarnings("ignore", f".*{text}")


class _AboveTheBar(logging.Handler):
    """Writes messages to standard error, above a progress bar if there is one."""

    def emit(self, record: logging.LogRecord) -> None:
        say(self.format(record), error=True)


def _helps(record: logging.LogRecord) -> bool:
    return not re.match(
        r"\s*(💡|TPU available|`Trainer.fit` stopped|Loading `train_dataloader` to)", record.getMessage()
    )
