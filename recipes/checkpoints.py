"""The checkpoints of a run, and the folder that holds one run only."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import lightning
from lightning.pytorch.callbacks import ModelCheckpoint


class Checkpoints(ModelCheckpoint):
    """Lightning's ModelCheckpoint with what every recipe wants: `last.ckpt` is always the newest one.

    Every recipe has it; its settings are the section `checkpoint:` of a recipe, or on the command line
    `--checkpoint.every_n_train_steps 100`. With neither a number of steps nor of epochs, it writes one after
    each validation.

    Args:
        dirpath: where to; None: `checkpoints` in the run's folder (trainer.default_root_dir).
        every_n_train_steps: optimiser steps from one checkpoint to the next.
        every_n_epochs: the same in epochs.
        save_top_k: how many to keep beside last.ckpt: the newest (1), all (-1) or none (0); with `monitor`
            the best.
        monitor: a logged value, such as val/loss, by which they are ranked.
        mode: whether small ("min") or large ("max") values of `monitor` are better.
        filename: of those beside last.ckpt; {step}, {epoch} and logged values are filled in.
    """

    def __init__(
        self,
        dirpath: str | None = None,
        every_n_train_steps: int | None = None,
        every_n_epochs: int | None = None,
        save_top_k: int = 1,
        monitor: str | None = None,
        mode: Literal["min", "max"] = "min",
        filename: str = "{step}",
    ) -> None:
        super().__init__(
            dirpath=dirpath,
            filename=filename,
            monitor=monitor,
            mode=mode,
            save_last=True,
            save_top_k=save_top_k,
            every_n_train_steps=every_n_train_steps,
            every_n_epochs=every_n_epochs,
            # A run has its folder for itself (see `check_folder_is_free`), so a file of that name is its own.
            enable_version_counter=False,
        )


class LastStep(lightning.Callback):
    """Validates and writes last.ckpt after the last step, whatever the intervals of both say.

    Without it, a run of 100 steps that validates every 500 is never validated.
    """

    def on_train_batch_end(self, trainer: lightning.Trainer, *_: object) -> None:
        if 0 < trainer.max_steps <= trainer.global_step:
            trainer.val_check_batch = 1
            if (path := last_checkpoint(trainer)) is not None and not getattr(trainer, "fast_dev_run", False):
                trainer.save_checkpoint(path)


def last_checkpoint(trainer: lightning.Trainer) -> Path | None:
    """Where the run keeps its last checkpoint; None where it keeps none."""
    for writer in trainer.checkpoint_callbacks:
        if isinstance(writer, ModelCheckpoint) and writer.save_last and writer.dirpath is not None:
            return Path(writer.dirpath) / f"{writer.CHECKPOINT_NAME_LAST}{writer.FILE_EXTENSION}"
    return None


def check_folder_is_free(
    root: str | Path,
    checkpoints: Iterable[str | Path],
    model: str | Path | None,
    ckpt_path: str | Path | None,
) -> None:
    """Raise unless a run may write there: into folders without an earlier run, or to go on with that one.

    Args:
        root: the run's folder, for the message.
        checkpoints: folders that it would write checkpoints to.
        model: folder that it would write its model to.
        ckpt_path: what it goes on from: "last", "best" or a file; None: it begins anew.

    Raises:
        FileExistsError: an earlier run is there.
    """
    folders = [Path(folder).resolve() for folder in checkpoints]
    kept = [file for folder in folders for file in folder.glob("*.ckpt")]
    if ckpt_path is not None:
        named = Path(ckpt_path)  # or "last" and the like, which are found among those
        if named.resolve().parent in folders if named.is_file() else kept:
            return
    found = [f"{len(kept)} checkpoints in {folders[0]}"] if kept else []
    if model is not None and (Path(model) / "config.json").exists():
        found.append(f"a model in {model}")
    if not found:
        return
    root = Path(root)
    free = (root.with_name(f"{root.name}-{number}") for number in itertools.count(2))
    other = next(folder for folder in free if not folder.exists())
    elsewhere = f"--trainer.default_root_dir {other}"
    if model is not None and not Path(model).resolve().is_relative_to(root.resolve()):
        elsewhere += f" --model.export_to {other / 'model'}"
    raise FileExistsError(
        f"{root} holds an earlier run ({', '.join(found)}), which a new one would replace. To go on with it, "
        f"add --ckpt_path last; to begin another one beside it, {elsewhere}; or move that folder away"
    )
