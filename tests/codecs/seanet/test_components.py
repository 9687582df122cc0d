"""A codec that starts from principal components: what it knows before the first step, how it trains on."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import lightning
import pytest
import torch
from torch.optim import Adam

from soundloom.codecs.seanet.components import start_from_components
from soundloom.codecs.seanet.layers import Conv
from soundloom.codecs.seanet.model import SEANetCodec
from soundloom.codecs.seanet.module import LINEAR_SHARE, SEANetModule
from tests.codecs.seanet.tiny import NO_DISCRIMINATOR
from tests.codecs.seanet.tiny import TINY as SPECTRAL

TINY = {**SPECTRAL, "norm": "none", "linear_path": True, "kmeans_iterations": 5}


def sounds(count: int = 24, samples: int = 640) -> torch.Tensor:
    """Decaying tones of various pitches in noise, `[B, 1, N]`."""
    generator = torch.Generator().manual_seed(3)
    time = torch.arange(samples) / samples
    pitch = torch.rand(count, 1, 1, generator=generator) * 200 + 20
    level = 10 ** (-2 * torch.rand(count, 1, 1, generator=generator))
    noise = 1e-3 * torch.randn(count, 1, samples, generator=generator)
    return level * torch.exp(-3 * time) * torch.sin(6.283 * pitch * time) + noise


def started(**settings: object) -> SEANetCodec:
    codec = SEANetCodec(**{**TINY, **settings}).eval()
    start_from_components(codec, sounds(), batch_vectors=64)
    return codec.eval()


@torch.no_grad()
def test_with_all_components_the_levels_are_those_of_the_sound():
    codec = started(dimension=32)
    assert codec.spectral is not None
    audio = sounds()[:3]
    magnitude = codec.spectral.magnitude(audio)
    described = codec.decoder(codec.encode_latent(audio))
    level, ratio = described.chunk(2, dim=1)
    # One bias serves both places of a frame, which is exact but for the difference of their means.
    assert float((level - magnitude.log()).abs().mean()) < 0.1
    assert float(ratio.abs().max()) == 0.0  # nothing is known yet of what is tone and what is noise


def test_more_components_and_codebooks_say_more():
    audio = sounds()

    def error(codec: SEANetCodec, books: int | None) -> float:
        assert codec.spectral is not None
        latent = codec.encode_latent(audio)
        if books is not None:
            latent = codec.quantizer.decode(codec.quantizer.encode(latent)[:, :books])
        level = codec.decoder(latent).chunk(2, dim=1)[0]
        return (level - codec.spectral.magnitude(audio).log()).square().mean().item()

    by_components = [error(started(dimension=d), None) for d in (1, 4, 16)]
    assert by_components == sorted(by_components, reverse=True)
    codec = started(dimension=16)
    by_codebooks = [error(codec, k) for k in (1, 2, 3, None)]
    assert by_codebooks == sorted(by_codebooks, reverse=True)


def test_the_start_is_found_again_by_a_saved_copy(tmp_path):
    codec = started()
    codec.save_pretrained(tmp_path / "codec")
    again = SEANetCodec.from_pretrained(tmp_path / "codec")
    torch.testing.assert_close(again.encode(sounds()), codec.encode(sounds()))
    assert again.config["linear_path"] is True


def test_the_networks_say_nothing_at_first_and_learn():
    codec = started()
    for network in (codec.encoder.model, codec.decoder.model):
        last = [layer for layer in network if isinstance(layer, Conv)][-1]
        assert not last.conv.weight.any()
    output = codec.train().describe(sounds())
    output.losses["likelihood"].backward()
    for network in (codec.encoder.model, codec.decoder.model):
        last = [layer for layer in network if isinstance(layer, Conv)][-1]
        assert last.conv.weight.grad.abs().max() > 0


def test_streams_are_equal_to_the_whole():
    codec = started()
    with torch.no_grad():
        for network in (codec.encoder.model, codec.decoder.model):  # give the networks something to say
            last = [layer for layer in network if isinstance(layer, Conv)][-1]
            last.conv.weight.normal_(std=0.1, generator=torch.Generator().manual_seed(0))
    audio = sounds()[:2, :, :601]
    whole = codec.encode(audio)
    encoder, decoder = codec.stream_encoder(), codec.stream_decoder()
    codes = [encoder.push(piece) for piece in audio.split([1, 7, 200, 393], dim=-1)] + [encoder.flush()]
    assert torch.equal(torch.cat(codes, -1), whole)
    made = [decoder.push(piece) for piece in whole.split([1, 3, whole.shape[-1] - 4], dim=-1)]
    made.append(decoder.flush())
    torch.testing.assert_close(torch.cat(made, -1), codec.decode(whole), atol=1e-5, rtol=0)


def test_what_has_no_linear_path_is_refused():
    with pytest.raises(ValueError, match="the codec has no linear paths"):
        start_from_components(SEANetCodec(**{**TINY, "linear_path": False}), sounds(), batch_vectors=8)
    with pytest.raises(ValueError, match="set transform='spectral' too"):
        SEANetCodec(**{**TINY, "transform": "none", "ratios": (4, 2)})
    with pytest.raises(ValueError, match="5 frames are not enough for 6 components"):
        start_from_components(SEANetCodec(**TINY), sounds(1, samples=80), batch_vectors=8)
    with pytest.raises(ValueError, match="linear_path is for causal networks"):
        SEANetCodec(**{**TINY, "causal": False})


def fit(
    module: SEANetModule, data: torch.utils.data.Dataset | torch.Tensor, resume: Path | None = None
) -> lightning.Trainer:
    trainer = lightning.Trainer(
        max_steps=2,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, torch.utils.data.DataLoader(data, batch_size=8), ckpt_path=resume)
    return trainer


def module_for(codec: SEANetCodec) -> SEANetModule:
    return SEANetModule(
        codec, discriminator=NO_DISCRIMINATOR, component_examples=30, optimizer=partial(Adam, lr=1e-4)
    )


def test_training_begins_with_the_components_of_its_data(tmp_path):
    codec = SEANetCodec(**TINY)
    trainer = fit(module_for(codec), sounds())
    directions = codec.encoder.linear.conv.weight.detach().flatten(1)
    # Two small steps away from orthonormal directions.
    torch.testing.assert_close(directions @ directions.T, torch.eye(6), atol=1e-2, rtol=0)
    assert all(bool(book.inited) for book in codec.quantizer.codebooks)
    rates = [group["lr"] for group in trainer.optimizers[0].param_groups]
    assert rates[1] == pytest.approx(LINEAR_SHARE * rates[0])

    trainer.save_checkpoint(tmp_path / "last.ckpt")
    resumed = SEANetCodec(**TINY)
    fit(module_for(resumed), sounds(), tmp_path / "last.ckpt")
    assert torch.equal(resumed.encoder.linear.conv.weight, codec.encoder.linear.conv.weight)


class Empty(torch.utils.data.IterableDataset):
    def __iter__(self):
        return iter(())


def test_data_without_a_batch_are_named():
    with pytest.raises(ValueError, match="the training data have no batch"):
        fit(module_for(SEANetCodec(**TINY)), Empty())
