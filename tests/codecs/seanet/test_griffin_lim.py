"""Rounds of Griffin and Lim's algorithm: streams, what they are for, and codecs that use them."""

from __future__ import annotations

import math

import pytest
import torch

from soundloom.codecs.seanet.griffin_lim import AROUND, GriffinLimRound
from soundloom.codecs.seanet.model import SEANetCodec
from soundloom.codecs.seanet.short_time_spectrum import ShortTimeSpectrum, overlap_add
from soundloom.codecs.seanet.spectral import SpectralTransform
from tests.codecs.seanet.tiny import TINY


def rounds(spectrum, frames, sizes, count):
    """Frames through `count` rounds, pushed in pieces of `sizes`."""
    stages = [GriffinLimRound(spectrum) for _ in range(count)]
    given = []
    for piece in frames.split(sizes, dim=-1):
        for stage in stages:
            piece = stage.push(piece)
        given.append(piece)
    return torch.cat(given, dim=-1)


def noise_with_wrong_phases(spectrum, blocks=40):
    generator = torch.Generator().manual_seed(3)
    magnitude = spectrum(torch.randn(2, 1, blocks * spectrum.hop, generator=generator)).abs()
    return torch.polar(magnitude, 2 * math.pi * torch.rand(magnitude.shape, generator=generator))


@pytest.mark.parametrize("sizes", [[1] * 40, [3, 0, 30, 7], [40]])
@pytest.mark.parametrize("count", [1, 3])
def test_a_stream_gives_what_the_whole_gives_three_frames_later_a_round(sizes, count):
    spectrum = ShortTimeSpectrum(8)
    frames = noise_with_wrong_phases(spectrum)
    whole = rounds(spectrum, frames, [40], count)
    assert whole.shape[-1] == 40 - AROUND * count
    torch.testing.assert_close(rounds(spectrum, frames, sizes, count), whole, atol=1e-6, rtol=0)


def test_a_round_keeps_magnitudes_and_leaves_a_true_spectrum_alone():
    spectrum = ShortTimeSpectrum(8)
    frames = noise_with_wrong_phases(spectrum)
    given = rounds(spectrum, frames, [40], 2)
    torch.testing.assert_close(given.abs(), frames[..., : given.shape[-1]].abs())
    true = spectrum(torch.cos(0.9 * torch.arange(320.0)).view(1, 1, -1))
    kept = rounds(spectrum, true, [40], 3)
    torch.testing.assert_close(kept[..., 4:24], true[..., 4:24], atol=2e-2, rtol=0)


def test_rounds_bring_the_sound_nearer_to_the_wanted_magnitudes():
    spectrum = ShortTimeSpectrum(160)
    frames = noise_with_wrong_phases(spectrum)

    def error(frames):
        weights = overlap_add(spectrum.window.square().expand(1, frames.shape[-1], -1), spectrum.hop)
        sound = overlap_add(spectrum.windowed(frames), spectrum.hop) / weights.clamp_min(1e-8)
        return float((spectrum.frames(sound).abs() - frames.abs())[..., 3:-3].norm())

    errors = [error(rounds(spectrum, frames, [40], count)[..., :28]) for count in (0, 1, 4)]
    assert errors[1] < 0.8 * errors[0]
    assert errors[2] < 0.85 * errors[1]


def test_a_sound_comes_back_from_its_magnitudes_as_long_as_it_was():
    transform = SpectralTransform(160, 16000, rounds=2)
    sweep = 0.3 * torch.sin(0.02 * torch.arange(16000.0) ** 1.25).view(1, 1, -1)
    magnitude = transform.magnitude(sweep)
    described = torch.cat([magnitude.log(), torch.full_like(magnitude, 100.0)], dim=1)
    made = transform.audio(described)
    assert made.shape == (1, 1, (100 - transform.extra_frames) * 160)
    level = float(made[..., 1600:].std() / sweep[..., 1600 : made.shape[-1]].std())
    assert level == pytest.approx(1.0, rel=0.1)


def test_a_codec_that_looks_ahead_describes_every_frame_with_the_code_after_it():
    torch.manual_seed(0)
    codec = SEANetCodec(**TINY, look_ahead=1).eval()
    codes = codec.encode(torch.randn(1, 1, 320))
    changed = codes.clone()
    changed[..., 12:] = (changed[..., 12:] + 1) % 16
    before, after = codec.decode(codes), codec.decode(changed)
    assert torch.equal(before[..., : 11 * 16 - 12], after[..., : 11 * 16 - 12])
    assert not torch.equal(before[..., 11 * 16 : 12 * 16], after[..., 11 * 16 : 12 * 16])


@pytest.mark.parametrize("settings", [{"look_ahead": 1}, {"griffin_lim_rounds": 1}])
def test_only_spectral_codecs_look_ahead_and_make_phases_agree(settings):
    with pytest.raises(ValueError, match="need transform='spectral'"):
        SEANetCodec(**settings)
    with pytest.raises(ValueError, match="must be at least 0"):
        SEANetCodec(**{**TINY, **dict.fromkeys(settings, -1)})
