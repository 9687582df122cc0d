"""Spectrograms of any sound, short, silent or long, and figures of them."""

from __future__ import annotations

import pytest
import torch

from soundloom.core.pictures import COLUMNS, SHEET, Spectrogram, spectrogram_figure

RATE = 16000
TONE = torch.sin(2 * torch.pi * 4000 * torch.arange(RATE) / RATE)


def test_a_sine_of_full_scale_has_power_one_at_its_frequency() -> None:
    tone = Spectrogram(TONE, RATE)
    assert tone.peak == pytest.approx(1.0, abs=1e-3)
    assert int(tone.power.mean(1).argmax()) == (tone.power.shape[0] - 1) // 2
    assert Spectrogram(0.01 * TONE, RATE).peak == pytest.approx(1e-4 * tone.peak, rel=1e-3)


@pytest.mark.parametrize("seconds", [0.2, 7.0, 60.0])
def test_columns_are_means_of_what_they_stand_for(seconds: float) -> None:
    """So that a click in ten minutes of sound is still in the picture."""
    samples = torch.zeros(round(RATE * seconds))
    samples[len(samples) // 3] = 1.0
    shown = Spectrogram(samples, RATE)
    columns = shown.power.shape[1]
    assert 10 < columns <= COLUMNS
    assert shown.duration == pytest.approx(seconds, abs=1e-3)
    loudest = int(shown.power.sum(0).argmax())
    assert loudest / columns == pytest.approx(1 / 3, abs=1.5 / columns + 0.02 / seconds)


@pytest.mark.parametrize("samples", [torch.zeros(RATE), torch.ones(1), torch.zeros(0), TONE])
def test_every_sound_has_finite_power(samples: torch.Tensor) -> None:
    assert Spectrogram(samples, RATE).power.isfinite().all()


def test_a_sheet_has_a_picture_for_every_sound_on_the_scale_asked_for() -> None:
    sounds = [Spectrogram(level * TONE, RATE, f"level {level}") for level in (1.0, 0.1, 0.01, 1.0, 0.5)]
    figure = spectrogram_figure(sounds, columns=3, reference=1.0, range_db=60, style=SHEET)
    drawn = [axes for axes in figure.axes if axes.images]
    assert [axes.get_title(loc="left") for axes in drawn] == [sound.title for sound in sounds]
    loudest = [float(axes.images[0].get_array().max()) for axes in drawn]
    assert loudest == pytest.approx([0, -20, -40, 0, -6.02], abs=0.05)
    assert {axes.images[0].get_clim() for axes in drawn} == {(-60.0, 0.0)}
    own = spectrogram_figure(sounds[2:3])
    assert float(own.axes[0].images[0].get_array().max()) == pytest.approx(0.0, abs=1e-4)
    assert len(own.axes) == 2  # with the bar that says what the colours mean
