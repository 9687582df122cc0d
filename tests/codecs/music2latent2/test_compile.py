"""A model whose blocks are compiled against the same model as it is."""

from __future__ import annotations

import copy
import shutil

import pytest
import torch

from soundloom.codecs.music2latent2.frontends import ChannelNorm
from soundloom.codecs.music2latent2.int8 import quantize_layers
from tests.codecs.music2latent2.small import MODELS, sound


@torch.no_grad()
def test_the_norm_of_compiled_code_is_the_same(monkeypatch):
    torch.manual_seed(0)
    x = torch.randn(2, 16, 6, 5) * torch.logspace(-2, 2, 16)[:, None, None] + 3
    noise = torch.randn(2, 4)
    for norm, told in ((ChannelNorm(16), None), (ChannelNorm(16, 4), noise)):
        for parameter in norm.parameters():
            parameter.uniform_(0.5, 1.5)
        wanted = norm(x, told)
        with monkeypatch.context() as patch:
            patch.setattr(torch.compiler, "is_compiling", lambda: True)
            got = norm(x, told)
            half = norm(x.bfloat16(), told)
        torch.testing.assert_close(got, wanted, atol=1e-4, rtol=1e-4)
        assert half.dtype == torch.bfloat16


WORK = {
    "encode": lambda model, audio, latents: model.encode(audio, discrete=False),
    "decode": lambda model, audio, latents: model.decode(latents, audio.shape[-1]),
}


@torch.no_grad()
@pytest.mark.skipif(
    not (shutil.which("g++") or shutil.which("clang++")), reason="torch.compile wants a C++ compiler"
)
@pytest.mark.parametrize("name", ["encode", pytest.param("decode", marks=pytest.mark.slow)])
def test_compiled_blocks_say_the_same(name):
    model = copy.deepcopy(MODELS["codicodec"])
    quantize_layers(model, narrowest=1)
    audio = sound(model, 2 * model.settings.chunk_samples)
    latents = model.encode(audio, discrete=False)
    wanted = WORK[name](model, audio, latents)
    torch.compiler.reset()
    model.compile_repeated_blocks()
    blocks = [module for module in model.modules() if type(module).__name__ in model._repeated_blocks]
    assert blocks
    assert all(block._compiled_call_impl is not None for block in blocks)
    got = WORK[name](model, audio, latents)
    # The last digits of a float decide which level it is rounded to.
    assert float((got - wanted).norm() / wanted.norm()) < 0.05
