"""Exponential moving average of the trained weights (EMA): what AudioGen validates with and exports.

Lightning has a callback for this (EMAWeightAveraging), which works with every recipe here on one device and
with DDP. It copies the whole module before weights are sharded, so with FSDP it does not work at all, and it
averages frozen weights along. This one averages the trained parameters only, as they lie on each device. What
it adds to a checkpoint is the same: the average in "state_dict", the weights as trained in
"current_model_state", so either callback goes on from the other's checkpoint.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import lightning
import torch
from torch import Tensor
from torch.distributed.tensor import DTensor, distribute_tensor

CURRENT_KEY = "current_model_state"


class ExponentialMovingAverage(lightning.Callback):
    """Averages trained parameters; validation, testing and the finished model have the average.

    Args:
        decay: share of the old average that an update keeps, 0 to 1 (1 excluded). AudioGen: 0.99.
        every_n_steps: optimiser steps from one update to the next. AudioGen: 10.

    Raises:
        ValueError: a value is out of range.
    """

    def __init__(self, decay: float = 0.99, every_n_steps: int = 10) -> None:
        if not 0.0 <= decay < 1.0:
            raise ValueError(f"decay is {decay}; allowed are 0 to 1 (1 excluded)")
        if every_n_steps < 1:
            raise ValueError(f"every_n_steps is {every_n_steps}; it must be 1 or more")
        self.decay, self.every_n_steps = decay, every_n_steps
        self._reset()

    def _reset(self) -> None:
        self.averages: dict[str, Tensor] = {}
        self._updates = 0
        self._last_step = 0
        self._swapped = False  # the module has the average, `averages` the weights as trained
        self._validating = False

    def setup(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str) -> None:
        if stage == "fit":
            self._reset()

    def on_fit_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        trained = _trained(pl_module)
        if self.averages:  # from a checkpoint, read before the module was moved to its device
            self.averages = {name: self.averages[name].to(value.device) for name, value in trained.items()}
        else:
            self.averages = {name: value.detach().clone() for name, value in trained.items()}

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        step = trainer.global_step
        if step == self._last_step or step % self.every_n_steps:
            return
        # The first update takes the weights as they are: the average must not hold on to random ones.
        weight = 1.0 - self.decay if self._updates else 1.0
        for name, value in _trained(pl_module).items():
            _local(self.averages[name]).lerp_(_local(value.detach()), weight)
        self._updates, self._last_step = self._updates + 1, step

    def on_validation_epoch_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        # Without averages, nothing was trained here: the weights of a checkpoint are the average already.
        if self.averages and self._updates and not self._swapped:
            self._swap(pl_module)
            self._validating = True

    def on_validation_epoch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        if self._validating:
            self._swap(pl_module)
            self._validating = False

    def on_train_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        if self._updates:
            self._swap(pl_module)

    def state_dict(self) -> dict[str, Any]:
        return {"updates": self._updates, "last_step": self._last_step}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        # Lightning's own callback counts its steps under another name.
        self._last_step = int(state_dict.get("last_step", 0))
        self._updates = int(state_dict.get("updates", self._updates))

    def on_save_checkpoint(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        checkpoint: dict[str, Any],
    ) -> None:
        if not self._updates:
            return
        state = checkpoint["state_dict"]
        # Gathering shards needs every process, though only the first one has the state dict to put them in.
        gathered = {name: _whole(value) for name, value in self.averages.items()}
        other = {name: gathered.get(name, value) for name, value in state.items()}
        average, current = (state, other) if self._swapped else (other, state)
        checkpoint["state_dict"], checkpoint[CURRENT_KEY] = average, current

    def on_load_checkpoint(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        checkpoint: dict[str, Any],
    ) -> None:
        # Lightning has filled the module with "state_dict", the average.
        if trainer.state.fn != "fit" or CURRENT_KEY not in checkpoint:
            return
        self.averages = {name: value.detach().clone() for name, value in _trained(pl_module).items()}
        self._updates = max(self._updates, 1)
        _copy(checkpoint[CURRENT_KEY], pl_module)

    def _swap(self, module: lightning.LightningModule) -> None:
        current = {name: value.detach().clone() for name, value in _trained(module).items()}
        _copy(self.averages, module)
        self.averages, self._swapped = current, not self._swapped


def _trained(module: lightning.LightningModule) -> dict[str, Tensor]:
    return {name: value for name, value in module.named_parameters() if value.requires_grad}


def _local(value: Tensor) -> Tensor:
    """A tensor, or this process's shard of it, sharing memory."""
    return value.to_local() if isinstance(value, DTensor) else value


def _whole(value: Tensor) -> Tensor:
    """A tensor, or the whole one whose shard this is, on the CPU."""
    return value.full_tensor().cpu() if isinstance(value, DTensor) else value


@torch.no_grad()
def _copy(values: Mapping[str, Tensor], module: lightning.LightningModule) -> None:
    """Fill the trained parameters of a module, sharded or not, with whole tensors or with shards."""
    for name, parameter in _trained(module).items():
        value = values[name]
        if isinstance(parameter, DTensor) and not isinstance(value, DTensor):
            value = distribute_tensor(
                value.to(parameter.device, parameter.dtype), parameter.device_mesh, parameter.placements
            )
        parameter.copy_(value)
