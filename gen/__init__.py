"""Text -> tokens: AudioGen."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .engine.engine import Engine
    from .generated_audio import GeneratedAudio
    from .generation import GenerationCancelled
    from .model.lm import AudioLM
    from .pipeline import AudioGen
    from .settings import GenerationSettings

__all__ = [
    "AudioGen",
    "AudioLM",
    "Engine",
    "GeneratedAudio",
    "GenerationCancelled",
    "GenerationSettings",
]

_MODULES = {
    "AudioGen": "pipeline",
    "AudioLM": "model.lm",
    "Engine": "engine.engine",
    "GeneratedAudio": "generated_audio",
    "GenerationCancelled": "generation",
    "GenerationSettings": "settings",
}


def __getattr__(name: str) -> Any:
    # Imported when first asked for: diffusers takes seconds.
    if name in _MODULES:
        from importlib import import_module

        return getattr(import_module(f".{_MODULES[name]}", __name__), name)
    if name == "JudgeScorer":  # an old name
        from importlib import import_module

        return getattr(import_module(__name__.rpartition(".")[0]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
