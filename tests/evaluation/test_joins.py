"""Joins: clicks are found where they are and nowhere else, and so are steps of spectra and latents."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from soundloom.core.audio import AudioError
from soundloom.evaluation.joins import CLICK, click, latent_step, latents_of, spectral_step
from tests import tiny_codecs

RATE = 16000


def tone(frequency: float = 440.0, length: int = RATE) -> Tensor:
    return 0.5 * (2 * math.pi * frequency / RATE * torch.arange(length)).sin()[None]


def noise(seed: int = 0) -> Tensor:
    return 0.1 * torch.randn(1, RATE, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("size", [0.01, 0.5])
def test_steps_in_a_tone_click(size: float) -> None:
    sound = tone()
    sound[:, 8000:] += size
    assert click(sound, 8000, RATE) > CLICK
    assert click(sound, 7998, RATE) > CLICK  # the place may be a little off
    assert click(sound, 4000, RATE) < CLICK


def test_bends_lost_samples_and_single_samples_click() -> None:
    mirrored = torch.cat([tone()[:, :8010], tone()[:, :8010].flip(-1)], dim=-1)
    lost = torch.cat([tone()[:, :8000], tone()[:, 8009:]], dim=-1)
    single = tone()
    single[:, 8000] += 0.05
    for sound, place in ((mirrored, 8010), (lost, 8000), (single, 8000)):
        assert click(sound, place, RATE) > CLICK


def test_noise_tones_and_silence_do_not_click() -> None:
    for sound in (tone(), noise(), torch.zeros(1, RATE), 1e-5 * noise()):
        assert max(click(sound, place, RATE) for place in range(2000, 14000, 500)) < CLICK
    glide = (2 * math.pi * (200 + torch.arange(RATE) / 20).cumsum(0) / RATE).sin()[None]
    assert click(glide, 8000, RATE) < CLICK


def test_the_worst_channel_counts() -> None:
    stereo = torch.cat([tone(), tone()])
    stereo[1, 8000:] += 0.2
    assert click(stereo, 8000, RATE) == click(stereo[1:], 8000, RATE) > CLICK


def test_spectra_step_where_the_sound_changes() -> None:
    sound = torch.cat([noise()[:, :8000], 10 ** (-20 / 20) * noise()[:, 8000:]], dim=-1)
    assert spectral_step(sound, 8000, RATE) == pytest.approx(20.0, abs=1.5)
    assert spectral_step(sound, 4000, RATE) < 3.0
    assert spectral_step(torch.zeros(1, RATE), 8000, RATE) == 0.0


@pytest.mark.parametrize("place", [0, 10, RATE - 10, RATE])
def test_joins_at_an_end_are_named(place: int) -> None:
    with pytest.raises(AudioError, match=f"a join at sample {place}"):
        click(tone(), place, RATE)
    with pytest.raises(AudioError, match=f"a join at sample {place}"):
        spectral_step(tone(), place, RATE)


def test_latents_are_those_that_are_decoded() -> None:
    codec = tiny_codecs.seanet()
    codes = torch.randint(0, 16, (3, 20), generator=torch.Generator().manual_seed(0))
    latents = latents_of(codec, codes)
    assert latents.shape == (4, 20)
    torch.testing.assert_close(codec.decode_latent(latents[None]), codec.decode(codes[None]))
    assert latent_step(latents, 5) == pytest.approx(float((latents[:, 5] - latents[:, 4]).norm()))
    with pytest.raises(TypeError, match="Music2Latent2 has no quantizer"):
        latents_of(tiny_codecs.music2latent2(), codes)
