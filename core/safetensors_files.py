"""Check safetensors files before they are read, and let others read those that are written.

A file begins with the length of its header (8 bytes, little-endian) and a JSON header: of every tensor its
dtype, shape and place in the data, https://huggingface.co/docs/safetensors. Model files come from elsewhere,
so whatever the header claims is checked against the file's size first, in a time that does not depend on it.
"""

from __future__ import annotations

import io
import itertools
import json
import math
import os
import secrets
import shutil
import stat
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, Self

import torch
from safetensors import SafetensorError
from safetensors.torch import load, load_file, save, save_file
from torch import Tensor, nn

from .atomic import atomic_write
from .errors import ModelError
from .version import __version__

MAX_HEADER_BYTES = 8_000_000
MAX_TENSORS = 20_000  # the largest models have a few thousand
# Bytes of a value, by the header's name of its type.
SIZES = {
    "BOOL": 1,
    "U8": 1,
    "I8": 1,
    "F8_E4M3": 1,
    "F8_E5M2": 1,
    "U16": 2,
    "I16": 2,
    "F16": 2,
    "BF16": 2,
    "U32": 4,
    "I32": 4,
    "F32": 4,
    "U64": 8,
    "I64": 8,
    "F64": 8,
}


def check_safetensors(file: str | os.PathLike[str]) -> None:
    """Raise ModelError unless a file is whole and every tensor lies where its shape says, and alone there.

    Refused are a header of more than 8 MB or 20,000 tensors, tensors without values, types that no model here
    uses, and shapes, places and file size that do not fit together.
    """
    path = Path(file)
    try:
        with path.open("rb") as opened:
            _check(opened, os.fstat(opened.fileno()).st_size)
    except (OSError, ValueError, RecursionError) as error:
        raise damaged(path, error) from error


def read_header(file: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """Names, types and shapes of a file's tensors, and its metadata; errors as for `check_safetensors`."""
    check_safetensors(file)
    with file.open("rb") as opened:
        header = json.loads(opened.read(int.from_bytes(opened.read(8), "little")))
    metadata = header.pop("__metadata__", None) or {}
    return header, metadata


def add_metadata(file: Path, metadata: Mapping[str, str]) -> None:
    """Put texts into a file's metadata, beside those that it has; its tensors stay as they are, to the bit.

    The file is written anew, complete or not at all. Errors as for `check_safetensors`.
    """
    header, known = read_header(file)
    if metadata.items() <= known.items():
        return
    changed = json.dumps({"__metadata__": {**known, **metadata}, **header}, separators=(",", ":")).encode()
    changed += b" " * (-len(changed) % 8)  # as the library aligns it
    with file.open("rb") as old, atomic_write(file) as new:
        old.seek(8 + int.from_bytes(old.read(8), "little"))
        new.write(len(changed).to_bytes(8, "little") + changed)
        shutil.copyfileobj(old, new)


def check_folder(folder: Path) -> None:
    """Check every safetensors file of a model folder; see `check_safetensors`."""
    for file in sorted(folder.glob("*.safetensors")):
        check_safetensors(file)


def load_safetensors(source: str | os.PathLike[str] | bytes, where: str = "") -> dict[str, Tensor]:
    """Read the tensors of a file, or of its bytes, after a check; errors as for `check_safetensors`.

    Args:
        source: the file, or what it holds.
        where: what to call bytes in messages. Bytes may hold tensors without values: texts without a word.
    """
    name = where if isinstance(source, bytes) else os.fspath(source)
    try:
        if isinstance(source, bytes):
            _check(io.BytesIO(source), len(source), empty=True)
            return load(source)
        check_safetensors(source)
        return load_file(source)
    except ModelError:
        raise
    except (SafetensorError, OSError, ValueError, RecursionError) as error:
        raise damaged(name, error) from error


def damaged(file: str | os.PathLike[str], error: Exception) -> ModelError:
    """The error about a weight file that cannot be read."""
    return ModelError(
        f"weight file {os.fspath(file)} is truncated or damaged ({error}); copy or download it again"
    )


class SharedWeights:
    """Put before diffusers' ModelMixin: saves with the permissions of any new file, and needs no hooks.

    diffusers asks its hooks where a model is and whether it may be moved. They import torch's compiler; as
    long as nobody has imported them, there is none on the model. The metadata of its files tells the
    version of soundloom.
    """

    def save_pretrained(self, save_directory: str | os.PathLike[str], *args: Any, **options: Any) -> None:
        """Write config.json and safetensors; arguments as in diffusers."""
        super().save_pretrained(save_directory, *args, **options)  # type: ignore[misc]
        folder = Path(save_directory)
        for file in folder.glob("*.safetensors"):
            add_metadata(file, {"soundloom_version": __version__})
        follow_umask(folder)

    def to(self, *args: Any, **options: Any) -> Self:
        """As `nn.Module.to`."""
        if "diffusers.hooks" in sys.modules:
            return super().to(*args, **options)  # type: ignore[misc, no-any-return]
        return nn.Module.to(self, *args, **options)  # type: ignore[call-overload, no-any-return]

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        tensor = next(itertools.chain(self.parameters(), self.buffers()), None)  # type: ignore[attr-defined]
        return torch.device("cpu") if tensor is None else tensor.device


def save_safetensors(tensors: dict[str, Tensor], file: Path) -> None:
    """Write tensors to a file, with the permissions that any new file gets."""
    save_file(tensors, file, metadata={"format": "pt"})
    follow_umask(file.parent)


def write_safetensors(tensors: dict[str, Tensor], file: Path, metadata: Mapping[str, str]) -> None:
    """Write tensors to a new file, with texts as its metadata and the permissions that any new file gets."""
    with file.open("xb") as opened:
        opened.write(save(tensors, metadata={"format": "pt", **metadata}))


def follow_umask(folder: Path) -> None:
    """Give a folder's weight files the permissions of any new file there.

    The safetensors library makes them readable for their owner only, so that other users and containers could
    not load the model.
    """
    private = [file for file in folder.glob("*.safetensors") if stat.S_IMODE(file.stat().st_mode) == 0o600]
    if not private:
        return
    # Asking for the umask would mean to change it for all threads.
    probe = folder / f".soundloom-{secrets.token_hex(8)}.part"
    try:
        with probe.open("xb") as opened:
            mode = stat.S_IMODE(os.fstat(opened.fileno()).st_mode)
    finally:
        probe.unlink(missing_ok=True)
    for file in private:
        file.chmod(mode)


def _check(opened: BinaryIO, size: int, empty: bool = False) -> None:
    """Raise ValueError or OSError with what is wrong about the safetensors file of `size` bytes."""
    length = int.from_bytes(opened.read(8), "little")
    if size < 8 or not 2 <= length <= size - 8:
        raise ValueError(f"it says that its header has {length} bytes, of {size} in all")
    if length > MAX_HEADER_BYTES:
        raise ValueError(f"its header has {length} bytes; at most {MAX_HEADER_BYTES} are read")
    header = json.loads(opened.read(length), object_pairs_hook=_object)
    if not isinstance(header, dict):
        raise ValueError("its header is no JSON object")
    header.pop("__metadata__", None)
    if len(header) > MAX_TENSORS:
        raise ValueError(f"it lists {len(header)} tensors; at most {MAX_TENSORS} are read")
    places = sorted(_place(name, entry, 0 if empty else 1) for name, entry in header.items())
    reached = 0
    for start, stop, name in places:
        if start != reached:
            kind = "overlap" if start < reached else "leave a hole"
            raise ValueError(f"its tensors {kind} before byte {start}, where {name[:80]!r} begins")
        reached = stop
    if reached != size - 8 - length:
        raise ValueError(f"its tensors take {reached} bytes, but {size - 8 - length} follow the header")


def _place(name: str, entry: Any, least: int) -> tuple[int, int, str]:
    """First and last byte of a tensor in the data, checked against its type and shape."""
    short = repr(name[:80])
    if not isinstance(entry, dict) or not {"dtype", "shape", "data_offsets"} <= entry.keys():
        raise ValueError(f"its header does not describe {short}")
    width, shape, offsets = SIZES.get(str(entry["dtype"])), entry["shape"], entry["data_offsets"]
    if width is None:
        raise ValueError(f"{short} is of type {str(entry['dtype'])[:20]!r}; read are {', '.join(SIZES)}")
    if not _counts(shape, least) or len(shape) > 8:
        raise ValueError(f"the shape of {short} is {str(shape)[:80]}, not up to 8 sizes of at least {least}")
    if not _counts(offsets, 0) or len(offsets) != 2:
        raise ValueError(f"the place of {short} is {str(offsets)[:80]}, not two offsets")
    if math.prod(shape) * width != offsets[1] - offsets[0]:
        raise ValueError(f"{short} has shape {shape} and type {entry['dtype']}, but the bytes {offsets}")
    return offsets[0], offsets[1], name


def _counts(values: Any, least: int) -> bool:
    """Whether these are integers of at least `least` that fit into 64 bits."""
    return isinstance(values, list) and all(type(value) is int and least <= value < 2**63 for value in values)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object, whose names must differ."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("its header says the same thing twice")
    return found
