"""Export a model folder when a training ends: what all LightningModules here share.

A module that inherits `ExportsModel` writes its network to `export_to` when training ends, and marks its
checkpoints with what `soundloom export` has to know to do the same later (gen/training/export_checkpoint.py).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import lightning

from .atomic import atomic_folder
from .example import AudioFormat, Example
from .files import check_folder_destination

logger = logging.getLogger(__name__)

# Entry of a checkpoint: {"module": name of the module's class, and what its `export_info` says}.
EXPORT_KEY = "soundloom"
WEIGHT_FILES = "diffusion_pytorch_model*"


class ExportsModel(lightning.LightningModule):
    """A LightningModule that trains something with `save_pretrained`.

    Attributes:
        export_to: folder for the trained network when training ends; None: not exported.
    """

    export_to: str | None = None

    def export_info(self) -> dict[str, Any]:
        """What `from_checkpoint` needs beside the module's hyper-parameters; plain values only."""
        return {}

    def export(self, folder: Path, *, weights: str = "float") -> None:
        """Write the trained network to an existing folder, as its class reads it.

        Args:
            folder: where to.
            weights: "float", or "int8" where the network can be stored so.

        Raises:
            ValueError: it can't.
        """
        raise NotImplementedError(f"{type(self).__name__} has to say how it is exported")

    @classmethod
    def from_checkpoint(cls, checkpoint: Mapping[str, Any]) -> Self:
        """Build the module of a checkpoint (as torch.load gives it) with the weights in its "state_dict"."""
        raise NotImplementedError(f"{cls.__name__} has to say how it is read")

    def audio_format(self) -> AudioFormat | None:
        """The sound that the data must bring; None: it does not matter, or is not known."""
        return None

    def examples(self, batch: Any, *, seed: int = 0) -> list[Example]:
        """What the model makes of each item of a batch, the same for the same seed; none: nothing to show."""
        return []

    def generated(self, prompts: Sequence[str], seconds: float, *, seed: int = 0) -> list[Example]:
        """What the model makes for prompts, `seconds` long; none: it takes no prompts."""
        return []

    def usage(self, folder: str) -> list[str]:
        """Commands that try the model in a folder."""
        return []

    def predict_step(self, batch: Any, batch_idx: int) -> list[Example]:
        """What the model makes of a batch, for `lightning predict`."""
        return self.examples(batch, seed=batch_idx)

    def _exports(self) -> bool:
        return bool(self.export_to) and not getattr(self.trainer, "fast_dev_run", False)

    def on_fit_start(self) -> None:
        """Notice now, not after days of training, that the result could not be written."""
        if self._exports() and self.trainer.is_global_zero:
            check_folder_destination(str(self.export_to), force=True)

    def on_fit_end(self) -> None:
        """Export the trained network if that was asked for."""
        if not self._exports():
            return
        module = self
        if self.device_mesh is not None:  # sharded: gather, which takes every process
            state = self.trainer.strategy.lightning_module_state_dict()
            if self.trainer.is_global_zero:
                found = {"hyper_parameters": dict(self.hparams), EXPORT_KEY: self.export_info()}
                module = self.from_checkpoint({**found, "state_dict": state})
        if self.trainer.is_global_zero:
            with model_folder(Path(str(self.export_to))) as folder:
                module.export(folder)
            logger.info("wrote the trained model to %s", self.export_to)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Say in a checkpoint what it is of."""
        checkpoint[EXPORT_KEY] = {"module": type(self).__name__, **self.export_info()}


def part_of(state: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The entries of a state dict that belong to the child `name`, under their names there."""
    return {key.partition(".")[2]: value for key, value in state.items() if key.startswith(f"{name}.")}


def float_only(weights: str) -> None:
    """Raise ValueError unless `weights` is "float"."""
    if weights != "float":
        raise ValueError(
            f"weights is {weights!r}, but only language models, SEANet codecs, Music2Latent2 and audio-text "
            "networks can be; use 'float'"
        )


@contextmanager
def model_folder(folder: Path) -> Iterator[Path]:
    """Yield a new folder to write a model to; once that is complete, its files take their places in `folder`.

    Until then `folder` stays as it is. While files are moved it has no config.json, so that a mixture of two
    models never loads. Weights of an earlier model are removed, all other files stay.

    Raises:
        OSError: as of `check_folder_destination`, with `force`.
    """
    check_folder_destination(folder, force=True)
    with atomic_folder(folder, existing="merge", key_file="config.json", outdated=(WEIGHT_FILES,)) as partial:
        yield partial
