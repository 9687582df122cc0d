"""Training data: sources of sound and captions, and the data modules that recipes name."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .audiogen_module import AudioGenDataModule
    from .modules import AudioDataModule, ClipDataModule, TokenDataModule

__all__ = ["AudioDataModule", "AudioGenDataModule", "ClipDataModule", "TokenDataModule"]


def __getattr__(name: str) -> Any:
    # Imported when first asked for: Lightning takes seconds, and reading a folder needs none of it.
    if name in __all__:
        from . import modules

        return getattr(modules, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
