"""A region of a sound is made louder, quieter, or faded."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from soundloom.core.errors import ArgumentError
from soundloom.demo.shape_region import shape_region

RATE = 1000


def test_the_level_changes_in_the_region_alone() -> None:
    sound = torch.full((2, 2000), 0.25)
    quieter = shape_region(sound, RATE, 0.5, 1.0, gain=-6.0206)
    outside = torch.cat([quieter[:, :500], quieter[:, 1000:]], dim=1)
    assert bool((outside == 0.25).all())
    torch.testing.assert_close(quieter[:, 510:990], torch.full((2, 480), 0.125), atol=1e-5, rtol=0)
    steps = quieter[0].diff().abs()
    assert float(steps.max()) < 0.03  # no click at the edges
    assert not shape_region(sound, RATE, 0.5, 1.0, gain=-60)[:, 510:990].any()
    assert torch.equal(shape_region(sound, RATE, 0.5, 1.0), sound)
    assert float(shape_region(sound, RATE, 0.0, 2.0, gain=20).max()) <= 1.0


def test_fades_begin_and_end_in_silence() -> None:
    sound = torch.ones(1, 2000)
    faded = shape_region(sound, RATE, 0.0, 2.0, fade_in=0.5, fade_out=1.0)[0]
    assert faded[0] < 1e-4
    assert faded[250] == pytest.approx(0.5, abs=0.01)
    assert bool((faded[500:1000] == 1).all())
    assert faded[1500] == pytest.approx(0.5, abs=0.01)
    assert faded[-1] < 1e-4


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"start": 1.0, "end": 1.0}, "the region 1..1 s is no part of a sound of 2 s"),
        ({"start": 1.0, "end": 3.0}, "the region 1..3 s is no part"),
        ({"gain": 50.0}, r"gain is 50 dB; allowed are -60 \(silence\) to 20"),
        ({"fade_in": 0.5, "fade_out": 0.6}, "fades of 0.5 s and 0.6 s do not fit into a region of 1 s"),
        ({"fade_in": -0.5}, "do not fit"),
        ({"start": float("nan")}, "is no part"),
    ],
)
def test_what_cannot_be_is_one_sentence(choice: dict[str, float], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        shape_region(torch.zeros(1, 2000), RATE, **({"start": 0.0, "end": 1.0} | choice))


@pytest.mark.parametrize("value", ["loud", None, True])
def test_what_is_no_number_is_named(value: Any) -> None:
    with pytest.raises(TypeError, match=f"gain is {value!r}; it must be a number"):
        shape_region(torch.zeros(1, 2000), RATE, 0.0, 1.0, gain=value)
