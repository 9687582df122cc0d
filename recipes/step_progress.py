"""Progress bar over all steps of a run; lines in a log file where there is no terminal."""

from __future__ import annotations

import sys
import time
from typing import Any, TextIO

import lightning
from lightning.pytorch.callbacks import ProgressBar
from tqdm import tqdm

LINE_SECONDS = 30.0  # from one line in a log file to the next


class StepProgress(ProgressBar):
    """A bar over all steps with the time left; in a log file, a line every half minute and at validations.

    Args:
        stream: where to; None: standard error. A bar is drawn where that is a terminal.
        line_seconds: from one line to the next.
    """

    def __init__(self, stream: TextIO | None = None, line_seconds: float = LINE_SECONDS) -> None:
        super().__init__()
        self.stream = sys.stderr if stream is None else stream
        self.line_seconds = line_seconds
        self._enabled = True
        self._bar: tqdm[Any] | None = None
        self._what, self._unit = "", "step"
        self._first = self._done = 0
        self._total: int | None = None
        self._began = self._said = 0.0

    def disable(self) -> None:
        self._enabled = False

    def enable(self) -> None:
        self._enabled = True

    def print(self, *args: Any, **kwargs: Any) -> None:
        """Print a line without breaking the bar."""
        tqdm.write(kwargs.get("sep", " ").join(map(str, args)), file=self.stream)

    # ------------------------------------------------------------------ what Lightning calls

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        total = trainer.max_steps if trainer.max_steps > 0 else trainer.estimated_stepping_batches
        self._start("training", "step", total, self._steps(trainer))

    def on_train_batch_end(self, trainer: lightning.Trainer, *_: Any) -> None:
        self._show(self._steps(trainer), self._values(trainer))

    def on_validation_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        if trainer.state.fn != "fit":
            self._start("validating", "batch", sum(trainer.num_val_batches), 0)
        elif not trainer.sanity_checking and self._bar is not None:
            self._bar.set_description_str("validating")

    def on_validation_batch_end(self, trainer: lightning.Trainer, *_: Any) -> None:
        if trainer.state.fn != "fit":
            self._show(self._done + 1, {})

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        if trainer.state.fn != "fit":
            self._end()
        elif not trainer.sanity_checking:
            if self._bar is not None:
                self._bar.set_description_str("training")
            self._show(self._done, self._values(trainer), now=True)

    def on_train_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        self._end()

    def on_test_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        self._start("testing", "batch", sum(trainer.num_test_batches), 0)

    def on_predict_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        self._start("predicting", "batch", sum(trainer.num_predict_batches), 0)

    def on_test_batch_end(self, trainer: lightning.Trainer, *_: Any) -> None:
        self._show(self._done + 1, {})

    def on_predict_batch_end(self, trainer: lightning.Trainer, *_: Any) -> None:
        self._show(self._done + 1, {})

    def on_test_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        self._end()

    def on_predict_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        self._end()

    def on_exception(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, exception: BaseException
    ) -> None:
        self._end()

    # ------------------------------------------------------------------ drawing

    @staticmethod
    def _steps(trainer: lightning.Trainer) -> int:
        return (
            trainer.global_step if trainer.max_steps > 0 else trainer.fit_loop.epoch_loop.total_batch_idx + 1
        )

    @staticmethod
    def _values(trainer: lightning.Trainer) -> dict[str, float]:
        return {name: float(value) for name, value in trainer.progress_bar_metrics.items()}  # type: ignore[arg-type]

    def _start(self, what: str, unit: str, total: float, done: int) -> None:
        self._what, self._unit = what, unit
        self._total = int(total) if 0 < total < float("inf") else None
        self._first = self._done = done
        self._began = self._said = time.monotonic()
        if self._enabled and self.stream.isatty():
            self._bar = tqdm(
                total=self._total,
                initial=done,
                desc=what,
                unit=f" {unit}",
                dynamic_ncols=True,
                file=self.stream,
                smoothing=0.05,
            )

    def _show(self, done: int, values: dict[str, float], now: bool = False) -> None:
        advanced, self._done = done - self._done, done
        if not self._enabled:
            return
        if self._bar is not None:
            self._bar.set_postfix({name: f"{value:.4g}" for name, value in values.items()}, refresh=now)
            self._bar.update(advanced)
            return
        time_ = time.monotonic()
        if now or time_ - self._said >= self.line_seconds or done in (self._first + 1, self._total):
            self._said = time_
            print(self._line(time_ - self._began, values), file=self.stream, flush=True)

    def _line(self, elapsed: float, values: dict[str, float]) -> str:
        said = f"{self._what}: {self._unit} {self._done}"
        if self._total is not None:
            said += f" of {self._total} ({100 * self._done // self._total} %)"
        if self._done > self._first + 1 and elapsed > 0:
            rate = (self._done - self._first) / elapsed
            said += f", {rate:.3g} a second"
            if self._total is not None and self._done < self._total:
                said += f", {duration((self._total - self._done) / rate)} left"
        shown = ", ".join(f"{name} {value:.4g}" for name, value in values.items())
        return f"{said}: {shown}" if shown else said

    def _end(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def duration(seconds: float) -> str:
    """A length of time in words: 45 s, 12 min, 3 h 20 min, 2 days 5 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes // 1440} days {minutes % 1440 // 60} h"
