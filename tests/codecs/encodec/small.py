"""Small EnCodecs, the package's own, and sounds for them."""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor

from soundloom.codecs import EnCodec
from soundloom.codecs.encodec.convert import PUBLISHED, randomize
from soundloom.core._torchaudio import import_encodec

NAMES = sorted(PUBLISHED)
SMALL: dict[str, Any] = {"n_filters": 4, "dimension": 8}


def make_small(name: str, **settings: Any) -> EnCodec:
    """A published model's shape with few channels, and weights under which codes vary."""
    codec = EnCodec(**PUBLISHED[name], **(SMALL | settings))
    randomize(codec.model)
    return codec.eval().requires_grad_(False)


def noise(codec: EnCodec, length: int, batch: int = 1, seed: int = 0) -> Tensor:
    """Noise whose loudness changes, `[B, C, N]`."""
    generator = torch.Generator().manual_seed(seed)
    swell = 0.02 + 0.1 * torch.linspace(0, 25, length).sin().square()
    return torch.randn(batch, codec.channels, length, generator=generator) * swell


@functools.cache
def original(name: str) -> Any:
    """The package's own model of full size, weight-normalised as published, with random weights."""
    models = import_encodec().EncodecModel
    build = {"encodec-24khz": models.encodec_model_24khz, "encodec-48khz": models.encodec_model_48khz}
    model = build[name](pretrained=False)
    randomize(model)
    return model


def same_share(a: Tensor, b: Tensor) -> float:
    """Share of equal codes; a different rounding may turn one over."""
    assert a.shape == b.shape
    return float((a == b).float().mean())
