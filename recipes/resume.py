"""Resume a run as if it had never stopped: the same data order, the same random draws, whole checkpoints.

Lightning's checkpoints hold weights, optimiser, schedule and counters. Left to the caller are the place in
the data, the state of random generators in every process and worker, and files that are whole after
`kill -9`. Instead of saving generators, everything random here depends on the seed and on numbers that the
checkpoint holds: the order of an epoch on its number, the draws of an item on epoch and item (whichever
worker makes them), the draws of a step (dropout, captions left out) on its number.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from lightning.fabric.plugins import TorchCheckpointIO
from torch.utils.data import DataLoader, Dataset, DistributedSampler, default_collate

from ..core.atomic import atomic_write

_LARGEST_SEED = 2**63 - 1


def run_seed() -> int:
    """The seed of this run as Lightning's seed_everything left it; 0 without."""
    return int(os.environ.get("PL_GLOBAL_SEED") or 0)


def mixed_seed(*numbers: int) -> int:
    """One seed out of several numbers of 0 or more, another one for other numbers."""
    mixed = np.random.SeedSequence(len(numbers), spawn_key=numbers)
    return int(mixed.generate_state(1, np.uint64)[0]) & _LARGEST_SEED


class StepSeed(lightning.Callback):
    """Seeds torch's generators before every training step from the run's seed, the step and the process.

    `lightning fit` and `soundloom fit` always use it.
    """

    def on_train_batch_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        step = trainer.fit_loop.epoch_loop.total_batch_idx
        torch.manual_seed(mixed_seed(run_seed(), step, trainer.global_rank))


class WholeFileIO(TorchCheckpointIO):
    """Writes a checkpoint beside its place and renames it: a run that is killed leaves the one before.

    Lightning's own writer holds a second copy of everything in memory, and then moves it in from the folder
    of temporary files, which from another disk is copying, and can be cut short. `lightning fit` and
    `soundloom fit` use this one unless `trainer.plugins` says otherwise.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | os.PathLike[str], storage_options: Any = None
    ) -> None:
        if storage_options is not None or "://" in os.fspath(path):
            super().save_checkpoint(checkpoint, str(path), storage_options)
            return
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path, durable=True) as file:
            torch.save(checkpoint, file)


class EpochOrder(DistributedSampler[int]):
    """Every item once an epoch, in an order that depends on seed and epoch only; a process gets its share.

    It yields `epoch * len(data) + item`, so that the epoch is known in whatever worker an item is made.
    """

    def __init__(self, data: Dataset[Any], seed: int) -> None:
        distributed = torch.distributed.is_available() and torch.distributed.is_initialized()
        replicas = torch.distributed.get_world_size() if distributed else 1
        rank = torch.distributed.get_rank() if distributed else 0
        self.items = len(data)  # type: ignore[arg-type]
        self.skip = 0  # items of the next pass to leave out, once
        # Fewer items than processes: some are given twice, since each process takes part in every step.
        super().__init__(data, replicas, rank, shuffle=True, seed=seed, drop_last=self.items >= replicas)

    def __iter__(self) -> Iterator[int]:
        start, self.skip = self.skip, 0
        keys = [self.epoch * self.items + item for item in super().__iter__()]
        return iter(keys[start:])


class SeededItems(Dataset[tuple[int, Any]]):
    """A dataset whose random draws depend on seed, epoch and item alone; it gives (index, item).

    An index beyond the length is the same items again, as `EpochOrder` numbers them in later epochs.

    Args:
        data: draws from torch's generator only; it is asked for items below its length.
        seed: of the draws.
    """

    def __init__(self, data: Dataset[Any], seed: int) -> None:
        self.data, self.seed = data, seed

    def __len__(self) -> int:
        return len(self.data)  # type: ignore[arg-type]

    def __getitem__(self, index: int) -> tuple[int, Any]:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(mixed_seed(self.seed, index))
            return index, self.data[index % len(self)]


class SeededCollate:
    """Collates items of `SeededItems`; what that draws from torch's generator depends on the first index."""

    def __init__(self, collate: Callable[[list[Any]], Any], seed: int) -> None:
        self.collate, self.seed = collate, seed

    def __call__(self, rows: Sequence[tuple[int, Any]]) -> Any:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(mixed_seed(self.seed, rows[0][0], 1))
            return self.collate([item for _, item in rows])


class ResumableLoader(DataLoader[Any]):
    """Batches of shuffled training data that go on after a checkpoint where it was written.

    Lightning keeps its state in checkpoints. With several processes each gets its share of the items.

    Args:
        data: of known length; it may draw from torch's generator only.
        batch_size: items a batch and process. The incomplete last batch of an epoch is left out, if there is
            any other.
        seed: of the order and of all draws; None: `run_seed()`.
        collate_fn: makes a batch out of items; it may draw from torch's generator too.
        options: of DataLoader, `num_workers` and the like.
    """

    def __init__(
        self,
        data: Dataset[Any],
        batch_size: int,
        *,
        seed: int | None = None,
        collate_fn: Callable[[list[Any]], Any] | None = None,
        **options: Any,
    ) -> None:
        seed = run_seed() if seed is None else seed
        self.order = EpochOrder(data, seed)
        self._resume: tuple[int, int] | None = None  # epoch, and batches of it that are done
        self._done = 0
        super().__init__(
            SeededItems(data, seed),
            batch_size=batch_size,
            sampler=self.order,
            collate_fn=SeededCollate(collate_fn or default_collate, seed),
            drop_last=len(self.order) >= batch_size,
            generator=torch.Generator().manual_seed(seed),  # else the caller's gives the workers their seeds
            **options,
        )

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        # A generator: it begins with the first batch, when Lightning has told the epoch, and it counts the
        # batches that were handed out, not those that workers made in advance.
        resume, self._resume = self._resume, None
        self._done = resume[1] if resume is not None and resume[0] == self.order.epoch else 0
        self.order.skip = self._done * (self.batch_size or 1)
        for batch in super().__iter__():
            self._done += 1
            yield batch

    def state_dict(self) -> dict[str, int]:
        """Where the data stands: the epoch, and batches of it that were handed out."""
        return {"epoch": self.order.epoch, "batches": self._done}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on from `state` with the next pass, if that is one of the same epoch."""
        self._resume = (int(state["epoch"]), int(state["batches"]))
        self.order.set_epoch(int(state["epoch"]))
