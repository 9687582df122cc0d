"""Read and write checkpoints: config.json, safetensors in one file or in shards, and torch.save's files.

The names are diffusers': `diffusion_pytorch_model.safetensors`, or numbered shards with an index beside them.
Nothing here runs code from a file: what torch.save wrote is read with `weights_only`.
"""

from __future__ import annotations

import json
import os
import pickle
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from textwrap import shorten
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor, nn

from .errors import ModelError, ModelNotFoundError
from .hub import GEN_MODELS, bundled_names, resolve_model
from .safetensors_files import check_safetensors, follow_umask, save_safetensors

BUNDLED_MODELS = GEN_MODELS
# What is fetched of a model on the hub.
MODEL_FILES = ("*.json", "*.safetensors", "*/*.json", "*/*.safetensors", "*/*.model", "*.bin")
CONFIG_FILE = "config.json"
SINGLE_FILE = "diffusion_pytorch_model.safetensors"
INDEX_FILE = "diffusion_pytorch_model.safetensors.index.json"
SHARD_PATTERN = "diffusion_pytorch_model{suffix}.safetensors"
MAX_SHARD_BYTES = 16_000_000


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        ModelNotFoundError: there is no such file.
        ModelError: it is not a JSON object; the message names the file.
    """
    if not path.is_file():
        raise ModelNotFoundError(
            f"{path} is missing; the model folder is incomplete, copy or download it again"
        )
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ModelError(
            f"{path} is damaged: not readable JSON ({error}); copy or download the model again"
        ) from error
    if not isinstance(content, dict):
        raise ModelError(
            f"{path} should hold a JSON object, not a {type(content).__name__}; copy or download the model "
            "again"
        )
    return content


def read_config(folder: Path) -> dict[str, Any]:
    """A folder's config.json; empty where there is none. Errors as for `read_json`."""
    path = folder / CONFIG_FILE
    return read_json(path) if path.is_file() else {}


def read_torch(file: Path, *, mapped: bool = False) -> Any:
    """Read what torch.save wrote, tensors and plain values, to the CPU, without running code from it.

    Args:
        file: of the zip format, or of the one before it.
        mapped: leave the tensors on the disk until they are used (zip format only).

    Raises:
        ModelError: it is truncated or damaged, or holds more than tensors and plain values.
    """
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Detected pickle protocol")  # it loads, or is refused
            return torch.load(file, map_location="cpu", weights_only=True, mmap=mapped)
    except Exception as error:  # of garbage, the unpickler raises whatever its bytes happen to mean
        # torch says of what it does not unpickle how to unpickle it all the same.
        reason = "" if isinstance(error, pickle.UnpicklingError) else f" ({brief(error)})"
        raise ModelError(
            f"{file} is truncated or damaged, or holds more than tensors and plain values and is not opened, "
            f"as reading it could run code{reason}; copy or download it again"
        ) from error


def brief(error: Exception) -> str:
    """The beginning of an error's message, on one line; its kind where it has none."""
    return shorten(str(error), 300, placeholder=" ...") or type(error).__name__


def part_folder(name: str | os.PathLike[str], part: str) -> Path:
    """The folder of one part of an AudioGen, without going online.

    Args:
        name: folder or bundled name of an AudioGen, or the part's own folder.
        part: "lm" or "text_encoder".

    Returns:
        The part's folder; `name` as a path where there is no such model.
    """
    folder = Path(name).expanduser()
    if os.fspath(name) in bundled_names(BUNDLED_MODELS):
        folder = resolve_model(name, BUNDLED_MODELS)
    return folder / part if (folder / part / "config.json").is_file() else folder


def weight_files(folder: Path) -> list[Path]:
    """The weight files of a model folder, each checked to be there and whole.

    Raises:
        FileNotFoundError: a file is missing; the message names it.
        ValueError: a file is truncated or is no safetensors file; the message names it.
    """
    index = folder / INDEX_FILE
    if index.is_file():
        names = read_json(index).get("weight_map")
        if not isinstance(names, dict) or not names:
            raise ModelError(f"{index} has no 'weight_map'; copy or download the model again")
        files = [folder / name for name in sorted({str(name) for name in names.values()})]
        if odd := next((file for file in files if file.parent != folder), None):
            raise ModelError(f"{index} names {odd}, which is not beside it; copy or download the model again")
    else:
        files = [folder / SINGLE_FILE]
    for file in files:
        if not file.is_file():
            raise ModelNotFoundError(
                f"weight file {file} is missing; the model folder is incomplete, copy or download it again"
            )
        check_safetensors(file)
    return files


def read_weights(
    folder: Path, dtype: torch.dtype | None = None, *, mapped: bool = False
) -> dict[str, Tensor]:
    """Read every tensor of a model folder, one file after the other; errors as for `weight_files`.

    Args:
        folder: of the weight files.
        dtype: cast floating tensors to it; None keeps what is stored.
        mapped: leave tensors that need no cast where they are: memory-mapped, read from the disk when they
            are used, shared between processes. Their files must then never be overwritten in place.
    """
    state: dict[str, Tensor] = {}
    for file in weight_files(folder):
        with safe_open(file, framework="pt") as opened:
            for name in opened.keys():  # noqa: SIM118 - safe_open is no dict
                tensor = opened.get_tensor(name)
                wanted = dtype if dtype is not None and tensor.is_floating_point() else tensor.dtype
                state[name] = tensor.to(wanted, copy=not mapped)
    return state


def each_weight(folder: Path) -> Iterator[tuple[str, Tensor]]:
    """Names and tensors of a model folder one after the other, a copy each; errors as for `weight_files`.

    A file is mapped anew for each tensor: what was read before does not stay in this process's memory.
    """
    for file in weight_files(folder):
        with safe_open(file, framework="pt") as opened:
            names = list(opened.keys())
        for name in names:
            with safe_open(file, framework="pt") as opened:
                tensor = opened.get_tensor(name).clone()
            yield name, tensor


def fill(model: nn.Module, state: dict[str, Tensor], where: Path) -> None:
    """Give a model, on whatever device, these tensors as its weights; none is copied.

    Raises:
        ValueError: names or shapes are not the model's; the message names `where` and the first ones.
    """
    own = model.state_dict()
    if levels := [
        name
        for name, tensor in state.items()
        if name in own and own[name].is_floating_point() and not tensor.is_floating_point()
    ]:
        raise ModelError(
            f"the weights in {where} are stored as integers ({levels[0]} is {state[levels[0]].dtype}), which "
            "its config.json does not say; copy or download the model again"
        )
    try:
        model.load_state_dict(state, strict=True, assign=True)
    except RuntimeError as error:
        raise ModelError(
            f"the weights in {where} are not those of its config.json ({brief(error)}); "
            "copy or download the model again"
        ) from error


def write_weights(
    state: dict[str, Tensor], folder: Path, max_shard_bytes: int = MAX_SHARD_BYTES
) -> list[Path]:
    """Write tensors as one safetensors file, or as shards of at most `max_shard_bytes` with an index.

    A single tensor larger than that gets a file of its own. Weight files that the folder held before are
    removed.

    Returns:
        The weight files written.
    """
    from huggingface_hub import save_torch_state_dict  # slow to import

    folder.mkdir(parents=True, exist_ok=True)
    for stale in folder.glob(SHARD_PATTERN.format(suffix="*")):
        stale.unlink()
    save_torch_state_dict(
        state, folder, filename_pattern=SHARD_PATTERN, max_shard_size=max_shard_bytes, force_contiguous=True
    )
    follow_umask(folder)
    return sorted(folder.glob(SHARD_PATTERN.format(suffix="*")))


def write_shards(
    tensors: Iterable[tuple[str, Tensor]], folder: Path, shard_bytes: int = MAX_SHARD_BYTES
) -> list[Path]:
    """Write tensors as they come, never holding more of them than one shard, and an index.

    Args:
        tensors: names and tensors, each made when it is asked for.
        folder: a new folder.
        shard_bytes: a shard is written when it would grow beyond this; a larger tensor gets its own.

    Returns:
        The weight files written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    names: dict[str, str] = {}
    shard: dict[str, Tensor] = {}
    total = held = 0

    def flush() -> None:
        file = folder / SHARD_PATTERN.format(suffix=f"-{len(written) + 1:05d}")
        save_safetensors(shard, file)
        names.update(dict.fromkeys(shard, file.name))
        written.append(file)
        shard.clear()

    for name, tensor in tensors:
        if shard and held + tensor.nbytes > shard_bytes:
            flush()
            held = 0
        shard[name] = tensor.contiguous()
        held += tensor.nbytes
        total += tensor.nbytes
    if shard:
        flush()
    index = {"metadata": {"total_size": total}, "weight_map": names}
    (folder / INDEX_FILE).write_text(json.dumps(index, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    return written
