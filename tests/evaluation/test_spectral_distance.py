"""Distances of reconstructions: known values, every odd input, streaming = at once, alignment."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from soundloom.core.audio import AudioError
from soundloom.core.spectra import log_spectrum
from soundloom.evaluation import spectral_distance
from soundloom.evaluation.spectral_distance import (
    SISDR,
    LogSpectralDistance,
    MultiResolutionMelDistance,
    align,
    reconstruction_metrics,
    si_sdr,
)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def sine(hertz: float, seconds: float, rate: int, phase: float = 0.0) -> Tensor:
    t = torch.arange(round(seconds * rate), dtype=torch.float64) / rate
    return torch.sin(2 * torch.pi * hertz * t + phase).float()


METRICS = [lambda: MultiResolutionMelDistance(16000), LogSpectralDistance]


@pytest.mark.parametrize("make", METRICS)
def test_equal_sounds_are_at_distance_zero(make) -> None:
    metric = make()
    metric.update(noise(2, 2, 4000), noise(2, 2, 4000))
    assert float(metric.compute()) == 0.0


@pytest.mark.parametrize("make", METRICS)
@pytest.mark.parametrize("gain", [0.5, 2.0, 0.1])
def test_a_gain_is_its_own_size_in_decibel(make, gain: float) -> None:
    metric = make()
    metric.update(gain * noise(1, 1, 16000), noise(1, 1, 16000))
    assert float(metric.compute()) == pytest.approx(abs(20 * math.log10(gain)), rel=0.02)


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 24000, 44100, 48000, 96000])
def test_mel_bands_all_hear_something_at_every_usual_rate(rate: int) -> None:
    metric = MultiResolutionMelDistance(rate)
    milliseconds = [1000 * scale.n_fft / rate for scale in metric.scales]
    assert 2.6 < milliseconds[0] < 6
    assert 85 < milliseconds[-1] < 190
    for scale in metric.scales:
        assert (scale.filters.sum(0) > 0).all()
    metric.update(0.5 * noise(1, 1, rate), noise(1, 1, rate))
    assert float(metric.compute()) == pytest.approx(6.02, rel=0.02)


def test_a_full_scale_sine_stands_as_high_above_silence_as_the_floor_is_deep() -> None:
    tone = sine(1000.0, 1.0, 16000)[None, None]
    near = LogSpectralDistance(floor_db=-60.0)
    spectrum = log_spectrum(tone, near.window, near.floor_db)
    assert float(spectrum.max()) == pytest.approx(0.0, abs=0.05)
    assert float(spectrum.min()) == pytest.approx(-60.0, abs=1e-4)
    quiet = MultiResolutionMelDistance(16000)
    quiet.update(1e-6 * tone, torch.zeros_like(tone))  # -120 dB: below the floor
    assert float(quiet.compute()) == 0.0


def test_log_spectral_distance_by_hand() -> None:
    estimate, target = noise(1, 1, 6000, seed=1), noise(1, 1, 6000, seed=2)
    metric = LogSpectralDistance(n_fft=512)
    metric.update(estimate, target)
    window = torch.hann_window(512)
    a, b = (
        20
        * torch.log10(
            (
                torch.stft(x[0], 512, 128, window=window, pad_mode="constant", return_complex=True).abs()
                / 128
            ).clamp_min(1e-5)
        )
        for x in (estimate, target)
    )
    expected = (a - b).square().mean(1).sqrt().mean()
    assert float(metric.compute()) == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize("make", METRICS)
def test_more_distortion_is_farther(make) -> None:
    target = noise(1, 1, 16000)
    distances = []
    for amount in (0.05, 0.2, 1.0):
        metric = make()
        metric.update(target + amount * noise(1, 1, 16000, seed=1), target)
        distances.append(float(metric.compute()))
    assert distances == sorted(distances)
    assert distances[0] > 0.05


@pytest.mark.parametrize("make", METRICS)
def test_batches_singles_and_reset(make) -> None:
    estimate, target = noise(3, 2, 5000, seed=1), noise(3, 2, 5000, seed=2)
    whole, parts = make(), make()
    whole.update(estimate, target)
    for a, b in zip(estimate, target, strict=True):
        parts.update(a, b)
    assert float(parts.compute()) == pytest.approx(float(whole.compute()), rel=1e-6)
    parts.reset()
    parts.update(target, target)
    assert float(parts.compute()) == 0.0


@pytest.mark.parametrize("make", METRICS)
def test_long_sounds_are_measured_in_pieces(make, monkeypatch: pytest.MonkeyPatch) -> None:
    estimate, target = noise(1, 1, 60000, seed=1), noise(1, 1, 60000, seed=2)
    at_once, pieces = make(), make()
    at_once.update(estimate, target)
    monkeypatch.setattr(spectral_distance, "PIECE", 16000)
    assert list(spectral_distance._pieces(60000)) == [
        (0, 15000),
        (15000, 30000),
        (30000, 45000),
        (45000, 60000),
    ]
    pieces.update(estimate, target)
    assert float(pieces.compute()) == pytest.approx(float(at_once.compute()), rel=0.05)


@pytest.mark.parametrize("make", METRICS)
@pytest.mark.parametrize("length", [1, 2, 63, 64, 1000])
def test_any_length(make, length: int) -> None:
    metric = make()
    metric.update(0.5 * noise(1, 1, length), noise(1, 1, length))
    assert 0 < float(metric.compute()) < 13


def test_si_sdr_is_torchmetrics_own() -> None:
    target, estimate = noise(2, 2, 8000), noise(2, 2, 8000) + 0.3 * noise(2, 2, 8000, seed=5)
    metric = SISDR()
    metric.update(estimate, target)
    assert float(si_sdr(estimate, target).mean()) == pytest.approx(float(metric.compute()), rel=1e-5)
    assert float(si_sdr(0.01 * estimate, target)[0]) == pytest.approx(
        float(si_sdr(estimate, target)[0]), abs=0.01
    )
    expected = 10 * math.log10(1 / 0.3**2)
    assert float(si_sdr(estimate, target).mean()) == pytest.approx(expected, abs=0.5)


def test_silence() -> None:
    sound, silence = noise(1, 16000), torch.zeros(1, 16000)
    both = reconstruction_metrics(silence, silence, 16000)
    assert both["mel_distance"] == both["log_spectral_distance"] == 0.0
    for estimate, target in ((silence, sound), (sound, silence), (silence, silence)):
        found = reconstruction_metrics(estimate, target, 16000)
        assert math.isnan(found["si_sdr"])
        assert math.isfinite(found["mel_distance"])
        assert math.isfinite(found["log_spectral_distance"])
    assert reconstruction_metrics(silence, sound, 16000)["mel_distance"] > 30


def test_a_silent_channel_does_not_hide_the_other() -> None:
    target = torch.cat([noise(1, 8000), torch.zeros(1, 8000)])
    estimate = target + torch.cat([0.1 * noise(1, 8000, seed=3), torch.zeros(1, 8000)])
    assert float(si_sdr(estimate, target)) == pytest.approx(float(si_sdr(estimate[:1], target[:1])), rel=1e-5)


def test_stereo_is_the_mean_of_its_channels() -> None:
    estimate, target = noise(2, 9000, seed=1), noise(2, 9000, seed=2)
    stereo = reconstruction_metrics(estimate, target, 16000)
    singles = [reconstruction_metrics(a, b, 16000) for a, b in zip(estimate, target, strict=True)]
    for key, value in stereo.items():
        assert value == pytest.approx(sum(single[key] for single in singles) / 2, rel=1e-4)


@pytest.mark.parametrize(
    ("estimate", "target", "words"),
    [
        (torch.zeros(1, 1, 10), torch.zeros(1, 1, 11), ["10", "11", "same length", "cut"]),
        (torch.zeros(1, 2, 10), torch.zeros(1, 1, 10), ["channels", "mix"]),
        (torch.zeros(2, 1, 10), torch.zeros(1, 1, 10), ["sounds"]),
        (torch.zeros(1, 10), torch.zeros(10), ["[C, N]"]),
        (torch.zeros(1, 1, 1, 10), torch.zeros(1, 1, 1, 10), ["[B, C, N]"]),
        (torch.zeros(1, 0), torch.zeros(1, 0), ["1 sample"]),
        (torch.full((10,), math.nan), torch.zeros(10), ["estimate", "10 NaN"]),
        (torch.zeros(10), torch.full((10,), math.inf), ["target", "10 NaN or infinite"]),
        (torch.zeros(10, dtype=torch.int64), torch.zeros(10), ["int64", "float32"]),
    ],
)
def test_what_cannot_be_compared_is_an_error(estimate: Tensor, target: Tensor, words: list[str]) -> None:
    for compare in (
        lambda: reconstruction_metrics(estimate, target, 16000),
        lambda: LogSpectralDistance().update(estimate, target),
        lambda: si_sdr(estimate, target),
    ):
        with pytest.raises(AudioError) as error:
            compare()
        for word in words:
            assert word in str(error.value)


@pytest.mark.parametrize("rate", [0, -1, 100, 7999, 16000.5])
def test_sample_rates_without_mel_bands_are_refused(rate: float) -> None:
    with pytest.raises(AudioError, match="sample_rate"):
        reconstruction_metrics(noise(100), noise(100), rate)  # type: ignore[arg-type]


@pytest.mark.parametrize("delay", [-3.5, -1.0, -0.625, 0.25, 1.0, 2.125])
def test_alignment_takes_back_a_small_delay(delay: float) -> None:
    rate, size = 16000, 4096
    spectrum = torch.fft.rfft(noise(2, size))
    spectrum[:, size // 4 :] = 0  # up to a quarter of the rate: what lies higher no interpolation can shift
    turn = torch.exp(-2j * torch.pi * delay * torch.fft.rfftfreq(size))
    target, late = torch.fft.irfft(spectrum, size), torch.fft.irfft(spectrum * turn, size)
    before, after = float(si_sdr(late, target)), float(si_sdr(align(late, target, rate), target))
    assert after > 25
    assert after > before + 10


def test_what_is_in_time_is_left_as_it_is() -> None:
    sound = noise(1, 5000)
    assert align(sound, sound, 16000) is sound
    silence = torch.zeros(1, 5000)
    assert align(silence, sound, 16000) is silence
    late = torch.roll(sound, 100, dims=1)  # too late to be a matter of a clock: not hidden
    assert float(si_sdr(align(late, sound, 16000), sound)) < 0
