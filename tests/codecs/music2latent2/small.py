"""Small models of every kind, whose every weight matters."""

from __future__ import annotations

from dataclasses import asdict, replace

import pytest
import torch
from torch import Tensor

from soundloom.codecs.music2latent2 import Music2Latent2, Music2Latent2Config
from soundloom.codecs.music2latent2.music2latent2_config import Decoding

MONO = Music2Latent2Config(
    sample_rate=8000,
    channels=1,
    hop=16,
    frames_per_chunk=4,
    base_channels=8,
    multipliers=(1, 2),
    encoder_blocks=(1, 1),
    decoder_blocks=(1, 1),
    strides=((2, 2),),
    dim=16,
    head_dim=8,
    encoder_layers=1,
    upsampler_layers=1,
    decoder_layers=2,
    noise_dim=8,
    num_latents=2,
    latent_dim=4,
)
VARIANTS = {
    "music2latent2": MONO,
    "stereo": replace(MONO, channels=2, overlap=4, hop=8, companding="parts"),
    "ordered": replace(MONO, layout="ordered"),
    "envelope": replace(MONO, envelope=True),
    "stereo_ordered_envelope": replace(MONO, channels=2, layout="ordered", envelope=True),
    "codicodec": replace(
        MONO,
        channels=2,
        fsq_levels=(5, 4, 5, 4),
        num_registers=1,
        latents_in_decoder=True,
        decoding="autoregressive",
        companding="parts",
    ),
}
DECODINGS: list[Decoding] = ["autoregressive", "two_step", "parallel"]


def build(config: Music2Latent2Config) -> Music2Latent2:
    """A model whose every weight matters: layers that start at zero get random weights."""
    torch.manual_seed(0)
    model = Music2Latent2(**asdict(config)).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if not parameter.any():
                parameter.normal_(0, 0.05 if "envelope" in name else 0.2)
    return model


MODELS = {name: build(config) for name, config in VARIANTS.items()}
every_model = pytest.mark.parametrize("name", MODELS)


def sound(model: Music2Latent2, samples: int, batch: int = 1, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(batch, model.channels, samples, generator=generator) * 1.6 - 0.8
