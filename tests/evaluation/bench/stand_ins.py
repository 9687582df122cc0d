"""Sounds, a codec and a contender whose figures are easy to foresee."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from soundloom.codecs.base import Codec
from soundloom.evaluation.bench.contenders import Contender
from soundloom.evaluation.bench.run import BenchSound

RATE = 16000


def sound(seconds: float = 1.0, seed: int = 0, channels: int = 1) -> Tensor:
    """A tone with some noise, `[C, N]`."""
    size = round(seconds * RATE)
    t = torch.arange(size) / RATE
    noise = torch.randn(channels, size, generator=torch.Generator().manual_seed(seed))
    return 0.3 * torch.sin(2 * torch.pi * (300 + 50 * seed) * t) + 0.02 * noise


class Toy(Codec):
    """Samples of 2 kHz as 4 bits each, and 4 more that refine them: sizes are easy to foresee."""

    sample_rate, channels, num_codebooks, codebook_size = 2000, 1, 2, 16  # type: ignore[assignment]
    frame_rate, codebook_choices = 2000.0, (1, 2)  # type: ignore[assignment]

    def __init__(self) -> None:
        super().__init__()
        self.config = {"toy": 1}

    def encode(self, audio: Tensor) -> Tensor:
        levels = ((audio.clamp(-1, 1) + 1) / 2 * 255).round().long()
        return torch.cat([levels // 16, levels % 16], dim=1)

    def decode(self, codes: Tensor, length: int | None = None) -> Tensor:
        fine = codes[:, 1:] if codes.shape[1] > 1 else torch.full_like(codes, 8)
        return (codes[:, :1] * 16 + fine)[..., :length] / 255 * 2 - 1


class Stub(Contender):
    """A contender that returns what it is told to."""

    def __init__(self, name: str = "stub", size: int = 100, change: Any = lambda x: x) -> None:
        self.name, self.family, self.sample_rate, self.size, self.change = name, name, RATE, size, change

    def encode(self, samples: Tensor, sample_rate: int) -> bytes:
        self.held = samples
        return bytes(self.size)

    def decode(self, data: bytes, sample_rate: int, length: int) -> Tensor:
        return self.change(self.held)


def sounds(*seconds: float) -> list[BenchSound]:
    return [BenchSound(f"s{i}", sound(length, seed=i)) for i, length in enumerate(seconds)]
