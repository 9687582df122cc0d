"""Int8 weights: a quarter of the disk, and the model runs with exactly the values that were stored.

Every matrix is stored as int8 with one float32 scale a row (symmetric, no zero point); vectors stay as they
are. On load the rows are multiplied out to float32, so a shipped model is heard as it is used.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .checkpoint import MAX_SHARD_BYTES, each_weight, fill, write_weights
from .diffusers_classes import ConfigMixin, ModelMixin
from .errors import ModelError

SCALE_SUFFIX = "_scale"
STORAGE_KEY = "weights"
INT8 = "int8"
LEVELS = 127  # on either side of 0


def int8_rows(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Round float32 rows `[O, I]` to int8 with one scale each: int8 `[O, I]` and float32 `[O]`."""
    scale = rows.abs().amax(dim=1) / LEVELS
    levels = torch.round(rows / torch.where(scale > 0, scale, 1.0)[:, None])
    return levels.clamp(-LEVELS, LEVELS).to(torch.int8), scale


def quantize_int8(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Quantize every floating matrix of a state dict.

    Args:
        state: name -> tensor.

    Returns:
        For a floating tensor NAME of two or more axes: NAME int8 of the same shape and NAME_scale float32
        `[rows]`, so that `NAME[r] * NAME_scale[r]` is the value, at most half a scale away from the original.
        Other tensors unchanged (floating ones as float32).

    Raises:
        ValueError: a tensor holds NaN or infinity, or the names of the result would clash.
    """
    result: dict[str, Tensor] = {}
    for name, tensor in state.items():
        if not tensor.is_floating_point():
            result[name] = tensor.detach().cpu().contiguous()
            continue
        value = tensor.detach().to("cpu", torch.float32).contiguous()
        if not torch.isfinite(value).all():
            raise ValueError(f"{name} holds NaN or infinite values; only finite weights can be quantized")
        if value.ndim < 2:
            result[name] = value
            continue
        if name + SCALE_SUFFIX in state:
            raise ValueError(f"{name + SCALE_SUFFIX} is already a weight; rename it before quantizing {name}")
        levels, scale = int8_rows(value.flatten(1))
        result[name] = levels.view(value.shape)
        result[name + SCALE_SUFFIX] = scale
    return result


def dequantize(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Undo `quantize_int8`: int8 tensors that have a scale become float32, all others stay.

    Raises:
        ValueError: an int8 tensor and its scale do not fit.
    """
    return dict(dequantize_each(state.items()))


def dequantize_each(weights: Iterable[tuple[str, Tensor]]) -> Iterator[tuple[str, Tensor]]:
    """As `dequantize`, of tensors as they come: none that has become float32 is held beside that.

    An int8 tensor waits for its scale, and a scale for its tensor; those that wait in vain come last.
    """
    levels: dict[str, Tensor] = {}
    scales: dict[str, Tensor] = {}
    for name, tensor in weights:
        owner = name.removesuffix(SCALE_SUFFIX)
        if owner == name and tensor.dtype != torch.int8:
            yield name, tensor
            continue
        (levels if owner == name else scales)[owner] = tensor
        if owner in levels and owner in scales:
            yield owner, dequantize_matrix(owner, levels.pop(owner), scales.pop(owner))
    yield from levels.items()
    yield from ((owner + SCALE_SUFFIX, tensor) for owner, tensor in scales.items())


def dequantize_matrix(name: str, tensor: Tensor, scale: Tensor) -> Tensor:
    """What an int8 tensor `[rows, ...]` and its scales `[rows]` stand for: float32.

    Raises:
        ValueError: they do not fit, or a scale is no finite number; the message gives the name.
    """
    if scale.shape != tensor.shape[:1]:
        raise ValueError(
            f"{name} has {tensor.shape[0]} rows, but {name + SCALE_SUFFIX} has shape "
            f"{list(scale.shape)}; the weight files do not belong together"
        )
    if not torch.isfinite(scale).all():
        raise ValueError(f"{name + SCALE_SUFFIX} holds NaN or infinite values; fetch the model again")
    return tensor.to(torch.float32) * scale.to(torch.float32).view(-1, *[1] * (tensor.ndim - 1))


def save_int8(
    model: ModelMixin,
    folder: str | Path,
    max_shard_bytes: int = MAX_SHARD_BYTES,
    *,
    leave_out: Sequence[str] = (),
) -> list[Path]:
    """Write a model's config.json (marked `"weights": "int8"`) and its weights as int8, in small shards.

    Args:
        model: the model.
        folder: where to.
        max_shard_bytes: of a file.
        leave_out: last parts of the names of tensors that the model's class can work out when it loads.

    Returns:
        The weight files written.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    state = {n: tensor for n, tensor in model.state_dict().items() if n.rpartition(".")[2] not in leave_out}
    written = write_weights(quantize_int8(state), folder, max_shard_bytes)
    assert isinstance(model, ConfigMixin)
    model.save_config(folder)
    config_file = folder / "config.json"
    config = json.loads(config_file.read_text(encoding="utf-8"))
    config[STORAGE_KEY] = INT8
    config_file.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    return written


def load_int8(
    model: ModelMixin, folder: str | Path, complete: Callable[[dict[str, Tensor]], None] | None = None
) -> None:
    """Fill a model, on whatever device, from a folder that `save_int8` wrote: float32 on the CPU.

    Args:
        model: the model.
        folder: of the weights.
        complete: adds what was left out to the state dict.

    Raises:
        FileNotFoundError, ValueError: a weight file is missing, damaged, or not this model's; the message
            names it, or the weights or scales that are missing.
    """
    own = {name: tensor.is_floating_point() for name, tensor in model.state_dict().items()}
    state = dict(dequantize_each(each_weight(Path(folder))))
    if lacking := [
        f"{name}{SCALE_SUFFIX}"
        for name, tensor in state.items()
        if tensor.dtype == torch.int8 and own.get(name, False)
    ]:
        raise ModelError(
            f"the weights in {folder} lack {', '.join(sorted(lacking)[:5])}, without which int8 is no "
            "number; copy or download the model again"
        )
    if complete is not None:
        complete(state)
    fill(model, state, Path(folder))


def is_int8(config: Mapping[str, Any]) -> bool:
    """Whether a config.json says that its weights are stored as int8.

    Raises:
        ValueError: it names a storage that is not known.
    """
    storage = config.get(STORAGE_KEY)
    if storage not in (None, INT8):
        raise ValueError(
            f"weights are stored as {storage!r}; known is {INT8!r}. Update soundloom to load this model"
        )
    return storage == INT8
