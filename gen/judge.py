"""A small sound classifier: it judges generated sounds, and its features measure distances between sets.

Log-mel spectrogram, four stages of residual convolutions, mean and maximum over what is left of time and
frequency. It is trained only on renderings of the Foley corpus (gen/judge_module.py), never on generated
sound.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn
from torch.nn import functional as F

from ..codecs.base import resolve_model

BUNDLED_MODELS = Path(__file__).resolve().parent / "models"


def mel_filters(sample_rate: int, n_fft: int, n_mels: int, low: float, high: float) -> Tensor:
    """Triangular filters `[n_mels, n_fft // 2 + 1]`, evenly spaced on the mel scale 2595 log10(1 + f / 700).

    Each filter sums to 1, so that its output is the mean power of its band whatever its width.
    """

    def to_mel(hertz: Tensor) -> Tensor:
        return 2595.0 * torch.log10(1.0 + hertz / 700.0)

    ends = to_mel(torch.tensor([low, high], dtype=torch.float64))
    edges = torch.linspace(float(ends[0]), float(ends[1]), n_mels + 2)
    edges = 700.0 * (10.0 ** (edges.double() / 2595.0) - 1.0)
    bins = torch.linspace(0.0, sample_rate / 2, n_fft // 2 + 1, dtype=torch.float64)
    rising = (bins - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - bins) / (edges[2:] - edges[1:-1])[:, None]
    filters = torch.minimum(rising, falling).clamp_min(0.0)
    # a filter narrower than the bin spacing may hold no bin at all: it takes the nearest one
    empty = filters.sum(1) == 0
    nearest = (bins[None] - edges[1:-1, None]).abs().argmin(1)
    filters[empty, nearest[empty]] = 1.0
    return (filters / filters.sum(1, keepdim=True)).float()


class LogMel(nn.Module):
    """Waveform `[B, N]` -> log-mel power `[B, 1, n_mels, frames]`, about zero mean and unit spread.

    Args:
        sample_rate: Hz.
        n_fft: window, samples.
        hop: samples between frames.
        n_mels: bands.
    """

    window: Tensor
    filters: Tensor

    def __init__(self, *, sample_rate: int, n_fft: int, hop: int, n_mels: int) -> None:
        super().__init__()
        self.n_fft, self.hop = n_fft, hop
        self.register_buffer("window", torch.hann_window(n_fft), persistent=False)
        filters = mel_filters(sample_rate, n_fft, n_mels, 30.0, sample_rate / 2)
        self.register_buffer("filters", filters, persistent=False)

    def forward(self, audio: Tensor) -> Tensor:
        audio = F.pad(audio.float(), (0, max(0, self.n_fft - audio.shape[-1])))
        with torch.autocast(audio.device.type, enabled=False):
            spectrum = torch.stft(audio, self.n_fft, self.hop, window=self.window, return_complex=True)
            power = self.filters @ (spectrum.real.square() + spectrum.imag.square())
            return (torch.log10(power + 1e-5).unsqueeze(1) + 1.5) / 2.0


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with batch norm beside a 1x1 shortcut; `stride` halves time and frequency."""

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels_in, channels_out, 3, stride, 1, bias=False),
            nn.BatchNorm2d(channels_out),
            nn.ReLU(),
            nn.Conv2d(channels_out, channels_out, 3, 1, 1, bias=False),
            nn.BatchNorm2d(channels_out),
        )
        self.shortcut = nn.Sequential(
            nn.AvgPool2d(stride, ceil_mode=True) if stride > 1 else nn.Identity(),
            nn.Conv2d(channels_in, channels_out, 1, bias=False),
            nn.BatchNorm2d(channels_out),
        )

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.body(x) + self.shortcut(x))


class SoundClassifier(ModelMixin, ConfigMixin):
    """Tells which class of sound a clip holds.

    Args:
        class_names: names of the classes, in the order of the logits.
        sample_rate: Hz of the audio it takes.
        widths: channels of the stages; each stage halves time and frequency.
        n_fft: window of the spectrogram, samples.
        hop: samples between its frames.
        n_mels: its bands.
        dropout: share of features dropped in training.

    Raises:
        ValueError: no class names, or doubled ones.
    """

    config_name = "config.json"

    @register_to_config
    def __init__(
        self,
        *,
        class_names: Sequence[str],
        sample_rate: int = 16000,
        widths: Sequence[int] = (20, 40, 80, 128),
        n_fft: int = 1024,
        hop: int = 320,
        n_mels: int = 64,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        if not class_names or len(set(class_names)) != len(class_names):
            raise ValueError(f"class_names must be distinct and at least one, got {list(class_names)}")
        self.log_mel = LogMel(sample_rate=sample_rate, n_fft=n_fft, hop=hop, n_mels=n_mels)
        self.stem = nn.Sequential(
            nn.Conv2d(1, widths[0], 3, 2, 1, bias=False), nn.BatchNorm2d(widths[0]), nn.ReLU()
        )
        widths_in = (widths[0], *widths[:-1])
        self.stages = nn.Sequential(
            *(
                ResidualBlock(before, after, stride=1 if i == 0 else 2)
                for i, (before, after) in enumerate(zip(widths_in, widths, strict=True))
            )
        )
        self.drop = nn.Dropout(dropout)
        self.head = nn.Linear(2 * widths[-1], len(class_names))

    @classmethod
    def from_pretrained(cls, name: str | os.PathLike[str] = "foley-judge", **kwargs: Any) -> SoundClassifier:
        """Load from a folder, a bundled name ("foley-judge") or a hub id; ready for inference.

        Raises:
            ValueError: unknown name; the message lists the nearest ones.
        """
        where = {key: kwargs.pop(key) for key in ("local_files_only", "revision") if key in kwargs}
        folder = resolve_model(
            name, BUNDLED_MODELS, allow_patterns=("config.json", "*.safetensors", "*.json"), **where
        )
        kwargs.setdefault(
            "low_cpu_mem_usage", False
        )  # the other way needs accelerate, for no gain at this size
        return super().from_pretrained(folder, **kwargs).eval()

    @property
    def class_names(self) -> list[str]:
        """Names of the classes, in the order of the logits."""
        return list(self.config["class_names"])

    @property
    def sample_rate(self) -> int:
        """Hz of the audio it takes."""
        return int(self.config["sample_rate"])

    def features(self, audio: Tensor) -> Tensor:
        """Audio `[B, N]` at `sample_rate` -> features `[B, F]`: what the last layer sees.

        Any duration works; below one window the sound is padded with silence.

        Raises:
            ValueError: the audio is not `[B, N]` or is empty.
        """
        if audio.ndim != 2 or audio.shape[1] == 0:
            raise ValueError(
                f"audio must be [B, N] with N above 0, got {list(audio.shape)}; mix it to mono first"
            )
        x = self.stages(self.stem(self.log_mel(audio)))
        return torch.cat([x.mean((2, 3)), x.amax((2, 3))], dim=1)

    def forward(self, audio: Tensor) -> Tensor:
        """Audio `[B, N]` at `sample_rate` -> logits `[B, classes]`."""
        return self.head(self.drop(self.features(audio)))

    @torch.no_grad()
    def classify(self, audio: Tensor) -> list[str]:
        """Name the most likely class of each sound in `[B, N]`."""
        return [self.class_names[i] for i in self(audio).argmax(1).tolist()]
