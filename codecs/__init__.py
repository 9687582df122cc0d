"""Neural audio codecs: sound <-> tokens or latents, and compressed files of these."""

import importlib
from typing import TYPE_CHECKING, Any

from ..core.audio import (
    Audio,
    AudioError,
    check_destination,
    mix,
    normalize_rms,
    read_audio,
    resample,
    rms_db,
    write_audio,
)
from ..core.hub import resolve_model
from .base import Codec
from .registry import load_codec

if TYPE_CHECKING:
    from .compression import decode_file, describe_file, encode_file
    from .container import Compressed, ContainerError, ContainerReader, ContainerWriter
    from .ecdc.read_ecdc import read_ecdc
    from .ecdc.write_ecdc import write_ecdc
    from .encodec.model import EnCodec
    from .music2latent2.model import Music2Latent2
    from .seanet.model import SEANetCodec

# Models are imported when first asked for: diffusers takes seconds, and reading a file needs none of it.
_LAZY = {
    "Compressed": ".container",
    "ContainerError": ".container",
    "ContainerReader": ".container",
    "ContainerWriter": ".container",
    "EnCodec": ".encodec.model",
    "Music2Latent2": ".music2latent2.model",
    "SEANetCodec": ".seanet.model",
    "decode_file": ".compression",
    "describe_file": ".compression",
    "encode_file": ".compression",
    "read_ecdc": ".ecdc.read_ecdc",
    "write_ecdc": ".ecdc.write_ecdc",
}

__all__ = [
    "Audio",
    "AudioError",
    "Codec",
    "Compressed",
    "ContainerError",
    "ContainerReader",
    "ContainerWriter",
    "EnCodec",
    "Music2Latent2",
    "SEANetCodec",
    "check_destination",
    "decode_file",
    "describe_file",
    "encode_file",
    "load_codec",
    "mix",
    "normalize_rms",
    "read_audio",
    "read_ecdc",
    "resample",
    "resolve_model",
    "rms_db",
    "write_audio",
    "write_ecdc",
]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name], __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
