"""Energy before onsets: where sounds begin, and how much of them comes too early."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from soundloom.evaluation.onsets import EnergyBeforeOnsets, block_power, find_onsets, levels_around

RATE = 16000


def clicks(places: list[int], samples: int = RATE, level: float = 0.5, background: float = 1e-4) -> Tensor:
    """Decaying noise that begins at these samples, over a background of noise: `[1, 1, N]`."""
    generator = torch.Generator().manual_seed(0)
    audio = background * torch.randn(samples, generator=generator)
    for place in places:
        time = torch.arange(samples - place) / RATE
        audio[place:] += level * torch.exp(-40 * time) * torch.randn(len(time), generator=generator)
    return audio[None, None]


def onsets(audio: Tensor, rate: int = RATE) -> list[float]:
    """Seconds at which onsets are found."""
    found = find_onsets(*levels_around(block_power(audio, rate)))
    return [(int(place) + 10) * 0.002 for place in found[0].nonzero()]


def louder(estimate: Tensor, target: Tensor) -> tuple[float, int]:
    metric = EnergyBeforeOnsets(RATE)
    metric.update(estimate, target)
    return float(metric.compute()), int(metric.count)


def test_sounds_begin_where_they_begin() -> None:
    assert onsets(clicks([4000, 9600])) == pytest.approx([0.25, 0.6], abs=0.002)
    assert onsets(clicks([4000, 4200])) == pytest.approx([0.25], abs=0.002), "one within 50 ms"
    assert onsets(clicks([])) == []
    assert onsets(clicks([4000], level=0.5, background=0.2)) == [], "no rise of 15 dB"
    assert onsets(clicks([4000], level=1e-4, background=1e-6)) == [], "too quiet to matter"


def test_what_comes_before_an_onset_is_measured_against_the_original() -> None:
    target = clicks([4000, 9600], background=1e-3)
    value, count = louder(target, target)
    assert (value, count) == (0.0, 2)
    assert louder(0.5 * target, target)[0] == pytest.approx(0, abs=0.1), "another level is no smear"
    smeared = target.clone()
    generator = torch.Generator().manual_seed(1)
    smeared[..., 3680:4000] += 0.01 * torch.randn(320, generator=generator)
    # The background has -60 dB; before one of two onsets it now has -40 dB.
    assert louder(smeared, target)[0] == pytest.approx(10, abs=1)
    silent = clicks([4000, 9600], background=0)
    assert louder(1e-3 * silent + smeared, silent)[0] > 15, "digital silence has no level of its own"
    stereo = louder(smeared.expand(1, 2, -1), target.expand(1, 2, -1))
    assert stereo[0] == pytest.approx(louder(smeared, target)[0])


def test_without_an_onset_there_is_no_figure() -> None:
    value, count = louder(clicks([]), clicks([]))
    assert math.isnan(value)
    assert count == 0
    assert math.isnan(louder(clicks([], samples=100), clicks([], samples=100))[0]), "too short for any"
