"""Batches out of WebDataset shards, which are read front to back and never held as a whole."""

from __future__ import annotations

import copy
import itertools
import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from ...core.audio import AudioError
from ...core.failures import Failure, attempt, said
from ..resume import mixed_seed
from .shards import Sample, read_shard
from .sources import Item

logger = logging.getLogger(__name__)

BUFFER = 256


class ShardStream(IterableDataset[Any]):
    """Batches out of shards.

    The shards are shared out to all processes and their loading workers. When there are fewer shards than
    those, everyone reads all of them and takes every n-th sample, so make more. A sample or a shard that
    cannot be read is left out, with one warning that names it (one an epoch and process, with `workers`).

    Args:
        shards: see `shards.find_shards`.
        to_item: makes an item of a sample, at random unless the generator is None; None: not one of ours;
            AudioError: it cannot be read.
        collate: makes a batch of items; it may draw from torch's generator.
        batch_size: items that `collate` gets.
        batches: batches of an epoch in this process; the shards are read over and over until there are as
            many. None: one pass in order, for validation.
        seed: of the order of the shards, and of everything else that is random.
        buffer: samples of which the next one is drawn.
        rank: this process.
        world_size: number of processes.
        limit: items of one pass in order; None: all.

    Raises:
        AudioError: (when batches are read) a whole pass brought nothing.
    """

    def __init__(
        self,
        shards: Sequence[str],
        to_item: Callable[[Sample, torch.Generator | None], Item | None],
        collate: Callable[[list[Item]], Any],
        *,
        batch_size: int,
        batches: int | None,
        seed: int = 0,
        buffer: int = BUFFER,
        rank: int = 0,
        world_size: int = 1,
        limit: int | None = None,
    ) -> None:
        self.shards, self.to_item, self.collate = list(shards), to_item, collate
        self.batch_size, self.batches, self.seed, self.buffer = batch_size, batches, seed, buffer
        self.rank, self.world_size, self.limit = rank, world_size, limit
        self.epoch = self.skip = 0
        self._warned: set[str] = set()

    def __iter__(self) -> Iterator[Any]:
        info = get_worker_info()
        worker, workers = (0, 1) if info is None else (info.id, info.num_workers)
        consumer, consumers = self.rank * workers + worker, self.world_size * workers
        items = self._items(consumer, consumers)
        if self.batches is None:
            chosen: list[Item] = []
            for item in itertools.islice(items, self.limit):
                chosen.append(item)
                if len(chosen) == self.batch_size:
                    yield self.collate(chosen)
                    chosen = []
            if chosen:
                yield self.collate(chosen)
            return
        # The loader takes a batch of each worker in turn: worker w gives those numbered w, w + workers, …
        for number in range(worker, self.batches, workers):
            chosen = [next(items) for _ in range(self.batch_size)]
            if number >= self.skip:
                with torch.random.fork_rng(devices=[]):
                    torch.manual_seed(mixed_seed(self.seed, self.epoch, self.rank, number))
                    batch = self.collate(chosen)
                yield batch

    def _items(self, consumer: int, consumers: int) -> Iterator[Item]:
        """One pass in order, or pass after pass at random."""
        training = self.batches is not None
        number = taken = failed = 0
        found = 1
        while found:
            found = 0
            order = np.random.default_rng((self.seed, self.epoch, number)) if training else None
            for sample in self._shuffled(self._samples(order, consumer, consumers), order):
                generator = None
                if training:
                    seed = mixed_seed(self.seed, self.epoch, consumer, taken)
                    generator = torch.Generator().manual_seed(seed)
                taken += 1
                item = attempt(str(sample), self.to_item, sample, generator)
                if isinstance(item, Failure):
                    failed += 1
                    self._warn(item)
                    continue
                if item is not None:
                    found += 1
                    yield item
            number += 1
            if not training and (found or consumers > 1):
                return
        raise AudioError(
            f"nothing in {len(self.shards)} shards ({self.shards[0]}, …) is of use: of {taken} samples, "
            f"{failed} cannot be read (see the warnings); the others have no caption or are silent, or there "
            "are so few that all or none are held out for validation (then set val_folders)"
        )

    def _samples(self, order: np.random.Generator | None, consumer: int, consumers: int) -> Iterator[Sample]:
        """This consumer's samples."""
        shards = self.shards
        if order is not None:
            shards = [shards[index] for index in order.permutation(len(shards))]
        whole = consumers <= len(shards)
        number = 0
        for shard in shards[consumer::consumers] if whole else shards:
            try:
                for sample in read_shard(shard):
                    if whole or number % consumers == consumer:
                        yield sample
                    number += 1
            except OSError as error:
                self._warn(Failure(shard, str(error), error))

    def _shuffled(self, samples: Iterator[Sample], order: np.random.Generator | None) -> Iterator[Sample]:
        if order is None:
            yield from samples
            return
        waiting: list[Sample] = []
        for sample in samples:
            waiting.append(sample)
            if len(waiting) > self.buffer:
                yield waiting.pop(int(order.integers(len(waiting))))
        for index in order.permutation(len(waiting)):
            yield waiting[index]

    def _warn(self, failure: Failure) -> None:
        if failure.file not in self._warned:
            self._warned.add(failure.file)
            logger.warning("left out: %s", said(failure))


class StreamLoader:
    """A stream's batches, epoch by epoch; goes on after a checkpoint like `ResumableLoader`.

    To begin in the middle of an epoch, what was given of it is read again and thrown away.

    Args:
        stream: with a number of batches.
        workers: loading processes; 0 loads in this one.
    """

    def __init__(self, stream: ShardStream, workers: int) -> None:
        assert stream.batches is not None
        self.stream, self.workers, self._length = stream, workers, stream.batches
        self._epoch = self._done = 0
        self._resume: tuple[int, int] | None = None  # epoch, and batches of it that are done

    @property
    def sampler(self) -> StreamLoader:
        """Where Lightning looks for `set_epoch`."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch the next pass is."""
        self._epoch = epoch

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[Any]:
        # A generator: it begins with the first batch, when the epoch is known.
        resume, self._resume = self._resume, None
        self._done = resume[1] if resume is not None and resume[0] == self._epoch else 0
        part = copy.copy(self.stream)
        part.epoch, part.skip = self._epoch, self._done
        for batch in DataLoader(part, batch_size=None, num_workers=self.workers):
            self._done += 1
            yield batch

    def state_dict(self) -> dict[str, int]:
        """Where the data stands: the epoch, and batches of it that were handed out."""
        return {"epoch": self._epoch, "batches": self._done}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on from `state` with the next pass, if that is one of the same epoch."""
        self._resume = (int(state["epoch"]), int(state["batches"]))
        self._epoch = int(state["epoch"])
