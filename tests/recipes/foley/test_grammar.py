"""Captions are good English, say what the clip holds, and never cross from held-out splits into training."""

from __future__ import annotations

import re
import subprocess
import sys

import numpy as np
import pytest

from soundloom.recipes.foley import CLASSES, english
from soundloom.recipes.foley.corpus import FoleyCorpus
from soundloom.recipes.foley.grammar import (
    SPLITS,
    Grammar,
    Part,
    labels,
    normalise,
    plain_names,
    stable_fraction,
)
from soundloom.recipes.foley.sound_classes import SoundClass
from soundloom.recipes.foley.templates import TEMPLATES

Toys = dict[str, SoundClass]


def draw(grammar: Grammar, n: int, *args: object, **kwargs: object) -> list[str]:
    rng = np.random.default_rng(5)
    return [grammar.caption(rng, *args, **kwargs) for _ in range(n)]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("phrase", "adjectives", "expected"),
    [
        ("a dog", ["old"], "an old dog"),
        ("an owl", ["small", "old"], "a small old owl"),
        ("the wind", ["light"], "the light wind"),
        ("rain", ["heavy"], "heavy rain"),
        ("an engine", [], "an engine"),
        ("a bell", ["hourly"], "an hourly bell"),
        ("a man", ["one-legged"], "a one-legged man"),
    ],
)
def test_article_follows_the_adjective(phrase: str, adjectives: list[str], expected: str) -> None:
    assert english.with_adjectives(phrase, adjectives) == expected


@pytest.mark.parametrize(
    ("subject", "verb", "expected"),
    [
        ("a dog", "barks", "barks"),
        ("waves on a beach", "crashes ashore", "crash ashore"),
        ("crickets", "is chirping", "are chirping"),
        ("a pair of shoes", "squeaks", "squeaks"),
        ("glass", "breaks", "breaks"),
        ("the sea", "are raging", "is raging"),
        ("flies", "flies by", "fly by"),
        ("bubbles", "can be heard", "can be heard"),
        ("a bird", "chirp", "chirps"),
    ],
)
def test_verb_agrees_with_subject(subject: str, verb: str, expected: str) -> None:
    assert english.agree(subject, verb) == expected


def test_at_least_16_phrasings_of_every_class_without_attributes() -> None:
    grammar = Grammar(CLASSES)
    for sound in CLASSES.values():
        texts = {normalise(text) for text in draw(grammar, 60, [Part(sound)])}
        assert len(texts) >= 16, f"{sound.name}: {sorted(texts)}"


def test_every_class_has_captions_in_every_split() -> None:
    grammar = Grammar(CLASSES)
    for split in SPLITS:
        for sound in CLASSES.values():
            (text,) = draw(grammar, 1, [Part(sound)], split=split)
            assert grammar.split_of_text(text) == split


def test_held_out_captions_never_occur_in_training(toys: Toys) -> None:
    """Few words, many draws: every short caption of the toy classes appears, and each in one split only."""
    seen = {split: set[str]() for split in SPLITS}
    for split in SPLITS:
        for seed in range(2):
            corpus = FoleyCorpus(split=split, seed=seed, registry=toys)
            for i in range(150):
                seen[split].update(normalise(text) for text in corpus.caption_variants(i, 4))
    assert min(len(texts) for texts in seen.values()) > 200
    assert not seen["train"] & seen["validation"]
    assert not seen["train"] & seen["test"]
    assert not seen["validation"] & seen["test"]


def test_held_out_patterns_and_word_pairs_are_absent_from_training(toys: Toys) -> None:
    grammar = Grammar(toys)
    held_out = [t for t in TEMPLATES["single"] if grammar.is_held_out(t)]
    assert "just {np}" in held_out
    training = [normalise(t) for t in draw(grammar, 1500, [Part(toys["noise"])])]
    testing = [normalise(t) for t in draw(grammar, 1500, [Part(toys["noise"])], split="test")]
    assert not any(text.startswith("just ") for text in training)
    assert any(text.startswith("just ") for text in testing)
    for pair in (f"dog|{s}|{v}" for s in toys["dog"].subjects for v in toys["dog"].verbs):
        if grammar.is_held_out(pair):
            _, subject, verb = pair.split("|")
            assert not any(text == f"{subject} {verb}" for text in map(normalise, training))


def test_plainest_names_are_for_training(toys: Toys) -> None:
    grammar = Grammar(toys)
    assert {"dog", "dog barking", "a dog barks"} <= set(plain_names(toys["dog"]))
    assert "someone" not in plain_names(toys["door_knock"])
    for sound in toys.values():
        for name in plain_names(sound):
            assert grammar.split_of_text(name) == "train"
            assert grammar.split_of_text(name.capitalize() + ".") == "train"


def test_hash_is_the_same_in_another_process() -> None:
    code = (
        "from soundloom.recipes.foley.grammar import stable_fraction; print(stable_fraction('a dog barks'))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(result.stdout) == stable_fraction("a dog barks")


@pytest.mark.parametrize(
    ("count", "words"), [(1, "once|one|a|a single|an|single|1"), (2, "twice|two|a pair of|2")]
)
def test_counts_are_said(toys: Toys, count: int, words: str) -> None:
    for text in draw(Grammar(toys), 200, [Part(toys["dog"], {}, count)]):
        assert re.search(rf"\b({words})\b", text.lower()), text


def test_three_times(toys: Toys) -> None:
    part = Part(toys["dog"], {}, 3)
    texts = {normalise(t) for split in SPLITS for t in draw(Grammar(toys), 600, [part], split=split)}
    assert all(re.search(r"\b(three|3)\b", text) for text in texts)
    assert {"a dog barks three times", "three barks", "the sound of three barks"} <= texts
    assert not any("dog three times" in text for text in texts)  # would count dogs


def test_attributes_are_said(toys: Toys) -> None:
    part = Part(toys["dog"], {"pitch": "low", "loudness": "loud", "distance": "distant"})
    for text in draw(Grammar(toys), 200, [part]):
        assert re.search(r"\b(deep|old)\b", text.lower()), text
        assert re.search(r"\b(loud|loudly|noisy|high volume)\b", text.lower()), text
        assert re.search(r"\b(distant|faraway|distance|far away|afar)\b", text.lower()), text
    terse = draw(Grammar(toys), 200, [part], complete=False)
    assert any(not re.search("deep|old", text.lower()) for text in terse)


def test_pronouns_take_adverbs_not_adjectives(toys: Toys) -> None:
    for text in draw(Grammar(toys), 200, [Part(toys["door_knock"], {"loudness": "loud"})]):
        assert not re.search(r"(loud|noisy) some", text.lower()), text


@pytest.mark.parametrize("composition", ["then", "while", "background"])
def test_compositions_name_both_sounds(toys: Toys, composition: str) -> None:
    parts = [Part(toys["dog"]), Part(toys["noise"])]
    texts = draw(Grammar(toys), 300, parts, composition)
    for text in texts:
        assert re.search("dog|hound|puppy|bark", text.lower()), text
        assert re.search("noise|static", text.lower()), text
        assert "{" not in text
    if composition == "background":
        assert any(t.lower().rstrip(".").endswith("in the background") for t in texts)


def test_order_of_time_is_said(toys: Toys) -> None:
    parts = [Part(toys["dog"]), Part(toys["noise"])]
    for text in draw(Grammar(toys), 300, parts, "then"):
        lowered = text.lower()
        dog = re.search("dog|hound|puppy|bark", lowered)
        noise = re.search("noise|static", lowered)
        assert dog
        assert noise
        reversed_order = re.search(r"\S after (a |the |an )?\S*", lowered) and "after that" not in lowered
        assert (dog.start() < noise.start()) != bool(reversed_order), text


def test_mostly_lower_case_but_not_only(toys: Toys) -> None:
    texts = draw(Grammar(toys), 400, [Part(toys["noise"])])
    lower = sum(text[0].islower() for text in texts) / len(texts)
    stops = sum(text.endswith(".") for text in texts) / len(texts)
    assert 0.6 < lower < 0.95
    assert 0.1 < stops < 0.4
    assert not any("  " in text or " ," in text or text != text.strip() for text in texts)


def test_articles_are_right_in_real_captions() -> None:
    corpus = FoleyCorpus(seed=9)
    for i in range(150):
        for text in corpus.caption_variants(i, 2):
            for article, word in re.findall(r"\b(a|an) (\w+)", text.lower()):
                assert article == english.article(word), text


def test_tags(toys: Toys) -> None:
    assert {"dog", "puppy", "dog barking"} <= set(labels(toys["dog"]))
    assert "someone" not in labels(toys["door_knock"])


def test_wrong_number_of_parts(toys: Toys) -> None:
    with pytest.raises(ValueError, match="needs 2 part"):
        draw(Grammar(toys), 1, [Part(toys["dog"])], "then")
