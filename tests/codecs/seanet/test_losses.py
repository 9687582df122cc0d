"""Losses of the codec: mel filters, balancer arithmetic, discriminator shapes."""

from __future__ import annotations

import math

import pytest
import torch

from soundloom.codecs.seanet.discriminator import (
    MagnitudeDiscriminator,
    MultiScaleSTFTDiscriminator,
    adversarial_loss,
    discriminator_loss,
    feature_matching_loss,
)
from soundloom.codecs.seanet.losses import Balancer, MelSpectrogram, MultiScaleMelLoss


def test_a_tone_lands_in_the_mel_band_that_holds_its_frequency():
    spectrogram = MelSpectrogram(n_fft=1024, n_mels=32, sample_rate=16000)
    time = torch.arange(16000) / 16000
    for hertz in (300.0, 1000.0, 4000.0):
        mel = spectrogram(torch.sin(2 * math.pi * hertz * time))
        band = int(mel.mean(-1).argmax())
        weights = spectrogram.filters[round(hertz * 1024 / 16000)]
        assert weights[band] == weights.max()


@pytest.mark.parametrize("samples", [1, 100, 5000])
def test_mel_loss_is_zero_for_equal_sounds_and_works_at_any_length(samples):
    loss = MultiScaleMelLoss()
    audio = torch.randn(2, 1, samples)
    assert float(loss(audio, audio)) == 0.0
    assert float(loss(0.5 * audio, audio)) > 0.0


def test_the_gradient_of_silence_is_finite():
    estimate = torch.zeros(1, 1, 4000, requires_grad=True)
    MultiScaleMelLoss()(estimate, torch.zeros(1, 1, 4000)).backward()
    assert torch.isfinite(estimate.grad).all()


def test_balancer_gives_each_loss_its_share_whatever_its_scale():
    output = torch.randn(3, 1, 8, requires_grad=True)
    direction = {"a": torch.randn(3, 1, 8), "b": torch.randn(3, 1, 8)}
    losses = {"a": (1e6 * direction["a"] * output).sum(), "b": (1e-3 * direction["b"] * output).sum()}
    gradient = Balancer({"a": 3.0, "b": 1.0}).gradient(losses, output)
    expected = sum(
        share * g / g.flatten(1).norm(dim=1).mean()
        for share, g in ((0.75, direction["a"]), (0.25, direction["b"]))
    )
    torch.testing.assert_close(gradient, expected, atol=1e-5, rtol=1e-4)


def test_balancer_state_survives_a_save():
    output = torch.randn(1, 1, 4, requires_grad=True)
    first, second = Balancer({"a": 1.0}), Balancer({"a": 1.0})
    first.gradient({"a": (output * 5).sum()}, output)
    second.load_state_dict(first.state_dict())
    loss = (output * 0.1).sum()
    torch.testing.assert_close(first.gradient({"a": loss}, output), second.gradient({"a": loss}, output))


def test_discriminator_learns_to_tell_two_sounds_apart():
    torch.manual_seed(0)
    judge = MultiScaleSTFTDiscriminator(n_ffts=(128, 64), n_filters=4)
    optimizer = torch.optim.Adam(judge.parameters(), lr=3e-3)
    real, fake = torch.randn(4, 1, 2000), torch.randn(4, 1, 2000).cumsum(-1) / 40
    first = None
    for _ in range(25):
        loss = discriminator_loss(judge(real), judge(fake))
        first = first if first is not None else float(loss)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float(loss) < 0.7 * first
    assert float(adversarial_loss(judge(fake))) > float(adversarial_loss(judge(real)))
    assert float(feature_matching_loss(judge(real), judge(real))) == 0.0


def test_the_discriminator_of_magnitudes_tells_smooth_noise_from_noise():
    torch.manual_seed(0)
    judge = MagnitudeDiscriminator(n_filters=8)
    optimizer = torch.optim.Adam(judge.parameters(), lr=1e-2)
    real = torch.randn(4, 45, 32, 2).square().sum(-1)
    fake = torch.full_like(real, 2.0)
    assert judge(real).scores[0].shape[0] == 4
    for _ in range(100):
        loss = discriminator_loss(judge(real), judge(fake))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float(loss) < 1.0  # of 2 for one who knows nothing
    assert float(feature_matching_loss(judge(real), judge(real))) == 0.0
    assert float(feature_matching_loss(judge(real), judge(fake))) > 0.0


def test_discriminator_takes_sounds_shorter_than_its_window():
    output = MultiScaleSTFTDiscriminator(n_ffts=(1024,), n_filters=2)(torch.randn(1, 1, 100))
    assert output.scores[0].shape[0] == 1
