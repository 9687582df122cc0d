"""Spectrograms of any sound, short, silent or long."""

from __future__ import annotations

import numpy as np
import pytest

from soundloom.demo.pictures import COLUMNS, Spectrum, spectrogram

RATE = 16000
TONE = np.sin(2 * np.pi * 4000 * np.arange(RATE) / RATE).astype(np.float32)


@pytest.mark.parametrize("sound", ["silence", "one sample", "tone"])
def test_the_spectrogram_is_a_picture_of_any_sound(sound: str) -> None:
    sounds: dict[str, np.ndarray] = {"silence": np.zeros(RATE), "one sample": np.ones(1), "tone": TONE}
    samples = sounds[sound]
    picture = np.asarray(spectrogram(samples.astype(np.float32), RATE), dtype=float).mean(-1)
    height, width = picture.shape
    assert width > 800
    assert picture.min() < 100  # there are axes and labels
    inside = picture[height // 5 : height * 7 // 10, width // 3]
    if sound == "silence":
        assert inside.min() > 240  # silence is as pale as can be
    if sound == "tone":  # one dark line in the middle of the frequency axis
        darkest = (int(np.argmin(inside)) + height // 5) / height
        assert 0.38 < darkest < 0.55
        assert inside.min() < 60
        assert np.median(inside) > 240


def test_two_sounds_on_one_scale() -> None:
    loud, quiet = Spectrum(TONE, RATE), Spectrum(0.01 * TONE, RATE)
    assert quiet.peak == pytest.approx(1e-4 * loud.peak, rel=1e-3)
    alone, beside = (
        np.asarray(quiet.draw(reference=reference), dtype=float).mean(-1) for reference in (None, loud.peak)
    )
    column = alone.shape[1] // 3
    inside = slice(alone.shape[0] // 5, alone.shape[0] * 7 // 10)
    assert alone[inside, column].min() + 50 < beside[inside, column].min() < 240


@pytest.mark.parametrize("seconds", [0.2, 7.0, 60.0])
def test_columns_are_means_of_what_they_stand_for(seconds: float) -> None:
    """So that a click in ten minutes of sound is still in the picture."""
    samples = np.zeros(round(RATE * seconds), np.float32)
    place = len(samples) // 3
    samples[place] = 1.0
    spectrum = Spectrum(samples, RATE)
    columns = spectrum.power.shape[1]
    assert 10 < columns <= COLUMNS
    assert spectrum.duration == pytest.approx(seconds, abs=1e-3)
    loudest = int(spectrum.power.sum(0).argmax())
    assert loudest / columns == pytest.approx(1 / 3, abs=1.5 / columns + 0.02 / seconds)
    every = Spectrum(np.ones(RATE, np.float32), RATE).power
    assert np.all(np.isfinite(every))
