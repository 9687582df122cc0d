"""soundloom: text to sound (AudioGen) and sound to very few numbers (SEANet, EnCodec, Music2Latent2).

What a program needs is here: `soundloom.AudioGen`, `soundloom.load_codec`, `soundloom.read_audio` and the
rest of `__all__`. Each is imported when it is first asked for, so that `import soundloom` stays quick.
"""

import importlib
from typing import TYPE_CHECKING, Any

from .core.errors import ArgumentError, ModelError, ModelNotFoundError, SoundloomError
from .core.version import __version__ as __version__

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
    from .evaluation.audio_text_scorer import AudioTextScorer
    from .evaluation.scorer import ClassifierScorer
    from .gen import AudioGen, Engine, GeneratedAudio, GenerationCancelled, GenerationSettings


_LAZY = {
    "Audio": ".codecs",
    "AudioError": ".codecs",
    "AudioGen": ".gen",
    "AudioTextScorer": ".evaluation.audio_text_scorer",
    "ClassifierScorer": ".evaluation.scorer",
    "Codec": ".codecs",
    "Compressed": ".codecs",
    "ContainerError": ".codecs",
    "Engine": ".gen",
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
# Old names that are not listed; `soundloom.gen` asks here, as it may not import what stands above it.
_OLD = {"JudgeScorer": ".evaluation.scorer"}

__all__ = [
    "ArgumentError",
    "Audio",
    "AudioError",
    "AudioGen",
    "AudioTextScorer",
    "ClassifierScorer",
    "Codec",
    "Compressed",
    "ContainerError",
    "Engine",
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
    if module := _LAZY.get(name, _OLD.get(name)):
        return getattr(importlib.import_module(module, __name__), name)
    if name in _PARTS:
        return importlib.import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*__all__, *_PARTS, "__version__"})
