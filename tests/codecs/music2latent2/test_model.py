"""The model's contract: lengths, batches, saving, and what belongs to what."""

from __future__ import annotations

import platform
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from soundloom.codecs import Codec, Compressed, load_codec
from soundloom.codecs.music2latent2 import Music2Latent2
from soundloom.codecs.music2latent2.frontends import ConvBlock
from tests.codecs.music2latent2.small import DECODINGS, MODELS, MONO, VARIANTS, build, every_model, sound


@every_model
def test_contract(name: str) -> None:
    model, config = MODELS[name], VARIANTS[name]
    assert isinstance(model, Codec)
    assert (model.sample_rate, model.channels) == (8000, config.channels)
    assert model.frame_rate == 8000 / config.chunk_samples
    encoded = model.encode(sound(model, 200, batch=2))
    count = -(-(200 + config.edge) // config.chunk_samples)
    if model.discrete:
        assert encoded.shape == (2, model.num_codebooks, count)
        assert encoded.dtype == torch.int64
        assert model.codebook_size == 400
        assert model.bitrate == pytest.approx(2 * 9 * model.frame_rate)
    else:
        assert encoded.shape == (2, count, config.num_latents, config.latent_dim)
        assert encoded.abs().max() <= 1
        assert model.num_codebooks == 0
        assert model.bitrate == pytest.approx(16 * 8 * model.frame_rate)


@every_model
@given(data=st.data())
@settings(max_examples=8, deadline=None)
def test_any_length_comes_back(name: str, data: st.DataObject) -> None:
    model = MODELS[name]
    length = data.draw(st.integers(1, 3 * model.settings.chunk_samples + 7))
    audio = sound(model, length)
    decoded = model.decode(model.encode(audio), length)
    assert decoded.shape == audio.shape
    assert decoded.dtype == torch.float32
    assert torch.isfinite(decoded).all()
    assert decoded.abs().max() <= 1


def test_every_length_comes_back() -> None:
    model = build(replace(MONO, hop=4))
    size, edge = model.settings.chunk_samples, model.settings.edge
    audio = sound(model, 3 * size + 7)
    for length in range(1, 3 * size + 8):
        latents = model.encode(audio[..., :length])
        assert latents.shape[1] == -(-(length + edge) // size)
        assert model.decode(latents, length).shape == (1, 1, length)


@pytest.mark.parametrize("chunks", [1, 2, 3])
@pytest.mark.parametrize("offset", [-17, -16, -1, 0, 1, 7])
def test_lengths_around_whole_chunks_come_back(chunks: int, offset: int) -> None:
    model = MODELS["music2latent2"]
    length = chunks * model.settings.chunk_samples + offset
    audio = sound(model, length)
    latents = model.encode(audio)
    assert latents.shape[1] == -(-(length + model.settings.edge) // model.settings.chunk_samples)
    for decoding in DECODINGS:
        assert model.decode(latents, length, decoding=decoding).shape == audio.shape


def test_an_ordered_latent_belongs_to_its_time_step() -> None:
    model, config = MODELS["ordered"], VARIANTS["ordered"]
    grid = (config.frequency_tokens, config.time_tokens)
    tokens = torch.randn(1, config.tokens, config.dim)
    changed = tokens.unflatten(1, grid).clone()
    changed[:, :, 1] += 1
    latents, other = (model.encoder.head(model.encoder.columns(x)) for x in (tokens, changed.flatten(1, 2)))
    assert torch.equal(latents[:, 0], other[:, 0])
    assert not torch.equal(latents[:, 1], other[:, 1])
    one, another = (model.upsampler.sequence(values).unflatten(1, grid) for values in (latents, other))
    assert torch.equal(one[:, :, 0], another[:, :, 0])
    assert (one[:, :, 1] != another[:, :, 1]).any(-1).all(), "every frequency of the step receives it"


@every_model
def test_every_weight_is_used(name: str) -> None:
    """A weight without gradient is one that training would never move, or that stops distributed training."""
    model, config = MODELS[name], VARIANTS[name]
    chunks = torch.randn(4, config.parts, config.bins, config.frames_per_chunk)
    latents = model.bottleneck(model.encoder(chunks), 0.5)
    out = model.denoise_pair(chunks, torch.tensor([0.5, 0.6, 0.7, 0.8]), model.context(latents))
    out.square().sum().backward()
    idle = [key for key, weight in model.named_parameters() if weight.grad is None or not weight.grad.any()]
    model.zero_grad(set_to_none=True)
    assert idle == []


@every_model
def test_chunks_at_once_change_nothing(name: str) -> None:
    model = MODELS[name]
    audio = sound(model, 5 * model.settings.chunk_samples, batch=2)
    one = model.encode(audio, discrete=False)
    for count in (2, 100):
        several = model.encode(audio, discrete=False, chunks_at_once=count)
        torch.testing.assert_close(several, one, atol=1e-5, rtol=0)
    with pytest.raises(ValueError, match="chunks_at_once is 0"):
        model.encode(audio, chunks_at_once=0)


@every_model
def test_maps_stay_in_channels_last_memory(name: str) -> None:
    """In another layout the result is the same, but every convolution begins with a copy."""
    model = MODELS[name]
    seen: list[bool] = []

    def look(block: ConvBlock, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        seen.extend(x.is_contiguous(memory_format=torch.channels_last) for x in (inputs[0], output))

    hooks = [m.register_forward_hook(look) for m in model.modules() if isinstance(m, ConvBlock)]
    try:
        model.decode(model.encode(sound(model, 2 * model.settings.chunk_samples)))
    finally:
        for hook in hooks:
            hook.remove()
    assert len(seen) > 2 * len(hooks)
    assert all(seen)


@torch.no_grad()
def test_only_what_right_chunks_need_is_remembered() -> None:
    model = MODELS["codicodec"]
    context = model.context(model.encode(sound(model, 100), discrete=False)[:, 0])
    noisy = torch.randn(1, *model.representation.analyse_chunks(sound(model, 100), 0, 1).shape[1:])
    left = model.denoise(noisy, 1.0, context)[1]
    assert len(left) == len(model.consistency.transformer.layers)
    for layer, same in zip(left, model.remember(noisy, 1.0, context), strict=True):
        torch.testing.assert_close(layer.key, same.key)
        torch.testing.assert_close(layer.value, same.value)
        assert layer.value.untyped_storage().nbytes() == layer.value.nbytes  # no view of something larger
    assert model.denoise(noisy, 1.0, context, left)[1] == []
    tokens = model.encoder.sequence(model.encoder.tokens(noisy))
    assert model.encoder.transformer(tokens)[1] == []


PAGES = """
import resource
import torch
from soundloom.codecs.music2latent2 import Music2Latent2

Music2Latent2.from_pretrained()
for _ in range(3):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    maps = [torch.ones(2**21) for _ in range(4)]  # of 64 MB that are kept, loading has its share
    del maps
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print(faults)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="about glibc's allocator")
def test_freed_maps_do_not_fault_in_new_pages() -> None:
    run = subprocess.run([sys.executable, "-c", PAGES], capture_output=True, text=True, check=True)
    assert int(run.stdout) < 1000  # 32 MiB are 8,192 pages


def test_save_and_load(tmp_path: Path) -> None:
    for name, model in MODELS.items():
        folder = tmp_path / name
        model.save_pretrained(folder)
        loaded = Music2Latent2.from_pretrained(folder)
        assert loaded.settings == model.settings
        audio = sound(model, 150)
        assert torch.equal(loaded.encode(audio), model.encode(audio))
        codes = model.encode(audio)
        assert torch.equal(loaded.decode(codes), model.decode(codes))


@every_model
def test_compressed_sounds_come_back_through_load_codec(name: str, tmp_path: Path) -> None:
    model = MODELS[name]
    model.save_pretrained(tmp_path / "model")
    codec = load_codec(tmp_path / "model")
    assert isinstance(codec, Music2Latent2)
    assert codec.settings == model.settings
    audio = sound(model, 500)[0]
    codec.compress(audio, 8000, level=False).save(tmp_path / "sound.loom")
    decoded, rate = codec.decompress(Compressed.load(tmp_path / "sound.loom"))
    assert rate == 8000
    assert decoded.shape == audio.shape
    if model.discrete:
        torch.testing.assert_close(decoded[None], model.decode(model.encode(audio[None]), 500))


def test_bfloat16(tmp_path: Path) -> None:
    model = MODELS["codicodec"]
    model.save_pretrained(tmp_path)
    half = Music2Latent2.from_pretrained(tmp_path, dtype=torch.bfloat16)
    assert all(weight.dtype == torch.bfloat16 for weight in half.parameters())
    audio = sound(model, 300)
    latents = model.encode(audio, discrete=False)
    assert (half.encode(audio, discrete=False) - latents).abs().mean() < 0.05
    for decoding in DECODINGS:
        exact, rough = model.decode(latents, decoding=decoding), half.decode(latents, decoding=decoding)
        assert rough.dtype == torch.float32
        assert (exact - rough).square().mean() < 0.05 * exact.square().mean()


def test_published_sizes_have_the_published_number_of_weights() -> None:
    """148,533,388 numbers in the published file; those of no effect and the fixed kernels are not ours."""
    from soundloom.codecs.music2latent2.convert import config_from_published

    config = config_from_published({})
    with torch.device("meta"):
        model = Music2Latent2(**asdict(config))
    dim = config.dim
    unused = 3 * (dim * dim + dim) + dim + 2 * (dim * dim + dim)  # linear_input, norm_output, linear_output
    unused += config.base_channels * (1 + config.parts * 9) + config.parts  # an output head never used
    kernels = [(width, f * t) for width, (f, t) in zip(config.widths[1:], config.strides, strict=True)]
    fixed = 4 * sum(width * size for width, size in kernels)  # shortcuts of two down and two up frontends
    ours = sum(weight.numel() for weight in model.parameters())
    assert ours + unused + fixed == 148_533_388
    assert config.compression == 128
    assert model.bitrate / model.frame_rate == 128 * 14
