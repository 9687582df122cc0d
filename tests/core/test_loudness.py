"""Loudness by ITU-R BS.1770: the cases of EBU Tech 3341, and sounds brought to a loudness."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from soundloom.core.audio import Audio
from soundloom.core.loudness import LoudnessMeter, integrated_loudness, normalize_loudness


def sine(
    db: float, seconds: float, rate: int = 48000, frequency: float = 1000.0, channels: int = 2
) -> Tensor:
    wave = 10 ** (db / 20) * torch.sin(
        2 * math.pi * frequency / rate * torch.arange(int(seconds * rate)).double()
    )
    return wave.float().expand(channels, -1)


@pytest.mark.parametrize("rate", [8000, 16000, 44100, 48000, 96000])
def test_a_sine_of_full_scale_in_one_channel_is_at_minus_3(rate: int) -> None:
    # BS.1770: 0 dB at 997 Hz in one channel reads -3.01 LKFS
    assert integrated_loudness(sine(0, 2, rate, 997, 1), rate) == pytest.approx(-3.01, abs=0.05)


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ([(-23, 20)], -23.0),
        ([(-33, 20)], -33.0),
        ([(-36, 10), (-23, 60), (-36, 10)], -23.0),
        ([(-72, 10), (-36, 10), (-23, 60), (-36, 10), (-72, 10)], -23.0),
        ([(-26, 20), (-20, 20.1), (-26, 20)], -23.0),
    ],
    ids=str,
)
def test_cases_of_ebu_tech_3341(parts: list[tuple[float, float]], expected: float) -> None:
    sound = torch.cat([sine(db, seconds, 16000) for db, seconds in parts], dim=-1)
    assert integrated_loudness(sound, 16000) == pytest.approx(expected, abs=0.1)


def test_the_weighting_is_that_of_the_standard() -> None:
    # Gains of the K filter at 48 kHz: about -12.6 dB at 25 Hz... +4 dB at the top; 0.69 dB at 997 Hz
    low, high = (integrated_loudness(sine(-20, 2, 48000, f, 1), 48000) for f in (50.0, 10000.0))
    middle = integrated_loudness(sine(-20, 2, 48000, 997.0, 1), 48000)
    assert high - middle == pytest.approx(3.3, abs=0.2)
    assert low - middle < -3


def test_blocks_are_the_whole() -> None:
    sound = torch.randn(2, 30001) * torch.linspace(0, 0.3, 30001)
    meter = LoudnessMeter(16000)
    for block in sound.split(777, dim=-1):
        meter.push(block)
    assert meter.integrated() == pytest.approx(integrated_loudness(sound, 16000), abs=1e-9)


def test_silence_and_very_short_sounds() -> None:
    assert integrated_loudness(torch.zeros(1, 48000), 48000) == -math.inf
    assert LoudnessMeter(16000).integrated() == -math.inf
    # 0.1 s at full scale within a block of 0.4 s: 6 dB less
    assert integrated_loudness(sine(0, 0.1, 16000, 997, 1), 16000) == pytest.approx(-9.03, abs=0.2)


@pytest.mark.parametrize("lufs", [-40.0, -23.0, -16.0])
def test_a_sound_at_a_loudness(lufs: float) -> None:
    quiet = 0.01 * torch.randn(2, 1, 16000, generator=torch.Generator().manual_seed(0))
    quiet[1] *= 5
    audio = Audio(quiet, 16000).at_loudness(lufs)
    assert [integrated_loudness(row, 16000) for row in audio.samples] == pytest.approx([lufs] * 2, abs=0.1)


def test_a_loudness_out_of_reach_stays_within_full_scale() -> None:
    click = torch.zeros(1, 16000)
    click[0, ::4000] = 0.1
    assert 0.99 < float(normalize_loudness(click, 16000, -5.0).abs().max()) <= 1
    assert torch.equal(normalize_loudness(torch.zeros(1, 9000), 16000, -20.0), torch.zeros(1, 9000))


@pytest.mark.parametrize("lufs", [1.0, -71.0, math.nan])
def test_a_loudness_that_makes_no_sense(lufs: float) -> None:
    with pytest.raises(ValueError, match="use -70 to 0 LUFS"):
        normalize_loudness(torch.ones(1, 100), 16000, lufs)
