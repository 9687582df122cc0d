"""Mel filters: where they lie, and the two kinds of size that networks were trained behind."""

from __future__ import annotations

import pytest
import torch

from soundloom.core.spectra import mel_filters


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
