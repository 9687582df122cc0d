"""Which codecs there are, and how one is found by name."""

from __future__ import annotations

import importlib
import json
import os
from pathlib import Path
from typing import Any

from ..core.errors import ModelError, ModelNotFoundError
from ..core.hub import (
    BUNDLED_MODELS,
    CODEC_FILES,
    CODEC_NAME,
    CODICODEC_FILE,
    DEFAULT_CODEC,
    HUB_CODECS,
    PUBLISHED_FILE,
    bundled_names,
    resolve_model,
)
from .base import Codec

# `_class_name` in a codec's config.json -> module (relative to this package) that holds the class.
CODEC_CLASSES = {
    "SEANetCodec": ".seanet.model",
    "EnCodec": ".encodec.model",
    "Music2Latent2": ".music2latent2.model",
}
# Codecs as others publish them: `model_type` of transformers' config.json -> our class.
TRANSFORMERS_TYPES = {"encodec": "EnCodec"}


def codec_class(folder: Path) -> type[Codec]:
    """The class of the codec saved in a folder, by `_class_name` of its config.json.

    Raises:
        FileNotFoundError: the folder holds no codec.
        ValueError: its config.json is damaged or names no codec that is known here.
    """
    config = folder / "config.json"
    settings: Any = {}
    if config.is_file():
        try:
            settings = json.loads(config.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ModelError(
                f"{config} is not readable JSON ({error}); fetch or save the model again"
            ) from error
        settings = settings if isinstance(settings, dict) else {}
    name = settings.get("_class_name")
    if name is None and (folder / CODICODEC_FILE).is_file():
        name = "Music2Latent2"  # a config.json beside it holds the sizes only
    elif config.is_file():
        name = name or TRANSFORMERS_TYPES.get(str(settings.get("model_type")))
        if name not in CODEC_CLASSES:
            raise ModelError(
                f"{config} has _class_name {name!r}, which is no known codec; "
                f"known: {', '.join(sorted(CODEC_CLASSES))}"
            )
    elif (folder / PUBLISHED_FILE).is_file():
        name = "SEANetCodec"
    elif any(folder.glob("encodec_*.th")):
        name = "EnCodec"
    else:
        raise ModelNotFoundError(f"{folder} holds no codec; it needs a config.json or a {PUBLISHED_FILE}")
    kind = getattr(importlib.import_module(CODEC_CLASSES[name], __package__), name)
    assert issubclass(kind, Codec)
    return kind


def load_codec(
    name: str | os.PathLike[str] = DEFAULT_CODEC,
    *,
    local_files_only: bool = False,
    revision: str | None = None,
    **settings: Any,
) -> Codec:
    """Load a codec of any kind by name, ready to encode and decode.

    Args:
        name: a folder, a bundled name or a hub id; see `resolve_model` for the order and its errors. Also
            "encodec-24khz" and "encodec-48khz", which come from the hub, and Meta's own `.th` files of these.
        local_files_only: take hub models from the local cache only.
        revision: branch, tag or commit of a hub model.
        settings: passed to `from_pretrained` of the codec's class, for example EnCodec's `bandwidth`.

    Raises:
        ValueError: unknown name, or the folder's config.json names no known codec.
        OSError: a file is missing or damaged, or the hub cannot be reached.
    """
    codec = _load(name, local_files_only=local_files_only, revision=revision, **settings)
    if codec.name:
        return codec
    text = os.fspath(name)
    path = Path(text).expanduser()
    known = text in (*bundled_names(BUNDLED_MODELS), *HUB_CODECS)
    short = path.resolve().name if path.exists() and not known else text
    codec.name = short if CODEC_NAME.fullmatch(short) else ""
    return codec


def _load(
    name: str | os.PathLike[str], *, local_files_only: bool, revision: str | None, **settings: Any
) -> Codec:
    text = os.fspath(name)
    if text in HUB_CODECS or text.endswith(".th") or settings.get("random_weights"):
        from .encodec.model import EnCodec

        return EnCodec.from_pretrained(text, local_files_only=local_files_only, revision=revision, **settings)
    folder = resolve_model(
        name,
        BUNDLED_MODELS,
        local_files_only=local_files_only,
        revision=revision,
        allow_patterns=CODEC_FILES,
    )
    kind: Any = codec_class(folder)
    codec = kind.from_pretrained(folder, **settings)
    assert isinstance(codec, Codec)
    return codec
