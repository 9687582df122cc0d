"""soundloom: text to sound (AudioGen) and sound to very few numbers (SEANet, EnCodec, Music2Latent2).

What a program needs is here: `soundloom.AudioGen`, `soundloom.load_codec`, `soundloom.read_audio` and the
rest of `__all__`. Each is imported when it is first asked for, so that `import soundloom` stays quick.
"""

import importlib
from typing import TYPE_CHECKING, Any

from .core.errors import ArgumentError, ModelError, ModelNotFoundError, SoundloomError

if TYPE_CHECKING:
    from . import codecs as codecs
    from . import gen as gen
    from .codecs import (
        Audio,
        AudioError,
        Codec,
        Compressed,
        ContainerError,
        decode_file,
        encode_file,
        load_codec,
        read_audio,
        resample,
        write_audio,
    )
    from .gen import AudioGen, GeneratedAudio, GenerationCancelled, GenerationSettings

__version__ = "0.1.0"

_LAZY = {
    "Audio": ".codecs",
    "AudioError": ".codecs",
    "AudioGen": ".gen",
    "Codec": ".codecs",
    "Compressed": ".codecs",
    "ContainerError": ".codecs",
    "GeneratedAudio": ".gen",
    "GenerationCancelled": ".gen",
    "GenerationSettings": ".gen",
    "decode_file": ".codecs",
    "encode_file": ".codecs",
    "load_codec": ".codecs",
    "read_audio": ".codecs",
    "resample": ".codecs",
    "write_audio": ".codecs",
}
_PARTS = ("codecs", "gen")

__all__ = [
    "ArgumentError",
    "Audio",
    "AudioError",
    "AudioGen",
    "Codec",
    "Compressed",
    "ContainerError",
    "GeneratedAudio",
    "GenerationCancelled",
    "GenerationSettings",
    "ModelError",
    "ModelNotFoundError",
    "SoundloomError",
    "decode_file",
    "encode_file",
    "load_codec",
    "read_audio",
    "resample",
    "write_audio",
]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name], __name__), name)
    if name in _PARTS:
        return importlib.import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*__all__, *_PARTS, "__version__"})
