"""Write a model again with smaller weights, one tensor in memory at a time."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from ..codecs.base import Codec
from ..core.checkpoint import CONFIG_FILE, MAX_SHARD_BYTES, read_json
from ..core.errors import ModelError
from ..core.exports_model import model_folder
from ..core.files import check_folder_destination
from .loading import find_model, other_parts, save_other_parts
from .model.lm import AudioLM
from .model.schemes import check_scheme, folder_weights, stored_scheme, write_quantized
from .published import USAGE_FILE
from .text.encoder import TextEncoder


@dataclass(frozen=True, kw_only=True)
class Converted:
    """What `convert_model` wrote.

    Attributes:
        folder: it.
        quantization: how its language model is stored.
        weights: bytes of the language model.
        size: bytes of all files.
    """

    folder: Path
    quantization: str
    weights: int
    size: int


def convert_model(
    name: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    *,
    quantization: str = "int8",
    text_encoder: str | os.PathLike[str] | TextEncoder | None = None,
    codec: str | os.PathLike[str] | Codec | None = None,
    revision: str | None = None,
    local_files_only: bool = False,
    force: bool = False,
) -> Converted:
    """Write an AudioGen's folder with a quantized language model, which then loads and runs as it is stored.

    Args:
        name: of the model, of any kind that `AudioGen.from_pretrained` reads; not a quantized one, unless in
            the same scheme.
        folder: where to; complete or untouched.
        quantization: "bf16", "int8" or "int4".
        text_encoder, codec, revision, local_files_only: as for `AudioGen.from_pretrained`.
        force: allow a folder that holds something; its files of the same name are replaced.

    Raises:
        FileNotFoundError, ValueError: no such model, a damaged one, or one that is quantized otherwise.
        OSError: the hub cannot be reached, or the folder not be written.
    """
    check_scheme(quantization, auto=False)
    target = check_folder_destination(folder, force=force)
    if quantization is None:
        raise ModelError("quantization is None; name a scheme, or use save_pretrained to copy a model")
    found = find_model(name, quantization=quantization, revision=revision, local_files_only=local_files_only)
    lm, _, _ = AudioLM.described(found.lm, quantization)
    parts = other_parts(found, lm, text_encoder, codec, local_files_only)
    with model_folder(target) as partial:
        if stored_scheme(read_json(found.lm / CONFIG_FILE), found.lm) is None:
            write_quantized(lm, folder_weights(found.lm), partial / "lm", quantization, MAX_SHARD_BYTES)
        else:
            shutil.copytree(found.lm, partial / "lm", ignore=shutil.ignore_patterns(USAGE_FILE))
        save_other_parts(parts, partial)
    return Converted(
        folder=target,
        quantization=quantization,
        weights=_bytes(target / "lm"),
        size=_bytes(target),
    )


def _bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
