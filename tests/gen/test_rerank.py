"""The classifier as a scorer: which classes a prompt names, and whether the right sound wins."""

from __future__ import annotations

import logging

import pytest
import torch

from soundloom.evaluation.scorer import ClassifierScorer
from soundloom.gen.pipeline import AudioGen
from soundloom.recipes.foley import FoleyCorpus


@pytest.fixture(scope="module")
def scorer() -> ClassifierScorer:
    return ClassifierScorer()


@pytest.mark.parametrize(
    ("prompt", "classes"),
    [
        ("rain", ["rain"]),
        ("a large dog barks twice", ["dog"]),
        ("a kitten meows", ["cat"]),
        ("typing on a laptop", ["keyboard_typing"]),
        ("An owl hoots, then a church bell rings.", ["owl", "church_bell"]),
        ("rain while thunder rumbles, and rain", ["rain", "thunder"]),
        ("a man speaks", ["speech"]),
        ("a leaking faucet", []),
        ("", []),
        (" ,; then", []),
        ("🐕", []),
    ],
)
def test_the_classes_that_a_prompt_names(scorer: ClassifierScorer, prompt: str, classes: list[str]) -> None:
    assert scorer.classes_of(prompt) == classes


def test_most_captions_of_the_corpus_are_understood(scorer: ClassifierScorer) -> None:
    corpus = FoleyCorpus(split="test", compositions={"single": 1.0})
    right = 0
    for index in range(150):
        right += scorer.classes_of(corpus.caption(index)) == [corpus.plan(index).parts[0].sound.name]
    assert right >= 120


def test_the_sound_that_was_asked_for_scores_highest(scorer: ClassifierScorer) -> None:
    names = ["church_bell", "wind", "telephone_ring", "siren"]
    clips = [FoleyCorpus(classes=[name], compositions={"single": 1.0})[0] for name in names]
    audio = torch.stack([torch.from_numpy(clip.audio) for clip in clips]).unsqueeze(1)
    for wanted, prompt in enumerate(["a church bell tolls", "wind blows", "a telephone rings", "a siren"]):
        scores = scorer(audio, 16000, [prompt] * len(names))
        assert scores.shape == (4,)
        assert int(scores.argmax()) == wanted
        assert 0.0 <= float(scores.min()) <= float(scores.max()) <= 1.0 + 1e-6
    both = scorer(audio[[1, 3]], 16000, ["wind, then a siren"] * 2)
    assert float(both.min()) > 0.5


def test_any_rate_and_channels(scorer: ClassifierScorer) -> None:
    clip = FoleyCorpus(sample_rate=44100, seconds=2.0, classes=["wind"], compositions={"single": 1.0})[0]
    stereo = torch.from_numpy(clip.audio).expand(1, 2, -1)
    assert float(scorer(stereo, 44100, ["wind"])[0]) > 0.5


def test_a_prompt_without_a_known_sound_scores_nothing_and_says_so(
    scorer: ClassifierScorer, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        scores = scorer(torch.randn(2, 1, 16000), 16000, ["a leaking faucet", "rain"])
    assert float(scores[0]) == 0.0
    assert float(scores[1]) > 0.0
    assert caplog.text.count("knows no sound that 'a leaking faucet' names") == 1


def test_it_chooses_between_candidates(scorer: ClassifierScorer, tiny_model: AudioGen) -> None:
    found = tiny_model.generate("rain", 0.5, seed=1, candidates=3, rerank=scorer)
    rows = tiny_model.generate("rain", 0.5, seed=1, num_samples=3)
    scores = scorer(rows.samples, rows.sample_rate, rows.prompts)
    assert found.scores == pytest.approx([float(scores.max())])
    assert found.seeds == [rows.seeds[int(scores.argmax())]]
