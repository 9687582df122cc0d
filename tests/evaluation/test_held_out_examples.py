"""Held-out clips of the corpus."""

from __future__ import annotations

import pytest

from soundloom.evaluation.held_out_examples import held_out_examples
from soundloom.recipes.foley import FoleyCorpus


def test_held_out_clips_cover_every_class_and_share_no_caption_with_training():
    examples = held_out_examples(2, seconds=0.6)
    assert [example.label for example in examples[::2]] == FoleyCorpus().class_names
    assert len({example.name for example in examples}) == len(examples) == 112
    training = FoleyCorpus(split="train", seed=100)
    seen = {training.caption(i).lower().rstrip(".") for i in range(500)}
    assert not seen & {example.caption.lower().rstrip(".") for example in examples}


def test_held_out_clips_are_those_of_the_corpus():
    example = held_out_examples(2, seconds=0.6)[7]  # the second clip of the fourth class
    name = FoleyCorpus().class_names[3]
    corpus = FoleyCorpus(seconds=0.6, seed=90_003, split="test", compositions={"single": 1.0}, classes=[name])
    samples, rate = example.read()
    assert (example.label, example.caption, rate) == (name, corpus[1].caption, 16000)
    assert samples.shape == (1, 9600)
    assert samples[0].tolist() == corpus[1].audio.tolist()


def test_zero_clips_are_refused():
    with pytest.raises(ValueError, match="--per-class is 0; it must be 1 or more"):
        held_out_examples(0)
