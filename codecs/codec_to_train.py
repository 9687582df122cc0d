"""Load a codec to train it further, what its checkpoints note of it, and the commands that try one."""

from __future__ import annotations

import json
from typing import Any, TypeVar

from .base import Codec
from .pretrained import PretrainedCodec
from .registry import load_codec

TrainableCodec = TypeVar("TrainableCodec", bound=Codec)


def codec_to_train(name: str, kind: type[TrainableCodec]) -> TrainableCodec:
    """Load a codec by bundled name, folder or hub id, to train it further.

    Raises:
        ValueError: it is of another kind.
    """
    codec = load_codec(name)
    if not isinstance(codec, kind):
        raise ValueError(
            f"init_from is {name!r}, a {type(codec).__name__}, but this trains a "
            f"{kind.__name__}; name one of those, or take the recipe of the other kind"
        )
    codec.requires_grad_(True).train()
    return codec


def noted_config(codec: PretrainedCodec) -> dict[str, Any]:
    """How a codec is built, as plain values: what its class is made of again."""
    return json.loads(json.dumps({k: v for k, v in codec.config.items() if not k.startswith("_")}))


def codec_usage(folder: str) -> list[str]:
    """Commands that try the codec in a folder."""
    return [
        f"soundloom encode in.wav out.loom --codec {folder}",
        f"soundloom decode out.loom out.wav --codec {folder}",
        f"soundloom evaluate FOLDER --codec {folder}",
    ]
