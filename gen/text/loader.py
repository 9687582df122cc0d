"""Load a text encoder of any kind by name: the registry of kinds, and the one way to all of them.

To add a kind: a file beside this one with a `TextEncoder` that has `from_pretrained(name, *, revision,
local_files_only)` and `save_pretrained(folder)`, and a line in `TEXT_ENCODERS`.
"""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import Any

from ...core.checkpoint import CONFIG_FILE, part_folder, read_config
from ...core.errors import ModelError
from .encoder import TextEncoder

# `_class_name` in an encoder's config.json -> module (relative to this package) that holds the class.
TEXT_ENCODERS = {"EmbeddedTextEncoder": ".embedded", "T5TextEncoder": ".t5"}
# What has no `_class_name` is transformers': a folder as it is published, or a name on the hub.
TRANSFORMERS_CLASS = "T5TextEncoder"


def text_encoder_class(folder: Path) -> Any:
    """The class of the text encoder in a folder, by its config.json.

    Raises:
        ValueError: its config.json names no text encoder that is known here.
    """
    name = str(read_config(folder).get("_class_name", TRANSFORMERS_CLASS))
    if name not in TEXT_ENCODERS:
        raise ModelError(
            f"{folder / CONFIG_FILE} has _class_name {name!r}, which is no known text encoder; "
            f"known: {', '.join(sorted(TEXT_ENCODERS))}, and T5 in transformers' format"
        )
    return getattr(importlib.import_module(TEXT_ENCODERS[name], __package__), name)


def load_text_encoder(
    name: str | os.PathLike[str], *, revision: str | None = None, local_files_only: bool = False
) -> TextEncoder:
    """Load a text encoder of any kind by name, ready to encode.

    Args:
        name: folder or bundled name of an AudioGen, whose encoder is taken ("foley"); folder of an encoder;
            hub id of a T5.
        revision: branch, tag or commit of a hub model.
        local_files_only: take hub models from the local cache only.

    Raises:
        OSError: there is none, or it is damaged or cannot be reached; the message names it.
        ValueError: the folder holds a model of another kind.
    """
    folder = part_folder(name, "text_encoder")
    kind = text_encoder_class(folder)
    where = folder if folder.is_dir() else name
    encoder = kind.from_pretrained(where, revision=revision, local_files_only=local_files_only)
    assert isinstance(encoder, TextEncoder)
    return encoder
