"""Tonality error: known sounds have known tonalities, and tones that become bands of noise are seen."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from soundloom.core.spectra import log_spectrum
from soundloom.evaluation.tonality import TonalityError, tonality

RATE = 16000


def tone(hertz: float = 1000.0, seconds: float = 2.0, rate: int = RATE) -> Tensor:
    return 0.3 * torch.sin(2 * math.pi * hertz * torch.arange(round(seconds * rate)) / rate)[None, None]


def noise(seconds: float = 2.0, seed: int = 0, rate: int = RATE) -> Tensor:
    return 0.1 * torch.randn(1, 1, round(seconds * rate), generator=torch.Generator().manual_seed(seed))


def error(estimate: Tensor, target: Tensor, rate: int = RATE) -> float:
    metric = TonalityError(rate)
    metric.update(estimate, target)
    return float(metric.compute())


def test_tonality_of_known_sounds() -> None:
    window = torch.hann_window(4096)
    middle = slice(4, -4)
    steady = tonality(log_spectrum(tone(), window))[..., middle]
    # 1000 Hz is bin 256: the main lobe has 1 + 2 * 1/4 of the power of its peak, among 2049 bins.
    torch.testing.assert_close(
        steady, torch.full_like(steady, 10 * math.log10(2049 / 1.5)), atol=0.05, rtol=0
    )
    assert 7 < float(tonality(log_spectrum(noise(), window)).mean()) < 11
    assert float(tonality(log_spectrum(torch.zeros(1, 1, 8000), window)).abs().max()) == pytest.approx(
        0, abs=1e-4
    )


def test_a_tone_that_becomes_a_band_of_noise_is_seen() -> None:
    spectrum = torch.fft.rfft(noise())
    hertz = torch.fft.rfftfreq(2 * RATE, 1 / RATE)
    band = torch.fft.irfft(spectrum * ((hertz > 970) & (hertz < 1030)))
    assert error(tone(), tone()) == 0
    assert error(band, tone()) > 5
    assert error(tone(), band) == pytest.approx(error(band, tone()), rel=0.3), "without sign"
    assert error(noise(seed=1), noise()) < 0.3, "other noise of the same kind is not an error"
    assert error(0.1 * tone(), tone()) < 0.1, "nor is another level"
    assert error(torch.zeros_like(tone()), tone()) > 25


def test_what_is_silent_in_the_original_does_not_count() -> None:
    target = torch.cat((tone(), torch.zeros(1, 1, 8 * RATE)), dim=-1)
    estimate = torch.cat((tone(), 1e-3 * noise(8.0)), dim=-1)
    assert error(estimate, target) < 1


def test_windows_last_as_long_at_other_rates_and_sounds_count_alike() -> None:
    assert [len(TonalityError(rate).window) for rate in (8000, 16000, 44100, 48000)] == [
        2048,
        4096,
        8192,
        16384,
    ]
    metric = TonalityError(RATE)
    metric.update(torch.cat((tone(), noise(seed=1))), torch.cat((tone(), tone())))
    assert float(metric.compute()) == pytest.approx((0 + error(noise(seed=1), tone())) / 2, rel=1e-4)
