"""Embedders: the features of sounds in which distances between sets of sounds are measured.

Letters: B sounds, N samples, F features.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from .classifier import LogMel, SoundClassifier


class Embedder(Protocol):
    """Describes sounds by F numbers each; anything with these four may be given to FrechetAudioDistance.

    One that cuts sounds into windows itself, of which each is described, has `own_windows = True` and gives
    `[B * P, F]` for P windows; `YAMNet` does.
    """

    name: str

    @property
    def sample_rate(self) -> int:
        """Hz of the audio it takes."""
        ...

    @property
    def num_features(self) -> int:
        """F."""
        ...

    def embed(self, audio: Tensor) -> Tensor:
        """Mono audio `[B, N]` at `sample_rate`, on any device -> features `[B, F]`."""
        ...


class Classifier(Protocol):
    """Tells how likely each class is; what KLDivergence and PromptAccuracy want."""

    name: str

    @property
    def sample_rate(self) -> int:
        """Hz of the audio it takes."""
        ...

    @property
    def class_names(self) -> list[str]:
        """Names of the classes, in the order of the logits."""
        ...

    def logits(self, audio: Tensor) -> Tensor:
        """Mono audio `[B, N]` at `sample_rate`, on any device -> logits `[B, classes]`."""
        ...


class NamedClassifier:
    """A SoundClassifier as embedder (what its last layer sees) and as classifier.

    Args:
        classifier: in evaluation mode.
        name: stated with every figure.
    """

    def __init__(self, classifier: SoundClassifier, name: str) -> None:
        self.classifier, self.name = classifier, name

    @classmethod
    def from_pretrained(cls, name: str | os.PathLike[str] = "foley-classifier") -> NamedClassifier:
        """Load a folder, a bundled name or a hub id; see `SoundClassifier.from_pretrained` for the errors."""
        text = os.fspath(name)
        return cls(SoundClassifier.from_pretrained(name), Path(text).name if Path(text).is_dir() else text)

    @property
    def sample_rate(self) -> int:
        """Hz of the audio it takes."""
        return self.classifier.sample_rate

    @property
    def class_names(self) -> list[str]:
        """Names of the classes, in the order of the logits."""
        return self.classifier.class_names

    @property
    def num_features(self) -> int:
        """F."""
        return self.classifier.head.in_features

    def embed(self, audio: Tensor) -> Tensor:
        """Mono audio `[B, N]` -> `[B, F]`."""
        return self.classifier.features(audio.to(self.classifier.device))

    def logits(self, audio: Tensor) -> Tensor:
        """Mono audio `[B, N]` -> `[B, classes]`."""
        return self.classifier(audio.to(self.classifier.device))


class LogMelStatistics:
    """Mean and standard deviation over time of a log-mel spectrogram in dB: an embedder without weights.

    It hears colour and how it varies, and no order in time. Use it for sounds that no classifier here was
    trained on, and to check that a difference is not a quirk of the classifier.

    Args:
        sample_rate: Hz.
        n_mels: bands; F is twice as many.
    """

    name = "log-mel"

    def __init__(self, *, sample_rate: int = 16000, n_mels: int = 32) -> None:
        self.sample_rate, self.num_features = sample_rate, 2 * n_mels
        self.spectrogram = LogMel(sample_rate=sample_rate, n_fft=1024, hop=320, n_mels=n_mels)

    def embed(self, audio: Tensor) -> Tensor:
        """Mono audio `[B, N]` -> `[B, F]`."""
        bands = self.spectrogram(audio.to(self.spectrogram.window.device))[:, 0]
        return torch.cat([bands.mean(-1), bands.std(-1, correction=0)], dim=1)
