"""Two tiny AudioGens: one that only continues, and one with weights for gaps."""

from __future__ import annotations

import pytest
import torch

from soundloom.gen.model.lm import AudioLM
from soundloom.gen.pipeline import AudioGen


def with_gaps(model: AudioGen, **changed: object) -> AudioGen:
    """The same text encoder and codec around a language model of random weights that is told of gaps."""
    torch.manual_seed(0)
    sizes = {
        "num_codebooks": model.lm.num_codebooks,
        "codebook_size": model.lm.codebook_size,
        "text_dim": model.text_encoder.dim,
        "dim": 32,
        "num_layers": 2,
        "num_heads": 4,
        "infill_frames": 64,
    }
    lm = AudioLM(**(sizes | changed)).eval()
    with torch.no_grad():
        for weight in lm.transformer.parameters():  # what came before, and not the last code, decides
            weight *= 4 if weight.ndim > 1 else 1
    return short(AudioGen(lm, model.text_encoder, model.codec))


def short(model: AudioGen) -> AudioGen:
    """The same with a window of two seconds."""
    return AudioGen(model.lm, model.text_encoder, model.codec, max_seconds=2.0, extend_stride=0.5)


@pytest.fixture(params=["continues", "fills gaps"])
def model(request: pytest.FixtureRequest, tiny_model: AudioGen) -> AudioGen:
    return with_gaps(tiny_model) if request.param == "fills gaps" else short(tiny_model)


@pytest.fixture
def filler(tiny_model: AudioGen) -> AudioGen:
    return with_gaps(tiny_model)
