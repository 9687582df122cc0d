"""The MDCT front end: exact inverse, no look-ahead, noise filling, and the codec around it."""

from __future__ import annotations

import math

import pytest
import torch

from soundloom.codecs.seanet.mdct import MDCT, NoiseFill
from soundloom.codecs.seanet.model import SEANetCodec

TINY = {
    "n_filters": 8,
    "dimension": 6,
    "ratios": (2,),
    "lstm": 0,
    "codebook_size": 16,
    "num_codebooks": 3,
    "transform": "mdct",
    "transform_hop": 8,
    "causal": True,
}


@pytest.mark.parametrize("hop", [4, 160])
@pytest.mark.parametrize("blocks", [2, 5])
def test_inverse_is_exact_for_blocks_with_both_frames(hop, blocks):
    mdct = MDCT(hop)
    audio = torch.randn(2, 1, blocks * hop)
    coefficients = mdct(audio)
    assert coefficients.shape == (2, hop, blocks)
    restored = mdct.inverse(coefficients)
    assert restored.shape == (2, 1, (blocks - 1) * hop)
    torch.testing.assert_close(restored, audio[..., :-hop], atol=1e-5, rtol=1e-4)


def test_a_frame_sees_nothing_after_its_block():
    mdct = MDCT(8)
    audio = torch.randn(1, 1, 64)
    changed = audio.clone()
    changed[..., 40:] = 0
    assert torch.equal(mdct(audio)[..., :5], mdct(changed)[..., :5])
    assert torch.equal(mdct.features(audio)[..., :5], mdct.features(changed)[..., :5])
    assert not torch.equal(mdct(audio)[..., 5:], mdct(changed)[..., 5:])


def test_a_tone_peaks_at_its_frequency_whatever_its_phase():
    mdct = MDCT(160)
    time = torch.arange(3200) / 16000
    for phase in (0.0, 1.0, 2.0):
        tone = torch.sin(2 * math.pi * 1025 * time + phase)[None, None]
        level = mdct.log_magnitude(tone)[0, :, 5:15]
        assert (level.argmax(0) == 20).all()  # bins are 50 Hz wide
        assert level[20].std() < 0.05


def test_noise_fill_keeps_the_magnitude_and_follows_a_certain_sign():
    fill = NoiseFill(64)
    log_magnitude = torch.full((1, 64, 500), math.log(0.3))
    noise, _ = fill(torch.cat([log_magnitude, torch.zeros(1, 64, 500)], dim=1))
    assert float(noise.pow(2).mean().sqrt()) == pytest.approx(0.3, rel=0.02)
    certain, returned = fill(torch.cat([log_magnitude, torch.full((1, 64, 500), -1e3)], dim=1))
    torch.testing.assert_close(certain, torch.full_like(certain, -0.3), atol=2e-3, rtol=0)
    torch.testing.assert_close(returned, log_magnitude)


def test_noise_belongs_to_its_place_in_the_sound():
    fill = NoiseFill(4, period=7)
    described = torch.zeros(1, 8, 20)
    whole, _ = fill(described)
    part, _ = fill(described[..., 5:], first_frame=5)
    assert torch.equal(whole[..., 5:], part)


@pytest.mark.parametrize("samples", [1, 15, 16, 17, 400])
def test_the_codec_keeps_its_contract(samples):
    torch.manual_seed(0)
    codec = SEANetCodec(**TINY).eval()
    assert codec.hop_length == 16
    codes = codec.encode(torch.randn(2, 1, samples))
    assert codes.shape == (2, 3, math.ceil(samples / 16))
    assert codec.decode(codes).shape == (2, 1, 16 * codes.shape[2])
    assert codec.decode(codes, length=samples).shape == (2, 1, samples)
    assert torch.equal(codec.decode(codes), codec.decode(codes))


def test_earlier_samples_do_not_depend_on_later_codes():
    torch.manual_seed(0)
    codec = SEANetCodec(**TINY).eval()
    codes = codec.encode(torch.randn(1, 1, 320))
    changed = codes.clone()
    changed[..., 12:] = (changed[..., 12:] + 1) % 16
    before, after = codec.decode(codes), codec.decode(changed)
    # The block before a changed frame overlaps with it.
    assert torch.equal(before[..., : 12 * 16 - 8], after[..., : 12 * 16 - 8])
    assert not torch.equal(before[..., 12 * 16 :], after[..., 12 * 16 :])


def test_training_reports_the_distance_of_magnitudes():
    codec = SEANetCodec(**TINY).train()
    output = codec(torch.randn(2, 1, 160), quantize=False)
    assert output.codes is None
    output.magnitude_loss.backward()
    assert all(torch.isfinite(p.grad).all() for p in codec.parameters() if p.grad is not None)


def test_unknown_transforms_are_refused():
    with pytest.raises(ValueError, match="'dct'.*'mdct'"):
        SEANetCodec(transform="dct")
    with pytest.raises(ValueError, match="1 channel"):
        SEANetCodec(transform="mdct", channels=2)
