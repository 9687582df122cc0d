"""Codecs of random weights that encode and decode in no time."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from torch import Tensor

from soundloom.codecs import Codec, Music2Latent2, SEANetCodec

MONO: dict[str, Any] = {
    "sample_rate": 8000,
    "hop": 64,
    "frames_per_chunk": 4,
    "base_channels": 4,
    "multipliers": (1, 2),
    "encoder_blocks": (1, 1),
    "decoder_blocks": (1, 1),
    "strides": ((2, 2),),
    "dim": 8,
    "head_dim": 8,
    "encoder_layers": 1,
    "upsampler_layers": 1,
    "decoder_layers": 1,
    "noise_dim": 8,
    "num_latents": 2,
    "latent_dim": 4,
}


@functools.cache
def seanet(**changes: Any) -> SEANetCodec:
    """A causal codec at 8 kHz with 100 frames a second and 3 codebooks, named "tiny"."""
    torch.manual_seed(0)
    settings: dict[str, Any] = {
        "sample_rate": 8000,
        "n_filters": 2,
        "dimension": 4,
        "ratios": (5, 4, 4),
        "codebook_size": 16,
        "num_codebooks": 3,
        "lstm": 0,
        "kernel_size": 3,
        "causal": True,
        "norm": "none",
    }
    codec = SEANetCodec(**{**settings, **changes}).eval()
    codec.name = "tiny"
    return codec


@functools.cache
def music2latent2(*, discrete: bool = False, channels: int = 1) -> Music2Latent2:
    """A model with latents, `discrete` also with codes, of 31.25 chunks a second; named "tiny-m2l2"."""
    torch.manual_seed(0)
    more: dict[str, Any] = {"fsq_levels": (5, 4, 5, 4), "decoding": "autoregressive"} if discrete else {}
    codec = Music2Latent2(**MONO, channels=channels, **more).eval()
    codec.name = "tiny-m2l2"
    return codec


def codecs() -> dict[str, Codec]:
    """One of each kind."""
    return {
        "seanet": seanet(),
        "stereo": seanet(channels=2),
        "latents": music2latent2(),
        "codes or latents": music2latent2(discrete=True, channels=2),
    }


def sound(seconds: float, sample_rate: int, channels: int = 1, seed: int = 0) -> Tensor:
    """Noise and a tone, `[C, N]` within -0.6 to 0.6."""
    length = max(1, round(seconds * sample_rate))
    noise = torch.rand(channels, length, generator=torch.Generator().manual_seed(seed)) - 0.5
    return 0.6 * noise + 0.3 * torch.sin(torch.arange(length) * (2765.0 / sample_rate))


def write_sound(
    path: Path, seconds: float, sample_rate: int = 16000, channels: int = 1, **options: Any
) -> Path:
    """A sound file; `options` are soundfile's."""
    path.parent.mkdir(parents=True, exist_ok=True)
    samples: np.ndarray = sound(seconds, sample_rate, channels).T.numpy()
    soundfile.write(path, samples, sample_rate, **options)
    return path
