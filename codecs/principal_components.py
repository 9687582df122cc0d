"""Principal components (PCA), and examples of the training data to take them from."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import lightning
import torch
from torch import Tensor
from tqdm import tqdm


@torch.no_grad()
def principal_components(values: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Mean `[n]` and the first `count` principal components `[count, n]`, of length 1, of `values [M, n]`."""
    mean = values.mean(0)
    _, _, components = torch.svd_lowrank(values - mean, q=min(count + 16, *values.shape), niter=3)
    return mean, components[:, :count].T


@torch.no_grad()
def training_examples(
    trainer: lightning.Trainer, wanted: int, take: Callable[[Any], Tensor], *, unit: str
) -> Tensor:
    """At least `wanted` rows of what `take` makes of the training batches, on the CPU.

    Data that have fewer are read again: batches are cropped and mixed at random.

    Args:
        trainer: in training.
        take: batch -> `[n, ...]`.
        unit: what a row is, for the progress bar.

    Raises:
        ValueError: the training data have no batch.
    """
    loader = trainer.train_dataloader
    assert loader is not None
    rows: list[Tensor] = []
    hidden = not trainer.is_global_zero or trainer.progress_bar_callback is None or not sys.stderr.isatty()
    with tqdm(total=wanted, desc="Principal components", unit=unit, disable=hidden) as bar:
        while bar.n < wanted:
            before = len(rows)
            for batch in loader:
                rows.append(take(batch).cpu())
                bar.n += len(rows[-1])  # update() would not count where the bar is hidden
                bar.refresh()
                if bar.n >= wanted:
                    break
            if len(rows) == before:
                raise ValueError("the training data have no batch; give more sounds or a smaller batch_size")
    return torch.cat(rows)
