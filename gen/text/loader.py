"""A text encoder of any kind, found by name."""

from __future__ import annotations

import os
from typing import Any

from ...core.checkpoint import part_folder, read_json
from .encoder import TextEncoder
from .t5 import T5TextEncoder


def load_text_encoder(name: str | os.PathLike[str], **kwargs: Any) -> TextEncoder:
    """Load a text encoder: the embedded one or that of an AudioGen on this machine, else a T5.

    Args:
        name: folder or bundled name of an AudioGen, whose encoder is taken ("foley"); folder of an encoder;
            hub id of a T5.
        kwargs: `local_files_only` and `revision` of a T5.

    Raises:
        OSError: there is none, or it is damaged or cannot be reached; the message names it.
    """
    folder = part_folder(name, "text_encoder")
    config = folder / "config.json"
    if config.is_file() and read_json(config).get("_class_name") == "EmbeddedTextEncoder":
        from .embedded import EmbeddedTextEncoder

        return EmbeddedTextEncoder.from_pretrained(folder)
    return T5TextEncoder.from_pretrained(folder if folder.is_dir() else name, **kwargs)
