"""Text -> tokens: AudioGen."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..evaluation.scorer import JudgeScorer
    from .generated_audio import GeneratedAudio
    from .generation import GenerationCancelled
    from .model.lm import AudioLM
    from .pipeline import AudioGen
    from .settings import GenerationSettings

__all__ = [
    "AudioGen",
    "AudioLM",
    "GeneratedAudio",
    "GenerationCancelled",
    "GenerationSettings",
    "JudgeScorer",
]

_MODULES = {
    "AudioGen": "pipeline",
    "AudioLM": "model.lm",
    "GeneratedAudio": "generated_audio",
    "GenerationCancelled": "generation",
    "GenerationSettings": "settings",
    "JudgeScorer": ".evaluation.scorer",
}


def __getattr__(name: str) -> Any:
    # Imported when first asked for: diffusers takes seconds.
    if name in _MODULES:
        from importlib import import_module

        return getattr(import_module(f".{_MODULES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
