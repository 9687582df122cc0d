"""Text -> tokens: AudioGen."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .lm import AudioLM
    from .pipeline import AudioGen, GeneratedAudio

__all__ = ["AudioGen", "AudioLM", "GeneratedAudio"]


def __getattr__(name: str) -> Any:
    # Imported when first asked for: diffusers takes seconds.
    if name in ("AudioGen", "GeneratedAudio"):
        from . import pipeline

        return getattr(pipeline, name)
    if name == "AudioLM":
        from .lm import AudioLM

        return AudioLM
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
