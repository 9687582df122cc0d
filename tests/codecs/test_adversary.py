"""The adversary: its discriminators learn to tell sounds apart, and count more and more."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from soundloom.codecs.adversary import Adversary, AdversarySettings
from soundloom.codecs.seanet.patch_discriminator import MultiScalePatchDiscriminator
from soundloom.evaluation.classifier import ClassifierFeatures

WIDTHS = (4, 4, 4, 4)


class Listener(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Sequential(nn.Linear(1, 2), nn.Dropout(0.5))

    def forward(self, audio):
        return [self.layer(audio[..., None])]


def sounds(seed: int, level: float = 0.1) -> torch.Tensor:
    return level * torch.randn(4, 4000, generator=torch.Generator().manual_seed(seed))


def test_discriminators_learn_to_tell_sounds_apart():
    torch.manual_seed(0)
    adversary = Adversary(AdversarySettings(widths=WIDTHS), 16000)
    optimizer = torch.optim.Adam(adversary.parameters(), lr=3e-3)
    real = sounds(0)
    made = real * (1 + torch.sin(torch.arange(4000) / 40))
    first = float(adversary.judgement(real, made).detach())
    assert first == pytest.approx(2, abs=0.2)  # they know nothing
    for _ in range(40):
        loss = adversary.judgement(real, made)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float(loss.detach()) < 1


def test_what_they_say_counts_from_the_start_on_and_reaches_the_sound_only():
    settings = AdversarySettings(start=10, ramp=10, widths=WIDTHS, adversarial=2.0)
    assert [settings.share(step) for step in (0, 10, 15, 20, 99)] == [0, 0, 0.5, 1, 1]
    adversary, made = Adversary(settings, 16000), sounds(1).requires_grad_()
    assert adversary.losses(sounds(0), made, 10) == {}
    losses = adversary.losses(sounds(0), made, 15)
    assert {name: weight for name, (weight, _) in losses.items()} == {"adversarial": 1.0, "features": 6.0}
    sum(loss for _, loss in losses.values()).backward()
    assert made.grad is not None
    assert made.grad.any()
    assert all(p.grad is None and p.requires_grad for p in adversary.discriminator.parameters())


def test_a_listener_is_not_trained_and_hears_the_same_in_training():
    adversary = Adversary(AdversarySettings(widths=WIDTHS), 16000, Listener()).train()
    real, made = sounds(0), sounds(1).requires_grad_()
    assert float(adversary.heard_distance(real, real)) == 0
    weight, loss = adversary.losses(real, made, 0)["listener"]
    loss.backward()
    assert weight == 6
    assert made.grad.any()
    assert not any(p.requires_grad for p in adversary.listener.parameters())


def test_nobody_listens_and_no_ramp_are_said():
    with pytest.raises(ValueError, match="there is no listener"):
        Adversary(AdversarySettings(widths=WIDTHS), 16000).heard_distance(sounds(0), sounds(1))
    with pytest.raises(ValueError, match=r"adversary\.ramp is 0"):
        AdversarySettings(ramp=0)


def test_what_is_too_short_for_a_patch_is_said():
    discriminators = MultiScalePatchDiscriminator(widths=WIDTHS)
    assert discriminators(torch.zeros(1, 2048)).scores[2].numel()
    with pytest.raises(ValueError, match="have 2047 samples; these discriminators want at least 2048"):
        discriminators(torch.zeros(1, 2047))


def test_every_resolution_judges_patches():
    output = MultiScalePatchDiscriminator(widths=WIDTHS)(sounds(0))
    assert [score.shape[:2] for score in output.scores] == [(4, 1)] * 4
    assert all(score[0].numel() > 10 for score in output.scores)
    assert [len(features) for features in output.features] == [3] * 4


def test_a_classifier_listens():
    listener = ClassifierFeatures()
    found = listener(sounds(0, 0.3))
    assert len(found) == 3
    assert all(len(each) == 4 for each in found)
    last = listener.classifier.stages(listener.classifier.stem(listener.classifier.log_mel(sounds(0, 0.3))))
    torch.testing.assert_close(found[-1], last)
