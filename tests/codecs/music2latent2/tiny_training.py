"""A tiny model to train, and sounds to train it on."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from soundloom.codecs.music2latent2 import Music2Latent2Config
from soundloom.codecs.music2latent2.module import Music2Latent2Module

TINY = Music2Latent2Config(
    sample_rate=8000,
    channels=1,
    hop=32,
    frames_per_chunk=8,
    base_channels=8,
    multipliers=(1, 2),
    encoder_blocks=(1, 1),
    decoder_blocks=(1, 1),
    strides=((4, 4),),
    dim=16,
    head_dim=8,
    encoder_layers=1,
    upsampler_layers=1,
    decoder_layers=1,
    noise_dim=8,
    num_latents=2,
    latent_dim=4,
)
SAMPLES = 2 * TINY.chunk_samples + TINY.edge


def tones(count: int, samples: int = SAMPLES, channels: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    pitch = 200 + 1500 * torch.rand(count, channels, 1, generator=generator)
    return 0.5 * torch.sin(2 * math.pi * pitch * torch.arange(samples) / TINY.sample_rate)


def module(config: Music2Latent2Config = TINY, **settings: Any) -> Music2Latent2Module:
    torch.manual_seed(0)
    return Music2Latent2Module(config, **settings)
