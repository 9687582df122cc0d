"""Stop a run by Ctrl+C or SIGTERM with a checkpoint, from which it can go on."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from pathlib import Path
from types import FrameType
from typing import Any

import lightning
from lightning.fabric.plugins.environments import SLURMEnvironment

from ..core.errors import SoundloomError
from .checkpoints import last_checkpoint

_NOTE = b"\nstopping after this step; a second Ctrl+C stops at once\n"


class RunStopped(SoundloomError):
    """A run was stopped by a signal.

    Attributes:
        signum: the signal.
        step: optimiser steps that were taken.
        checkpoint: where they are kept; None: nowhere.
    """

    def __init__(self, signum: int, step: int, checkpoint: Path | None) -> None:
        super().__init__(f"stopped by {signal.Signals(signum).name} at step {step}")
        self.signum, self.step, self.checkpoint = signum, step, checkpoint


class StopSignals(lightning.Callback):
    """Ends training at the first SIGINT or SIGTERM after the step (or validation batch) that it is in.

    Then last.ckpt is written, and `RunStopped` raised. A second one ends it at once. With several processes
    all stop after the same step. Under SLURM with automatic requeueing, SIGTERM is left to Lightning.
    """

    def __init__(self) -> None:
        self.signum: int | None = None
        self._before: dict[int, Any] = {}

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        self.signum = None
        if (
            getattr(trainer, "fast_dev_run", False)
            or threading.current_thread() is not threading.main_thread()
        ):
            return
        taken = [signal.SIGINT]
        if not SLURMEnvironment.detect():
            taken.append(signal.SIGTERM)
        self._before = {number: signal.signal(number, self._remember) for number in taken}

    def _remember(self, signum: int, frame: FrameType | None) -> None:
        if self.signum is not None:
            self._give_back()
            raise KeyboardInterrupt
        self.signum = signum
        with contextlib.suppress(OSError):
            os.write(2, _NOTE)  # print() may not be entered twice

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        if (batch_idx + 1) % trainer.accumulate_grad_batches == 0:  # else gradients would be lost
            self._stop_if_told(trainer)

    def on_validation_batch_end(self, trainer: lightning.Trainer, *_: Any) -> None:
        if trainer.state.fn == "fit" and not trainer.sanity_checking:
            self._stop_if_told(trainer)

    def _stop_if_told(self, trainer: lightning.Trainer) -> None:
        told = self.signum is not None
        if trainer.world_size > 1:
            told = trainer.strategy.reduce_boolean_decision(told, all=False)
        if not told:
            return
        path = last_checkpoint(trainer)
        if path is not None:
            trainer.save_checkpoint(path)
        raise RunStopped(self.signum or signal.SIGTERM, trainer.global_step, path)

    def on_train_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        self._give_back()

    def on_exception(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, exception: BaseException
    ) -> None:
        self._give_back()

    def _give_back(self) -> None:
        before, self._before = self._before, {}
        for number, handler in before.items():
            signal.signal(number, handler)
