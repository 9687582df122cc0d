"""How good sounds are: classifier, embedders, distances, prompt accuracy, codecs side by side."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .audio_text_scorer import AudioTextScorer
    from .classifier import SoundClassifier
    from .frechet import FrechetAudioDistance
    from .kernel_distance import KernelAudioDistance
    from .kl_divergence import KLDivergence
    from .prompt_accuracy import PromptAccuracy
    from .scorer import ClassifierScorer
    from .spectral_distance import LogSpectralDistance, MultiResolutionMelDistance, reconstruction_metrics

__all__ = [
    "AudioTextScorer",
    "ClassifierScorer",
    "FrechetAudioDistance",
    "KLDivergence",
    "KernelAudioDistance",
    "LogSpectralDistance",
    "MultiResolutionMelDistance",
    "PromptAccuracy",
    "SoundClassifier",
    "reconstruction_metrics",
]

_MODULES = {
    "AudioTextScorer": "audio_text_scorer",
    "ClassifierScorer": "scorer",
    "FrechetAudioDistance": "frechet",
    "KLDivergence": "kl_divergence",
    "KernelAudioDistance": "kernel_distance",
    "LogSpectralDistance": "spectral_distance",
    "MultiResolutionMelDistance": "spectral_distance",
    "PromptAccuracy": "prompt_accuracy",
    "SoundClassifier": "classifier",
    "reconstruction_metrics": "spectral_distance",
}


def __getattr__(name: str) -> Any:
    # Imported when first asked for: torchmetrics and diffusers take seconds.
    if name in _MODULES:
        return getattr(import_module(f".{_MODULES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
