"""Measures of loops and of prompts that change, in small."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from soundloom.evaluation.edits import Asked
from soundloom.evaluation.seams import TIMES, measure_loops, measure_sequences
from soundloom.gen.generated_audio import GeneratedAudio
from soundloom.gen.pipeline import AudioGen


class Loudness:
    """Hears "loud" above a level, else "soft"."""

    name, sample_rate, class_names = "loudness", 16000, ["soft", "loud"]
    tag_names = ("quiet", "roar")

    def logits(self, audio: Tensor) -> Tensor:
        loud = audio.square().mean(dim=1).sqrt() - 0.05
        return torch.stack([-loud, loud], dim=1)

    tags = logits


def test_loops_stand_beside_sounds_that_are_none(tiny_model: AudioGen) -> None:
    report = measure_loops(tiny_model, ["a dog", "rain"], loops=2)
    assert set(report) == {"loop", "not a loop", "within"}
    assert report["loop"]["clicks"]["of"] == 2 * (TIMES - 1)
    assert report["loop"]["clicks"]["number"] == 0
    assert report["within"]["spectral step"]["number"] == report["within"]["latent step"]["number"] == 6
    assert report["loop"]["latent step"]["number"] == 2


def test_sequences_stand_beside_sounds_that_are_cut(
    tiny_model: AudioGen, monkeypatch: pytest.MonkeyPatch
) -> None:
    listener: Any = Loudness()
    asked = [Asked("a dog", "loud", ("roar",)), Asked("rain", "soft", ("quiet",))]
    calls: list[tuple[int, int]] = []
    report = measure_sequences(
        tiny_model, asked, listener, tagger=listener, sequences=2, progress=lambda *call: calls.append(call)
    )
    assert calls == [(1, 2), (2, 2)]
    assert report["lengths kept"] == 1.0
    assert set(report["joins"]) == {"sequence", "within", "hard cut"}
    assert report["joins"]["sequence"]["clicks"]["of"] == report["joins"]["hard cut"]["clicks"]["of"] == 4
    assert report["joins"]["within"]["latent step"]["number"] == 6
    assert set(report["heard"]) == {"sequence", "alone"}
    assert report["heard"]["alone"].keys() == {"class", "first tag", "among five tags"}
    real = tiny_model.generate

    def short(*words: Any, **settings: Any) -> GeneratedAudio:
        found = real(*words, **settings)
        return found if words else replace(found, samples=found.samples[..., :-1])

    monkeypatch.setattr(tiny_model, "generate", short)
    assert measure_sequences(tiny_model, asked, listener, sequences=1)["lengths kept"] == 0.0
