"""Training across processes that each hold a part of the weights: `--trainer.strategy fsdp2`.

PyTorch's FSDP2 (`fully_shard`) through Lightning's ModelParallelStrategy. Lightning's own `fsdp` is the
older FSDP1: it refuses a CPU, and it refuses to clip gradients by their norm, which AudioGen's recipe does.
"""

from __future__ import annotations

from datetime import timedelta

from lightning.pytorch.strategies import ModelParallelStrategy, StrategyRegistry
from torch import nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, fully_shard

NAME = "fsdp2"


class FSDP2Strategy(ModelParallelStrategy):
    """Every process computes on its own part of the batch and keeps its own part of weights and optimiser.

    Checkpoints are single files, the same as those of one process: they can be resumed from with any number
    of processes, and exported.

    Args:
        timeout: how long a process waits for the others.
    """

    def __init__(self, timeout: timedelta = timedelta(minutes=30)) -> None:
        super().__init__(tensor_parallel_size=1, save_distributed_checkpoint=False, timeout=timeout)

    def setup_environment(self) -> None:
        self._data_parallel_size = self.num_nodes * self.num_processes
        super().setup_environment()


def shard(module: nn.Module, mesh: DeviceMesh) -> None:
    """Shard a network over the processes of a mesh, once: every layer of its stacks by itself, then the rest.

    Args:
        module: what runs as a whole; layers are the members of its nn.ModuleLists.
        mesh: of one dimension.
    """
    if isinstance(module, FSDPModule):
        return
    for part in list(module.modules()):
        if isinstance(part, nn.ModuleList):
            for layer in part:
                fully_shard(layer, mesh=mesh)
    # By default the outermost part stays whole after a validation, which its average could not be put into.
    fully_shard(module, mesh=mesh, reshard_after_forward=True)


def register() -> None:
    """Let Lightning know the strategy by its name."""
    if NAME not in StrategyRegistry.available_strategies():
        StrategyRegistry.register(NAME, FSDP2Strategy, description="FSDP2 over all processes (soundloom)")
