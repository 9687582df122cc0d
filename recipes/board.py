"""Callbacks that log sounds and spectrograms at validations, and write the files of `predict`."""

from __future__ import annotations

import csv
import itertools
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning
import torch
from torch import Tensor

from ..core.audio import write_audio
from ..core.example import Example
from ..core.exports_model import ExportsModel
from ..core.pictures import Spectrogram, spectrogram_figure

logger = logging.getLogger(__name__)


class Board(lightning.Callback):
    """Puts sounds and spectrograms on the board (TensorBoard, or any logger with add_audio and add_figure).

    At each validation the first items of the validation data, which are the same every time: for a codec each
    beside its reconstruction, for AudioGen beside what is generated for its caption, always with the same
    random draws. The board plays one channel: stereo is mixed down. Every recipe has it; its settings are the
    section `board:` of a recipe, or on the command line `--board.prompts '["a dog barks"]'`.

    Args:
        count: how many items; 0: none.
        prompts: for AudioGen: generate for these instead.
        seconds: length of what is generated for `prompts`.
        every_n_validations: show them after the first and then every this many validations.
    """

    def __init__(
        self,
        count: int = 4,
        prompts: list[str] | None = None,
        seconds: float = 5.0,
        every_n_validations: int = 1,
    ) -> None:
        if count < 0 or every_n_validations < 1 or not 0.1 <= seconds <= 60:
            raise ValueError(
                f"count is {count} (0 or more), every_n_validations {every_n_validations} (1 or more), "
                f"seconds {seconds} (0.1 to 60)"
            )
        self.count, self.prompts, self.seconds = count, list(prompts or []), seconds
        self.every_n_validations = every_n_validations
        self._validations = 0
        self._shown: set[str] = set()  # what stays the same is shown once

    def on_validation_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        # At the first batch, while a moving average is in the place of the weights.
        if trainer.state.fn != "fit" or trainer.sanity_checking or batch_idx or not self.count:
            return
        self._validations += 1
        if (self._validations - 1) % self.every_n_validations or not trainer.is_global_zero:
            return
        board: Any = getattr(trainer.logger, "experiment", None)
        if not isinstance(pl_module, ExportsModel) or not hasattr(board, "add_audio"):
            return
        if pl_module.device_mesh is not None:
            return  # sharded weights compute only with all processes together
        try:
            examples = self._examples(pl_module, batch)
        except (OSError, ValueError) as error:  # such as a codec that is not to be had here
            logger.warning("the board gets no sounds: %s", error)
            self.count = 0
            return
        for place, example in enumerate(examples):
            self._put(board, f"examples/{place}", example, trainer.global_step)

    def _examples(self, module: ExportsModel, batch: Any) -> list[Example]:
        devices = [module.device] if module.device.type == "cuda" else []
        with torch.random.fork_rng(devices):
            torch.manual_seed(0)
            made = module.generated(self.prompts, self.seconds) if self.prompts else []
            return made or module.examples(first_items(batch, self.count))

    def _put(self, board: Any, name: str, example: Example, step: int) -> None:
        for kind, sound in example.sounds.items():
            tag = f"{name}/{kind}"
            if kind == "original" and tag in self._shown:
                continue
            self._shown.add(tag)
            board.add_audio(tag, sound.mean(0).clamp(-1, 1).cpu(), step, sample_rate=example.sample_rate)
        text = ", ".join(f"{key}: {value}" for key, value in example.row.items())
        if text and f"{name}/text" not in self._shown:
            self._shown.add(f"{name}/text")
            board.add_text(f"{name}/text", text, step)
        rate = example.sample_rate
        shown = [Spectrogram(sound.mean(0), rate, kind) for kind, sound in example.sounds.items()]
        # One scale, down from a sine of full scale, so that pictures of all steps can be compared.
        board.add_figure(f"{name}/spectrogram", spectrogram_figure(shown, reference=1.0, range_db=100), step)


def first_items(batch: Any, count: int) -> Any:
    """The first items of a batch: a tensor, or a dict, tuple or list of what has the batch's length."""
    if isinstance(batch, dict):
        return {key: first_items(value, count) for key, value in batch.items()}
    if isinstance(batch, tuple):
        return tuple(first_items(value, count) for value in batch)
    if isinstance(batch, Tensor) and batch.ndim == 0:
        return batch
    return batch[:count]


class PredictionFiles(lightning.Callback):
    """Writes what `lightning predict` makes as .wav files, and what is to say of them as metadata.csv.

    They lie in `predictions` (or predictions-2 and so on, what is there stays) in the run's folder.
    """

    def __init__(self) -> None:
        self.folder: Path | None = None
        self.written = 0

    def on_predict_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        root = Path(trainer.default_root_dir)
        names = itertools.chain(["predictions"], (f"predictions-{number}" for number in itertools.count(2)))
        folder = next(place for name in names if not (place := root / name).exists())
        self.folder = Path(trainer.strategy.broadcast(str(folder)))
        self.written = 0
        self._rank = trainer.global_rank
        self.folder.mkdir(parents=True, exist_ok=True)

    def on_predict_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        examples = [one for one in outputs or [] if isinstance(one, Example)]
        assert self.folder is not None
        rows: list[dict[str, Any]] = []
        for example in examples:
            stem = f"{self._rank}-{self.written:05d}" if trainer.world_size > 1 else f"{self.written:05d}"
            self.written += 1
            for kind, sound in example.sounds.items():
                name = f"{stem}-{kind}.wav"
                write_audio(self.folder / name, sound.clamp(-1, 1).cpu(), example.sample_rate)
                rows.append({"file_name": name, **example.row})
        self._append(rows)

    def _append(self, rows: Sequence[dict[str, Any]]) -> None:
        if not rows or self.folder is None:
            return
        path = self.folder / ("metadata.csv" if self._rank == 0 else f"metadata-{self._rank}.csv")
        new = not path.exists()
        with open(path, "a", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            if new:
                writer.writeheader()
            writer.writerows(rows)
