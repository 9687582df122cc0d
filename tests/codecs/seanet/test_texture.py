"""The texture network: it begins by changing nothing, runs as a stream, and is part of a codec."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from soundloom.codecs.seanet.model import SEANetCodec
from soundloom.codecs.seanet.short_time_spectrum import ShortTimeSpectrum
from soundloom.codecs.seanet.texture import (
    AROUND,
    TextureNetwork,
    TextureStream,
    apply_changes,
    padded_power,
)
from soundloom.core.int8_storage import save_int8
from tests.codecs.seanet.tiny import TINY

SPECTRUM = ShortTimeSpectrum(8)
LATENT = 5


def network(blocks: int = 3, *, changes: bool = True) -> TextureNetwork:
    torch.manual_seed(0)
    made = TextureNetwork(SPECTRUM.bins, LATENT, width=12, blocks=blocks).eval()
    if changes:
        torch.nn.init.normal_(made.output.weight, std=0.2)
        torch.nn.init.normal_(made.latent.weight, std=0.2)
    return made


def latents(frames: int = 40, count: int = 2) -> torch.Tensor:
    return torch.randn(count, LATENT, frames, generator=torch.Generator().manual_seed(2))


def sounds(samples: int = 320, count: int = 2) -> torch.Tensor:
    return 0.3 * torch.randn(count, 1, samples, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def test_a_new_network_leaves_every_sound_as_it_is():
    spectrum = SPECTRUM(sounds())
    torch.testing.assert_close(network(changes=False)(spectrum, latents()), spectrum)


@torch.no_grad()
@pytest.mark.parametrize("blocks", [1, 2, 5])
@settings(max_examples=25, deadline=None)
@given(sizes=st.lists(st.integers(0, 12), min_size=1, max_size=6).filter(any))
def test_a_stream_gives_what_the_whole_gives_as_many_frames_later_as_it_looks_ahead(blocks, sizes):
    made, spectrum = network(blocks), SPECTRUM(sounds())
    whole, frames, start, parts = made(spectrum, latents()), spectrum.shape[-1], 0, []
    stream, sent = TextureStream(made), 0
    while start < frames:
        for size in sizes:
            known = latents()[..., sent : start + size + 3]  # latents may come before their spectrum
            parts.append(stream.push(spectrum[..., start : start + size], known))
            start, sent = start + size, start + size + 3
    given_out = torch.cat(parts, dim=-1)
    assert given_out.shape[-1] == frames - made.look_ahead
    torch.testing.assert_close(given_out, whole[..., : given_out.shape[-1]], atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_frames_depend_on_as_many_later_ones_as_it_says_and_no_more():
    made, spectrum = network(4), SPECTRUM(sounds())
    for block in made.blocks:
        nn.init.ones_(block.scale)
    other = spectrum.clone()
    other[..., 20:] = 0
    same = (made(spectrum, latents()) - made(other, latents())).abs().amax((0, 1)) < 1e-7
    assert made.look_ahead == 4
    assert same[: 20 - 4].all()
    assert not same[20 - 4]


def test_gains_are_bounded_and_what_is_added_is_as_loud_as_its_neighbours():
    spectrum = torch.full((1, 9, 7), 0.5 + 0j)
    loud, power = torch.full((1, 27, 7), 50.0), padded_power(spectrum)
    assert power.shape == (1, 9 + 2 * AROUND, 7 + 2 * AROUND)
    loud[:, 9:] = 0
    assert apply_changes(spectrum, power, loud).abs().max() <= 0.5 * torch.e**3 * 1.001
    added = torch.cat([torch.zeros(1, 9, 7), torch.ones(1, 9, 7), torch.zeros(1, 9, 7)], dim=1)
    torch.testing.assert_close(apply_changes(spectrum, power, added), torch.full((1, 9, 7), 1.0 + 0j))


@torch.no_grad()
def test_silence_stays_finite():
    assert torch.isfinite(
        torch.view_as_real(network()(torch.zeros(1, SPECTRUM.bins, 12) + 0j, latents(12, 1)))
    ).all()


@torch.no_grad()
def test_a_codec_with_a_network_is_stored_and_decodes_without_it_what_it_decoded_before(tmp_path):
    torch.manual_seed(0)
    plain = SEANetCodec(**TINY, griffin_lim_rounds=1).eval()
    codec = SEANetCodec(**TINY, griffin_lim_rounds=1, texture_blocks=2, texture_width=12).eval()
    codec.load_state_dict(codec.state_dict() | plain.state_dict())
    audio = sounds(400, 1)
    codes = plain.encode(audio)
    torch.testing.assert_close(codec.encode(audio), codes)
    latent = codec.quantizer.decode(codes)
    torch.testing.assert_close(
        codec.decode_latent(latent, texture=False), plain.decode(codes), atol=1e-5, rtol=0
    )
    torch.nn.init.normal_(codec.spectral.texture.output.weight, std=0.2)
    made = codec.decode(codes)
    assert made.shape == plain.decode(codes).shape
    assert (made - plain.decode(codes)).abs().max() > 1e-3
    codec.save_pretrained(tmp_path / "float")
    torch.testing.assert_close(SEANetCodec.from_pretrained(tmp_path / "float").decode(codes), made)
    save_int8(codec, tmp_path / "int8")
    restored = SEANetCodec.from_pretrained(tmp_path / "int8")
    assert restored.settings.texture_blocks == 2
    assert torch.isfinite(restored.decode(codes)).all()


def test_a_codec_of_the_waveform_takes_none():
    with pytest.raises(ValueError, match="texture_blocks need transform='spectral'"):
        SEANetCodec(texture_blocks=2)
    with pytest.raises(ValueError, match="texture_width is 0"):
        SEANetCodec(**TINY, texture_blocks=2, texture_width=0)
