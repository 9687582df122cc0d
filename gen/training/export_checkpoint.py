"""Export a checkpoint of a training run as a model folder (`soundloom export`)."""

from __future__ import annotations

import importlib
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...codecs.registry import find_trainer
from ...core.checkpoint import brief, read_torch
from ...core.exports_model import EXPORT_KEY, ExportsModel, model_folder
from ...core.files import check_file_destination, check_folder_destination
from ..model.lm import AudioLM
from ..model.lora_file import LoRAWeights
from ..origin import model_name

# Class of a LightningModule -> module (relative to this package) that holds it; a codec names its own.
MODULES = {
    "AudioGenModule": ".module",
    "AudioTextModule": "...evaluation.audio_text_module",
    "SentenceModule": ".sentence_module",
    "TextEncoderModule": ".text_module",
    "SoundClassifierModule": "...evaluation.classifier_module",
}
WEIGHTS = ("float", "int8")


@dataclass
class Exported:
    """What was written.

    Attributes:
        module: class of the LightningModule that trained it.
        folder: where it is; of an adapter the file.
        averaged: whether its weights are the moving average of those that were trained.
        step: optimiser steps that it was trained for.
        size: bytes of all its files.
    """

    module: str
    folder: Path
    averaged: bool
    step: int
    size: int


def export_checkpoint(
    checkpoint: str | Path,
    folder: str | Path,
    *,
    weights: str = "float",
    ema: bool | None = None,
    force: bool = False,
) -> Exported:
    """Write the network of a checkpoint as a folder that its class reads (`AudioGen.from_pretrained`, ...).

    Args:
        checkpoint: as Lightning writes it while training, of a language model, codec or classifier.
        folder: where to; complete or untouched.
        weights: "float", or "int8" for a language model.
        ema: take the moving average of the weights (True) or the weights as trained (False); None: the
            average where there is one.
        force: allow a folder that holds something; its files of the same name are replaced.

    Raises:
        FileNotFoundError: no such checkpoint.
        FileExistsError: the folder is not empty, and `force` is off.
        ValueError: it can't be read, or is of something else, or holds no average though `ema` is True.
    """
    if weights not in WEIGHTS:
        raise ValueError(f"weights is {weights!r}; use {' or '.join(map(repr, WEIGHTS))}")
    folder = Path(folder)
    check_folder_destination(folder, force=force)
    module, averaged, step = trained_module(Path(checkpoint), ema)
    with model_folder(folder) as partial:
        module.export(partial, weights=weights)
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    return Exported(type(module).__name__, folder, averaged, step, size)


def export_lora(
    checkpoint: str | Path, file: str | Path, *, ema: bool | None = None, force: bool = False
) -> Exported:
    """Write the LoRA adapter of a checkpoint as a file that `AudioGen.load_lora_weights` reads.

    Args:
        checkpoint: of a run that trained LoRA and nothing else.
        file: where to; ends in .safetensors.
        ema, force: as for `export_checkpoint`.

    Raises:
        FileNotFoundError: no such checkpoint.
        FileExistsError: the file exists, and `force` is off.
        ValueError: it can't be read, or was trained without LoRA, or with more than that.
    """
    target = check_file_destination(file, force=force, example="lora.safetensors")
    module, averaged, step = trained_module(Path(checkpoint), ema)
    if not isinstance(lm := getattr(module, "lm", None), AudioLM):
        raise ValueError(f"{checkpoint} is of a {type(module).__name__}; only language models have LoRA")
    adapter = LoRAWeights.of(lm, model_name(str(module.hparams["init_from"] or "")))
    if hasattr(module, "trained_encoder"):
        raise ValueError(
            f"{checkpoint} is of a run that trained the text encoder too, which a LoRA file does not hold: "
            "export the whole model (without --lora), or train with --model.text.train false"
        )
    adapter.save(target, force=force)
    return Exported(type(module).__name__, target, averaged, step, target.stat().st_size)


def trained_module(path: Path, ema: bool | None) -> tuple[ExportsModel, bool, int]:
    """The module of a checkpoint, whether its weights are averaged, and its steps; as `export_checkpoint`."""
    package = read_checkpoint(path)
    kind = module_class(package)
    if kind is None:
        raise ValueError(
            f"{path} is no checkpoint of a soundloom model; known are those of {', '.join(sorted(MODULES))} "
            "and of the codecs"
        )
    averaged = "current_model_state" in package
    if ema and not averaged:
        raise ValueError(
            f"{path} holds no moving average of its weights: leave out --ema, or train with the callback "
            "soundloom.gen.training.ema.ExponentialMovingAverage"
        )
    if averaged and ema is False:
        package["state_dict"], averaged = package["current_model_state"], False
    try:
        module = kind.from_checkpoint(package)
    except RuntimeError as error:  # of load_state_dict
        raise ValueError(f"the weights in {path} do not fit its settings ({brief(error)})") from error
    return module, averaged, int(package.get("global_step", 0))


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint without running code from it.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it is a folder, or no checkpoint, or damaged.
    """
    if path.is_dir():
        found = sorted(str(file) for file in path.rglob("*.ckpt") if file.is_file())
        hint = f"it holds {', '.join(found[:5])}" if found else "it holds none"
        raise ValueError(f"{path} is a folder; give the file of a checkpoint ({hint})")
    if not path.is_file():
        raise FileNotFoundError(f"no such checkpoint: {path}")
    package = read_torch(path, mapped=zipfile.is_zipfile(path))
    if not isinstance(package, dict) or "state_dict" not in package:
        raise ValueError(f"{path} is no checkpoint of a training run: it has no 'state_dict'")
    return package


def module_class(package: dict[str, Any]) -> type[ExportsModel] | None:
    """Class of the LightningModule that wrote a checkpoint, or None when it is none of ours."""
    named = (package.get(EXPORT_KEY) or {}).get("module")
    if named is None:  # written before the entry existed; the command line's name of the class
        named = str((package.get("hyper_parameters") or {}).get("_class_path", "")).rpartition(".")[2]
    if named in MODULES:
        return getattr(importlib.import_module(MODULES[named], __package__), named)
    return find_trainer(str(named))
