"""The registry of codecs, and `load_codec`: find one by name.

A codec is a folder beside this file and one entry of CODECS.
"""

from __future__ import annotations

import importlib
import inspect
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import torch

from ..core.checkpoint import CONFIG_FILE, read_config
from ..core.errors import ArgumentError, ModelError, ModelNotFoundError
from ..core.hub import BUNDLED_MODELS, CODEC_NAME, DEFAULT_CODEC, bundled_names, resolve_model
from .base import Codec


@dataclass(frozen=True)
class CodecEntry:
    """Where the class of a codec is, and what else is known as that codec.

    Attributes:
        module: that holds the class; relative to this package, or the full name.
        published: file names (patterns) of weights as others publish them: a folder with such a file is this
            codec's, unless its config.json names another class.
        model_type: of transformers' config.json, for codecs that transformers has too.
        hub: names that `load_codec` takes for hub models, and their ids.
    """

    module: str
    published: tuple[str, ...] = ()
    model_type: str | None = None
    hub: Mapping[str, str] = field(default_factory=dict)


# By the class's name, which is `_class_name` in config.json.
CODECS: dict[str, CodecEntry] = {
    "SEANetCodec": CodecEntry(".seanet.model", published=("compression_state_dict.bin",)),
    "EnCodec": CodecEntry(
        ".encodec.model",
        published=("*.th",),
        model_type="encodec",
        hub={"encodec-24khz": "facebook/encodec_24khz", "encodec-48khz": "facebook/encodec_48khz"},
    ),
    "Music2Latent2": CodecEntry(".music2latent2.model", published=("codicodec.pt",)),
}


def hub_codecs() -> dict[str, str]:
    """The names of codecs that are fetched from the hub, and their ids there."""
    return {name: hub_id for entry in CODECS.values() for name, hub_id in entry.hub.items()}


def codec_folder(
    name: str | os.PathLike[str], *, local_files_only: bool = False, revision: str | None = None
) -> Path:
    """The folder of a codec: arguments and errors as for `load_codec`; hub models are fetched."""
    published = [pattern for entry in CODECS.values() for pattern in entry.published]
    return resolve_model(
        name,
        BUNDLED_MODELS,
        local_files_only=local_files_only,
        revision=revision,
        allow_patterns=(CONFIG_FILE, "*.safetensors", "*.safetensors.index.json", *published),
        short_names=hub_codecs(),
    )


def codec_class(folder: Path) -> type[Codec]:
    """The class of the codec in a folder, by its config.json or, of published ones, by the weight file.

    Raises:
        ModelNotFoundError: the folder holds no codec.
        ModelError: its config.json is damaged or names no codec that is known here.
    """
    config = read_config(folder)
    name = config.get("_class_name")
    if name is None:
        name = next((name for name, entry in CODECS.items() if _is_published(entry, folder, config)), None)
    if name in CODECS:
        return import_class(name)
    if not (folder / CONFIG_FILE).is_file():
        files = ", ".join(pattern for entry in CODECS.values() for pattern in entry.published)
        raise ModelNotFoundError(
            f"{folder} holds no codec; it needs a {CONFIG_FILE}, or weights as others publish them ({files})"
        )
    other = f"; it is loaded with {name}.from_pretrained" if name is not None else ""
    raise ModelError(
        f"{folder / CONFIG_FILE} has _class_name {name!r}, which is no known codec{other}. "
        f"Codecs: {', '.join(sorted(CODECS))}"
    )


def _is_published(entry: CodecEntry, folder: Path, config: Mapping[str, Any]) -> bool:
    """Whether a folder holds a codec as others publish it."""
    if entry.model_type is not None and config.get("model_type") == entry.model_type:
        return True
    return any(True for pattern in entry.published for _ in folder.glob(pattern))


def import_class(name: str) -> type[Codec]:
    """The class of a codec of CODECS."""
    kind = getattr(importlib.import_module(CODECS[name].module, __package__), name)
    assert issubclass(kind, Codec)
    return kind


def is_local(name: str) -> bool:
    """Whether a codec of this name is on this machine, with its weights."""
    try:
        folder = codec_folder(name, local_files_only=True)
        codec_class(folder)
    except (OSError, ValueError):
        return False
    weights = ("*.safetensors", *(pattern for entry in CODECS.values() for pattern in entry.published))
    return any(True for pattern in weights for _ in folder.glob(pattern))


def find_trainer(name: str) -> type[Any] | None:
    """The LightningModule of that class name that trains one of the codecs; None: none of them has it."""
    for codec in CODECS:
        trainer = import_class(codec).trainer or ""
        module, _, found = trainer.rpartition(".")
        if found == name:
            return getattr(importlib.import_module(module), name)
    return None


def load_codec(
    name: str | os.PathLike[str] = DEFAULT_CODEC,
    *,
    device: torch.device | str = "cpu",
    local_files_only: bool = False,
    revision: str | None = None,
    **settings: Any,
) -> Codec:
    """Load a codec of any kind by name, ready to encode and decode.

    Args:
        name: a folder, a bundled name or a hub id; see `resolve_model` for the order and its errors. Also
            "encodec-24khz" and "encodec-48khz", which come from the hub, and Meta's own `.th` files of these.
        device: where the codec goes.
        local_files_only: take hub models from the local cache only.
        revision: branch, tag or commit of a hub model.
        settings: passed to `from_pretrained` of the codec's class, for example EnCodec's `bandwidth`.

    Raises:
        ModelError: unknown name, or the folder's config.json names no known codec.
        OSError: a file is missing or damaged, or the hub cannot be reached.
    """
    text = os.fspath(name)
    codec = _load(text, local_files_only=local_files_only, revision=revision, **settings)
    if not codec.name:
        path = Path(text).expanduser()
        known = text in (*bundled_names(BUNDLED_MODELS), *hub_codecs())
        short = path.resolve().name if path.exists() and not known else text
        codec.name = short if CODEC_NAME.fullmatch(short) else ""
    return codec.to(device)


def _load(text: str, *, local_files_only: bool, revision: str | None, **settings: Any) -> Codec:
    options: dict[str, Any] = {"local_files_only": local_files_only, "revision": revision}
    for name, entry in CODECS.items():
        # A hub model of known kind, or a weight file as others publish it.
        is_file = not Path(text).expanduser().is_dir() and any(
            fnmatch(Path(text).name, pattern) for pattern in entry.published
        )
        if is_file or text in entry.hub or text in entry.hub.values():
            kind = import_class(name)
            _check_settings(kind, settings)
            return kind.from_pretrained(text, **options, **settings)
    folder = codec_folder(text, **options)
    kind = codec_class(folder)
    _check_settings(kind, settings)
    return kind.from_pretrained(folder, **settings)


def _check_settings(kind: type[Codec], settings: Mapping[str, Any]) -> None:
    """Raise ArgumentError for a setting that `from_pretrained` of a class does not take."""
    known = set(inspect.signature(kind.from_pretrained).parameters) - {"name"}
    if unknown := settings.keys() - known:
        raise ArgumentError(
            f"{kind.__name__} is not loaded with {', '.join(sorted(unknown))}; it takes "
            f"{', '.join(sorted(known))}"
        )
