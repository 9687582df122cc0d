"""Variations: the finest codes are drawn first, none at 0, all at 1."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from soundloom.core.errors import ArgumentError
from soundloom.gen.editing.vary import codes_to_draw
from soundloom.gen.pipeline import AudioGen

CODES = torch.zeros(2, 4, 200, dtype=torch.long)


def sound(sample_rate: int = 16000, channels: int = 1, seconds: float = 1.0) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return 0.4 * torch.rand(channels, round(seconds * sample_rate), generator=generator) - 0.2


def test_how_much_is_drawn_of_which_codebook() -> None:
    for strength in (0.0, 0.1, 0.25, 0.3, 0.6, 1.0):
        drawn = codes_to_draw(CODES, strength, [1, 2]).float()
        assert float(drawn.mean()) == pytest.approx(strength, abs=0.03)
        shares = drawn.mean(dim=(0, 2))
        assert torch.equal(shares, shares.sort().values)  # the finest most
        assert int(((shares > 0) & (shares < 1)).sum()) <= 1
    assert codes_to_draw(CODES, 0.5, [1, 2])[:, 2:].all()
    assert not codes_to_draw(CODES, 0.5, [1, 2])[:, :2].any()
    weaker, stronger = (codes_to_draw(CODES, strength, [1, 2]) for strength in (0.1, 0.2))
    assert not (weaker & ~stronger).any()


def test_no_strength_is_the_codecs_copy(model: AudioGen) -> None:
    found = model.variation((sound(), 16000), 0.0, seed=1)
    codes = model.codec.encode(sound()[None])
    assert torch.equal(found.codes, codes)
    torch.testing.assert_close(found.samples, model.codec.decode(codes))


@pytest.mark.parametrize("strength", [0.2, 0.6, 1.0])
def test_what_is_not_drawn_stays(tiny_model: AudioGen, strength: float) -> None:
    codes = tiny_model.codec.encode(sound()[None])
    found = tiny_model.variation((sound(), 16000), strength, "a dog", seed=1, num_samples=2)
    drawn = codes_to_draw(found.codes, strength, found.seeds)
    same = found.codes == codes
    assert same[~drawn].all()
    assert float(same[drawn].float().mean()) < 0.1
    assert not torch.equal(found.codes[0], found.codes[1])
    alone = tiny_model.variation((sound(), 16000), strength, "a dog", seed=found.seeds[1])
    assert torch.equal(alone.codes[0], found.codes[1])


def test_each_window_keeps_what_the_one_before_drew(tiny_model: AudioGen) -> None:
    short = AudioGen(
        tiny_model.lm, tiny_model.text_encoder, tiny_model.codec, max_seconds=0.4, extend_stride=0.2
    )
    calls: list[tuple[int, int]] = []
    found = short.variation((sound(), 16000), 0.5, seed=1, progress=lambda *call: calls.append(call))
    long = tiny_model.variation((sound(), 16000), 0.5, seed=1)
    # The first window is the same, but for its last frames, whose late codebooks hear coarse codes beyond it.
    assert torch.equal(found.codes[:, :, :17], long.codes[:, :, :17])
    assert not torch.equal(found.codes, long.codes)
    assert calls[-1] == (50, 50)
    assert calls == sorted(calls)


def test_everything_drawn_again_is_a_new_sound(tiny_model: AudioGen) -> None:
    found = tiny_model.variation((sound(), 16000), 1.0, "a dog", seed=5)
    assert torch.equal(found.codes, tiny_model.generate("a dog", duration=1.0, seed=5).codes)


@pytest.mark.parametrize(("sample_rate", "channels"), [(44100, 2), (8000, 1), (11025, 3)])
def test_it_has_the_form_of_the_sound(tiny_model: AudioGen, sample_rate: int, channels: int) -> None:
    samples = sound(sample_rate, channels, 0.73)
    found = tiny_model.variation((samples, sample_rate), 0.3, seed=1)
    assert found.samples.shape == (1, *samples.shape)
    assert found.sample_rate == sample_rate


def test_the_best_of_several(tiny_model: AudioGen) -> None:
    found = tiny_model.variation(
        (sound(), 16000),
        0.3,
        "a dog",
        seed=1,
        candidates=3,
        rerank=lambda audio, rate, prompts: torch.arange(3.0),
    )
    assert found.scores == [2.0]


@pytest.mark.parametrize("strength", [-0.1, 1.5, float("nan"), float("inf")])
def test_bad_strengths_are_named(tiny_model: AudioGen, strength: float) -> None:
    with pytest.raises(ArgumentError, match=f"strength is {strength}; allowed are 0 to 1 .*codec's copy"):
        tiny_model.variation((sound(), 16000), strength)


@pytest.mark.parametrize("strength", ["0.5", None, True])
def test_what_is_no_strength(tiny_model: AudioGen, strength: Any) -> None:
    with pytest.raises(TypeError, match="strength is .*number from 0 to 1"):
        tiny_model.variation((sound(), 16000), strength)
