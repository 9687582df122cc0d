"""Measures of edits, in small."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from soundloom.evaluation.edits import Asked, by_drafts, measure_edits
from soundloom.gen.model.lm import AudioLM
from soundloom.gen.pipeline import AudioGen

RATE = 16000


class Loudness:
    """Hears "loud" above a level, else "soft"."""

    name, sample_rate, class_names = "loudness", RATE, ["soft", "loud"]
    tag_names = ("quiet", "roar")

    def logits(self, audio: Tensor) -> Tensor:
        loud = audio.square().mean(dim=1).sqrt() - 0.05
        return torch.stack([-loud, loud], dim=1)

    tags = logits


def recordings() -> list[tuple[Tensor, int]]:
    generator = torch.Generator().manual_seed(0)
    return [
        (0.2 * torch.randn(channels, 2 * RATE, generator=generator).clamp(-3, 3), RATE) for channels in (1, 2)
    ]


def test_edits_stand_beside_real_joins_and_hard_cuts(tiny_model: AudioGen) -> None:
    calls: list[tuple[int, int]] = []
    asked = [Asked("a dog", "loud", ("roar",)), Asked("rain", "soft", ("quiet",))]
    listener: Any = Loudness()
    report = measure_edits(
        tiny_model,
        recordings(),
        asked,
        listener,
        tagger=listener,
        edits=4,
        progress=lambda *call: calls.append(call),
    )
    assert calls == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert report["exact"] == 1.0
    assert set(report["joins"]) == {"edit", "real", "copy", "hard cut"}
    for name in report["joins"]:
        assert report["joins"][name]["clicks"]["of"] == 8
        assert report["joins"][name]["spectral step"]["number"] == 8
    assert report["joins"]["real"]["clicks"]["number"] == 0
    assert report["joins"]["edit"]["latent step"]["number"] == 8
    assert report["heard"]["before"] == {"class": 0.5, "first tag": 0.5, "among five tags": 1.0}
    assert set(report["heard"]) == {"edit", "before", "alone"}
    again = measure_edits(tiny_model, recordings(), asked, listener, tagger=listener, edits=4)
    assert again == report


def test_an_edit_that_touches_more_than_its_region_is_told(
    tiny_model: AudioGen, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = tiny_model.inpaint

    def careless(*args: Any, **settings: Any) -> Any:
        found = real(*args, **settings)
        found.samples[..., :100] += 0.01
        return found

    monkeypatch.setattr(tiny_model, "inpaint", careless)
    listener: Any = Loudness()
    assert measure_edits(tiny_model, recordings(), [Asked("a", "loud")], listener, edits=2)["exact"] == 0.0


def test_a_trained_model_can_fill_as_others_do(tiny_model: AudioGen) -> None:
    with by_drafts(tiny_model):
        assert not tiny_model.lm.infill_frames
    lm = AudioLM(
        num_codebooks=2, codebook_size=8, dim=8, num_layers=1, num_heads=1, text_dim=8, infill_frames=9
    )
    model: Any = SimpleNamespace(lm=lm)
    with pytest.raises(KeyError), by_drafts(model):
        assert lm.infill_frames == 0
        raise KeyError
    assert lm.infill_frames == 9
