"""8-bit layers against the float layers they replace, and whole models in 8 bits."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys

import pytest
import torch
from torch import nn

from soundloom.codecs import Music2Latent2
from soundloom.codecs.music2latent2.frontends import ChannelNorm
from soundloom.codecs.music2latent2.int8 import (
    ZERO,
    Int8Conv,
    Int8Linear,
    Int8Norm,
    Int8Upsample,
    attend,
    is_quantized,
    quantize_layers,
    quantize_rows,
)
from tests.codecs.music2latent2.small import MODELS, sound

LAYERS = {
    "conv3x3": lambda: nn.Conv2d(6, 10, 3, padding=1, bias=False),
    "down": lambda: nn.Conv2d(6, 10, (2, 4), (2, 4), bias=False),
    "up": lambda: nn.ConvTranspose2d(6, 10, (4, 2), (4, 2), bias=False),
}


def in_8_bits(layer: nn.Conv2d | nn.ConvTranspose2d) -> nn.Module:
    if isinstance(layer, nn.ConvTranspose2d):
        return Int8Upsample(layer.weight)
    return Int8Conv(layer.weight, layer.stride, layer.padding)


def integers(*shape: int, seed: int = 0) -> torch.Tensor:
    """Random whole numbers from -127 to 127, with 127 in every row: int8 holds them without an error."""
    values = torch.randint(-127, 128, shape, generator=torch.Generator().manual_seed(seed)).float()
    values.view(shape[0], -1)[:, 0] = 127.0
    return values


@pytest.mark.parametrize("name", LAYERS)
def test_whole_numbers_come_out_exactly(name):
    layer = LAYERS[name]()
    outputs_first = layer.weight.data.transpose(0, 1) if name == "up" else layer.weight.data
    outputs_first.copy_(integers(*outputs_first.shape))
    if name == "up":  # its scales are of every place in the window too
        layer.weight.data[0] = 127.0
    x = integers(3, 6, 8, 12, seed=1).contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        torch.testing.assert_close(in_8_bits(layer)(x), layer(x), atol=0.5, rtol=1e-5)


@pytest.mark.parametrize("name", LAYERS)
def test_maps_come_out_within_a_percent_or_two(name):
    torch.manual_seed(0)
    layer, x = LAYERS[name](), torch.randn(2, 6, 8, 12)
    with torch.no_grad():
        wanted = layer(x)
        got = in_8_bits(layer)(x)
    assert got.shape == wanted.shape
    assert float((got - wanted).norm() / wanted.norm()) < 0.02


@pytest.mark.parametrize("name", LAYERS)
def test_layers_can_be_copied_and_pickled(name):
    torch.manual_seed(0)
    layer, x = in_8_bits(LAYERS[name]()), torch.randn(1, 6, 8, 12)
    for copied in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert torch.equal(copied(x), layer(x))


@torch.no_grad()
@pytest.mark.parametrize(("mean", "within"), [(3.0, 1), (1e5, 32)])  # in float32 1e5 has 2 digits behind it
def test_compiled_code_rounds_a_normed_map_without_making_it(mean, within, monkeypatch):
    torch.manual_seed(0)
    x = torch.randn(2, 16, 6, 5) * torch.logspace(-2, 2, 16)[:, None, None] + mean
    norm = ChannelNorm(16, 4)
    for parameter in norm.parameters():
        parameter.uniform_(-1.5, 1.5)
    noise = torch.randn(2, 4)
    wanted = Int8Norm(norm)(x, noise)
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    got = Int8Norm(norm)(x, noise)
    torch.testing.assert_close(got.step, wanted.step, rtol=0.01 * within, atol=1e-9)
    assert got.bytes.dtype == wanted.bytes.dtype == torch.uint8
    assert int((got.bytes.int() - wanted.bytes.int()).abs().max()) <= within
    assert wanted.bytes.int().sub(ZERO).abs().amax((1, 2, 3)).tolist() == [127, 127]


OLD_PROCESSOR = """
import torch
from torch import nn
from soundloom.codecs.music2latent2 import int8

able = torch.cpu.get_capabilities()
torch.cpu.get_capabilities = lambda: {**able, "avx512_vnni": False, "avx_vnni": False}
torch.manual_seed(0)
layers = [
    (nn.Conv2d(64, 64, 3, padding=1, bias=False), torch.rand(1, 64, 9, 8)),
    (nn.Linear(64, 64, bias=False), torch.rand(9, 64)),
]
for layer, x in layers:
    with torch.no_grad():
        layer.weight.abs_()  # sums as large as they can get
        wanted = layer(x)
        linear = isinstance(layer, nn.Linear)
        quantized = int8.Int8Linear(layer.weight) if linear else int8.Int8Conv(layer.weight, (1, 1), (1, 1))
        print(float((quantized(x) - wanted).norm() / wanted.norm()))
"""


@pytest.mark.skipif(
    torch.cpu.get_capabilities()["architecture"] != "x86_64", reason="only x86 adds products in 16 bits"
)
def test_sums_do_not_overflow_on_processors_without_vnni():
    environment = {**os.environ, "ONEDNN_MAX_CPU_ISA": "AVX2"}
    command = [sys.executable, "-c", OLD_PROCESSOR]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    errors = [float(line) for line in run.stdout.split()]
    assert len(errors) == 2
    assert max(errors) < 0.02


def test_a_pytorch_without_onednn_is_refused(monkeypatch):
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    with pytest.raises(ValueError, match="int8 needs a PyTorch that was built with oneDNN"):
        Music2Latent2.from_pretrained(dtype=torch.int8)


def test_linear_layers_scale_every_row_by_itself():
    torch.manual_seed(0)
    layer = nn.Linear(32, 20, bias=False)
    x = torch.randn(2, 7, 32) * torch.logspace(-6, 3, 7)[:, None]
    quantized = Int8Linear(layer.weight)
    with torch.no_grad():
        wanted = layer(x)
    error = (quantized(x) - wanted).norm(dim=-1) / wanted.norm(dim=-1)
    assert float(error.max()) < 0.03  # of the softest row as of the loudest
    assert torch.equal(quantized(torch.zeros(1, 2, 32)), torch.zeros(1, 2, 20))


def test_rows_are_within_half_a_level():
    x = torch.randn(5, 40)
    levels, scale = quantize_rows(x)
    assert levels.dtype == torch.int8
    assert bool(((levels * scale - x).abs() <= 0.5 * scale * 1.001).all())


def test_compiled_attention_is_within_a_few_percent(monkeypatch):
    torch.manual_seed(0)
    query, key, value = torch.randn(2, 3, 5, 8), torch.randn(2, 3, 9, 8), torch.randn(2, 3, 9, 8)
    query[0, 0, 0] *= 30  # one row that attends to a single token
    wanted = nn.functional.scaled_dot_product_attention(query, key, value)
    assert torch.equal(attend(query, key, value), wanted)
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    got = attend(query, key, value)
    assert got.shape == wanted.shape
    assert 0 < float((got - wanted).norm() / wanted.norm()) < 0.03


@pytest.fixture(scope="module", params=["stereo", "codicodec"])
def models(request):
    quantized = copy.deepcopy(MODELS[request.param])
    quantize_layers(quantized, narrowest=1)
    return MODELS[request.param], copy.deepcopy(quantized)


@torch.no_grad()
@pytest.mark.parametrize("decoding", ["autoregressive", "two_step", "parallel"])
def test_a_model_in_8_bits_says_nearly_the_same(models, decoding):
    model, quantized = models
    assert is_quantized(quantized)
    assert not is_quantized(model)
    audio = sound(model, 3 * model.settings.chunk_samples, batch=2)
    wanted = model.encode(audio, discrete=False)
    got = quantized.encode(audio, discrete=False)
    assert float((got - wanted).norm() / wanted.norm()) < 0.1
    expected = model.decode(wanted, audio.shape[-1], decoding=decoding, seed=[3, 4])
    made = quantized.decode(wanted, audio.shape[-1], decoding=decoding, seed=[3, 4])
    assert float((made - expected).norm() / expected.norm()) < 0.1
    # Alone and in a batch: the last digits of a float decide which level it is rounded to.
    alone = quantized.decode(wanted[1:], audio.shape[-1], decoding=decoding, seed=[4])
    assert float((alone - made[1:]).norm() / alone.norm()) < 0.1
    stream = quantized.stream_decoder(decoding=decoding, seed=[4])
    pieces = [stream.push(chunk) for chunk in wanted[1:].split(1, dim=1)]
    streamed = torch.cat([*pieces, stream.flush()], dim=-1)[..., : audio.shape[-1]]
    assert torch.equal(streamed, alone)


def test_it_is_chosen_by_dtype_and_not_saved(models, tmp_path):
    model, _ = models
    model.save_pretrained(tmp_path / "model")
    loaded = Music2Latent2.from_pretrained(tmp_path / "model", dtype=torch.int8)
    small = Music2Latent2.from_pretrained(dtype=torch.int8)  # the model that ships
    assert is_quantized(small)
    with pytest.raises(ValueError, match="this model runs in int8; save one that was loaded with a floating"):
        small.save_pretrained(tmp_path / "other")
    assert not (tmp_path / "other").exists()
    assert not is_quantized(loaded)  # its layers are all narrow
