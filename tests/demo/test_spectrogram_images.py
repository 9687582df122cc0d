"""Spectrograms on the page."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL.Image import Image
from PIL.Image import new as new_image

from soundloom.core.pictures import Spectrogram
from soundloom.demo.spectrogram_images import draw, spectrogram

RATE = 16000
TONE = np.sin(2 * np.pi * 4000 * np.arange(RATE) / RATE).astype(np.float32)


def grey(picture: Image) -> np.ndarray:
    """How light the picture is on a white page: `[height, width]`."""
    page = new_image("RGBA", picture.size, "white")
    page.alpha_composite(picture)
    return np.asarray(page.convert("RGB"), dtype=float).mean(-1)


@pytest.mark.parametrize("sound", ["silence", "one sample", "tone"])
def test_the_spectrogram_is_a_picture_of_any_sound(sound: str) -> None:
    sounds: dict[str, np.ndarray] = {"silence": np.zeros(RATE), "one sample": np.ones(1), "tone": TONE}
    samples = sounds[sound]
    picture = grey(spectrogram(samples.astype(np.float32), RATE))
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
    loud, quiet = (Spectrogram(level * torch.from_numpy(TONE), RATE) for level in (1.0, 0.01))
    alone, beside = (grey(draw(quiet, reference=reference)) for reference in (None, loud.peak))
    column = alone.shape[1] // 3
    inside = slice(alone.shape[0] // 5, alone.shape[0] * 7 // 10)
    assert alone[inside, column].min() + 50 < beside[inside, column].min() < 240
