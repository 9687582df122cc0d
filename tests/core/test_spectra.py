"""Mel filters: where they lie, and the two kinds of size that networks were trained behind."""

from __future__ import annotations

import pytest
import torch

from soundloom.core.spectra import (
    log_spectral_distance,
    log_spectrum,
    mel_filters,
    power_spectrum,
    stft,
)


def test_centres_are_evenly_spaced_in_mel() -> None:
    filters = mel_filters(16000, 16384, 10, 100.0, 8000.0)
    hertz = filters.argmax(1) * 16000 / 16384
    mel = 2595 * torch.log10(1 + hertz / 700)
    torch.testing.assert_close(mel.diff(), mel.diff().mean().expand(9), atol=1.0, rtol=0)
    assert hertz[0] > 100
    assert hertz[-1] < 8000


def test_peaks_of_one_share_every_bin_between_neighbours() -> None:
    filters = mel_filters(16000, 2048, 32, 64.0, 8000.0)
    assert filters.shape == (32, 1025)
    assert filters.dtype == torch.float32
    assert filters.amax(1).min() > 0.7
    assert filters.max() <= 1
    first, last = filters[0].argmax() + 1, filters[-1].argmax()
    torch.testing.assert_close(filters[:, first:last].sum(0), torch.ones(last - first))
    assert not filters[:, : 64 * 2048 // 16000].any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_mean_kind_sums_to_one_also_where_bands_are_narrower_than_bins(dtype: torch.dtype) -> None:
    narrow = mel_filters(16000, 128, 64, 30.0, 8000.0)
    assert (narrow.sum(1) == 0).any()
    filters = mel_filters(16000, 128, 64, 30.0, 8000.0, mean=True, dtype=dtype)
    torch.testing.assert_close(filters.sum(1), torch.ones(64))
    kept = narrow.sum(1) > 0
    torch.testing.assert_close(filters[kept], narrow[kept] / narrow[kept].sum(1, keepdim=True))


def test_the_numbers_that_shipped_networks_were_trained_behind() -> None:
    codec = mel_filters(16000, 512, 64, 64.0, 8000.0)
    classifier = mel_filters(16000, 1024, 64, 30.0, 8000.0, mean=True, dtype=torch.float64)
    expected = [0.0, 0.040228, 0.280308, 0.520387, 0.760466, 0.999474, 0.768213, 0.536952, 0.305691, 0.07443]
    torch.testing.assert_close(codec[40, 86:96], torch.tensor(expected), atol=1e-5, rtol=0)
    expected = [0.0, 0.001791, 0.015899, 0.030006, 0.044114, 0.058222, 0.07233, 0.086437, 0.100545, 0.114653]
    torch.testing.assert_close(classifier[40, 169:179], torch.tensor(expected), atol=1e-5, rtol=0)


def test_a_sine_of_full_scale_is_at_0_db_and_silence_at_the_floor() -> None:
    window = torch.hann_window(512)
    sound = torch.stack([torch.sin(2 * torch.pi * 32 / 512 * torch.arange(4096)), torch.zeros(4096)])
    spectrum = log_spectrum(sound, window, -90.0)
    assert spectrum.shape == (2, 257, 33)
    assert float(spectrum[0, 32, 8:-8].min()) == pytest.approx(0.0, abs=1e-3)
    assert (spectrum[1] == -90.0).all()
    distance = log_spectral_distance(0.1 * sound, sound, window)
    assert distance.shape == (2,)
    assert 3 < float(distance[0]) < 20.1, "20 dB where there is sound, less where there is silence"
    assert float(distance[1]) == 0.0


def test_transforms_are_torchs_own() -> None:
    audio, window = torch.randn(2, 3, 1000, generator=torch.Generator().manual_seed(0)), torch.hann_window(64)
    expected = torch.stft(audio.flatten(0, 1), 64, 16, window=window, center=False, return_complex=True)
    assert torch.equal(stft(audio, window, padding="none"), expected.unflatten(0, (2, 3)))
    expected = torch.stft(audio[0], 64, 20, window=window, normalized=True, return_complex=True)
    power = power_spectrum(audio[0], window, hop=20, padding="reflect", normalized=True)
    assert torch.equal(power, expected.real.square() + expected.imag.square())
