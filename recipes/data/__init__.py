"""Training data: sources of sound and captions, and the data modules that recipes name."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .audiogen_module import AudioGenDataModule
    from .captioned_module import CaptionedSoundDataModule
    from .clip_module import ClipDataModule
    from .codec_module import AudioDataModule
    from .phrases_module import SentenceDataModule
    from .token_module import TokenDataModule

__all__ = [
    "AudioDataModule",
    "AudioGenDataModule",
    "CaptionedSoundDataModule",
    "ClipDataModule",
    "SentenceDataModule",
    "TokenDataModule",
]

_MODULES = {
    "AudioDataModule": "codec_module",
    "AudioGenDataModule": "audiogen_module",
    "CaptionedSoundDataModule": "captioned_module",
    "ClipDataModule": "clip_module",
    "SentenceDataModule": "phrases_module",
    "TokenDataModule": "token_module",
}


def __getattr__(name: str) -> Any:
    # Imported when first asked for: Lightning takes seconds, and reading a folder needs none of it.
    if name in _MODULES:
        return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
