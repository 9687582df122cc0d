"""AudioTextScorer: classes and nearness to the prompt in one number, alone as in a batch."""

from __future__ import annotations

import logging

import pytest
import torch
from torch.nn import functional as F

from soundloom import AudioTextScorer, ClassifierScorer
from soundloom.evaluation.classifier import SoundClassifier
from soundloom.gen.pipeline import AudioGen
from soundloom.gen.text.embedded import EmbeddedTextEncoder
from soundloom.recipes.foley import FoleyCorpus

CLASSES = {"class_names": ["a", "b"], "widths": (4, 4, 4, 4)}


@pytest.fixture(scope="module")
def encoder() -> EmbeddedTextEncoder:
    return EmbeddedTextEncoder.from_pretrained("foley")


@pytest.fixture(scope="module")
def clap(encoder: EmbeddedTextEncoder) -> SoundClassifier:
    torch.manual_seed(0)
    clap = SoundClassifier(**CLASSES, text_dim=encoder.dim).eval()
    clap.text_mean.copy_(0.1 * torch.randn(encoder.dim))
    return clap


@pytest.fixture(scope="module")
def scorer(encoder: EmbeddedTextEncoder, clap: SoundClassifier) -> AudioTextScorer:
    return AudioTextScorer(text_encoder=encoder, clap=clap)


@pytest.fixture(scope="module")
def audio() -> torch.Tensor:
    return torch.randn(3, 1, 16000, generator=torch.Generator().manual_seed(1)) / 10


def test_the_score_is_the_probability_of_what_is_named_or_else_the_cosine(
    scorer: AudioTextScorer, audio: torch.Tensor
) -> None:
    prompts = ["rain", "a leaking faucet", "a dog barks"]
    scores = scorer(audio, 16000, prompts)
    probability = ClassifierScorer(scorer.classifier, scorer.text_encoder)(audio, 16000, prompts)
    states = scorer.text_encoder(prompts).mean()
    wanted = F.normalize(states - scorer.clap.text_mean, dim=-1)
    cosine = (scorer.clap.caption_vectors(scorer.clap.features(audio[:, 0])) * wanted).sum(1)
    assert scores.dtype == torch.float32
    assert scores.shape == (3,)
    torch.testing.assert_close(scorer.similarity(audio, 16000, prompts), cosine)
    torch.testing.assert_close(scores[[0, 2]], probability[[0, 2]])
    torch.testing.assert_close(scores[1], cosine[1])


def test_one_network_can_do_both(encoder: EmbeddedTextEncoder, clap: SoundClassifier) -> None:
    scorer = AudioTextScorer(clap, encoder)
    assert scorer.classifier is scorer.clap is clap


def test_a_prompt_without_a_known_class_is_scored_by_nearness_alone(
    scorer: AudioTextScorer, audio: torch.Tensor, caplog: pytest.LogCaptureFixture
) -> None:
    prompts = ["a leaking faucet"] * 3
    assert scorer.classes_of(prompts[0]) == []
    with caplog.at_level(logging.WARNING):
        scores = scorer(audio, 16000, prompts)
    assert not caplog.records
    torch.testing.assert_close(scores, scorer.similarity(audio, 16000, prompts))
    assert len(scores.unique()) == 3


@pytest.mark.parametrize("prompt", ["", "  "])
def test_an_empty_prompt_scores_all_the_same(
    scorer: AudioTextScorer, audio: torch.Tensor, prompt: str
) -> None:
    assert scorer(audio, 16000, [prompt] * 3).tolist() == [0.0, 0.0, 0.0]


def test_a_sound_scores_in_a_batch_as_it_does_alone(scorer: AudioTextScorer, audio: torch.Tensor) -> None:
    prompts = ["rain", "a leaking faucet", ""]
    alone = [scorer(audio[row : row + 1], 16000, [prompts[row]]) for row in range(3)]
    torch.testing.assert_close(scorer(audio, 16000, prompts), torch.cat(alone), atol=1e-4, rtol=1e-4)


def test_any_rate_channels_and_length(scorer: AudioTextScorer) -> None:
    for shape, rate in (((1, 2, 44100), 44100), ((1, 1, 10), 16000), ((1, 1, 24000), 8000)):
        score = scorer(torch.randn(shape) / 10, rate, ["rain"])
        assert 0 <= float(score) <= 1
        near = scorer(torch.randn(shape) / 10, rate, ["a leaking faucet"])
        assert -1 <= float(near) <= 1


def test_a_network_of_other_captions_is_refused(encoder: EmbeddedTextEncoder) -> None:
    with pytest.raises(ValueError, match="vectors of 0 numbers, but the text encoder of 256; give the two"):
        AudioTextScorer(text_encoder=encoder, clap=SoundClassifier(**CLASSES))
    with pytest.raises(ValueError, match="vectors of 8 numbers"):
        AudioTextScorer(text_encoder=encoder, clap=SoundClassifier(**CLASSES, text_dim=8))


def test_it_chooses_between_candidates(scorer: AudioTextScorer, tiny_model: AudioGen) -> None:
    found = tiny_model.generate("a leaking faucet", 0.5, seed=1, candidates=3, rerank=scorer)
    rows = tiny_model.generate("a leaking faucet", 0.5, seed=1, num_samples=3)
    scores = scorer(rows.samples, rows.sample_rate, rows.prompts)
    assert found.scores == pytest.approx([float(scores.max())], abs=1e-5)
    assert found.seeds == [rows.seeds[int(scores.argmax())]]


def test_what_ships_finds_the_sound_that_was_asked_for() -> None:
    scorer = AudioTextScorer()
    names = ["church_bell", "wind", "telephone_ring", "siren"]
    clips = [FoleyCorpus(classes=[name], compositions={"single": 1.0})[0] for name in names]
    audio = torch.stack([torch.from_numpy(clip.audio) for clip in clips]).unsqueeze(1)
    for wanted, prompt in enumerate(["a church bell tolls", "wind blows", "a telephone rings", "a siren"]):
        scores = scorer(audio, 16000, [prompt] * len(names))
        assert int(scores.argmax()) == wanted
