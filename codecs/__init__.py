"""Sound <-> tokens or latents."""

from typing import TYPE_CHECKING, Any

from .audio import (
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
from .base import Codec, load_codec, resolve_model

if TYPE_CHECKING:
    from .seanet.model import SEANetCodec

__all__ = [
    "Audio",
    "AudioError",
    "Codec",
    "SEANetCodec",
    "check_destination",
    "load_codec",
    "mix",
    "normalize_rms",
    "read_audio",
    "resample",
    "resolve_model",
    "rms_db",
    "write_audio",
]


def __getattr__(name: str) -> Any:
    # Models are imported when first asked for: diffusers takes seconds, and reading a file needs none of it.
    if name == "SEANetCodec":
        from .seanet.model import SEANetCodec

        return SEANetCodec
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
