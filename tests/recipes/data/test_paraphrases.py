"""Many captions out of one: grammar, words that people type, what a clip adds, and what is never said."""

from __future__ import annotations

import re

import numpy as np
import pytest

from soundloom.evaluation.prompts import read_prompts
from soundloom.recipes.data.paraphrases import Heard, comparable, draw_captions, ing_form, wording_of
from soundloom.recipes.data.synonyms import SYNONYMS, labels_for

# Captions as recordings have them: with and without verb, article and plural.
CAPTIONS = (
    "a cat meows", "a dog barks", "a dog barking", "wolves howl", "a door slams", "hitting metal",
    "metal scrape", "a piano", "a horse neighs", "pouring beer", "birds singing at dawn",
    "a closing door", "distant thunder", "an electronic drilling noise", "a leopard's rough call",
    "the strange singing of a lake", "a sneeze", "a toilet flushing", "a clock ticks",
    "A V8 engine running.", "chains", "a glass being hit", "rain", "a tiger growls", "people laughing",
    "a cow moos", "pigs oink", "ducks quack", "a frog croaks", "crickets chirping", "an owl hoots",
    "a train passing", "clapping hands", "keys jingling", "a fire crackling", "sea waves", "a gunshot",
)  # fmt: skip
PROMPTS = {comparable(row.prompt) for row in read_prompts()}


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def drawn(caption: str, number: int = 200, **heard: object) -> list[str]:
    part = Heard(wording_of([caption]), **heard)
    return draw_captions(rng(), [part], number=number, excluded=PROMPTS)


@pytest.mark.parametrize(
    ("caption", "label", "noun_phrase", "clause"),
    [
        ("a dog barks", "dog barking", "a dog barking", "a dog is barking"),
        ("a dog barking loudly", "dog barking loudly", "a dog barking loudly", "a dog is barking loudly"),
        ("wolves howl", "wolves howling", "wolves howling", "wolves are howling"),
        ("a door slams twice", "door slamming twice", "a door slamming twice", "a door is slamming twice"),
        ("chopping wood", "chopping wood", "someone chopping wood", "someone is chopping wood"),
        ("a glass being hit", "glass being hit", "a glass being hit", "a glass is being hit"),
        ("metal scrape", "metal scraping", "a metal scrape", None),
        ("a piano", "piano", "a piano", None),
        ("A heavy Door.", "heavy Door", "a heavy Door", None),
    ],
)  # fmt: skip
def test_a_caption_is_put_into_other_forms(
    caption: str, label: str, noun_phrase: str, clause: str | None
) -> None:
    wording = wording_of([caption])
    assert label in wording.labels
    assert noun_phrase in wording.noun_phrases
    assert (clause in wording.clauses) if clause else not wording.clauses


@pytest.mark.parametrize(
    "caption",
    [
        "a leopard's rough call",
        "an electronic drilling noise",
        "a closing door",
        "the strange singing of a lake",
        "a music box",
    ],
)
def test_what_is_no_sentence_is_not_made_one(caption: str) -> None:
    assert wording_of([caption]).clauses == ()


@pytest.mark.parametrize(
    ("verb", "participle"),
    [
        ("barks", "barking"),
        ("closes", "closing"),
        ("cries", "crying"),
        ("slams", "slamming"),
        ("drops", "dropping"),
        ("croak", "croaking"),
        ("hisses", "hissing"),
        ("screeches", "screeching"),
        ("scrape", "scraping"),
        ("gallops", "galloping"),
        ("opens", "opening"),
        ("snaps", "snapping"),
        ("flies", "flying"),
    ],
)
def test_participles(verb: str, participle: str) -> None:
    assert ing_form(verb) == participle


@pytest.mark.parametrize("caption", CAPTIONS)
def test_there_are_many_captions_all_different(caption: str) -> None:
    captions = drawn(caption, number=8)
    assert len(captions) == 8
    assert len({comparable(text) for text in captions}) == 8
    if comparable(caption) not in PROMPTS:
        assert comparable(captions[0]) == comparable(caption)
    for text in captions:
        assert not re.search(r"[{}]|\b(a|an|the) (a|an|the)\b|  ", text), text


def test_words_that_people_type_are_among_them() -> None:
    assert "cat meowing" in [comparable(text) for text in drawn("a cat meows")]
    assert "thunder far away" in [comparable(text) for text in drawn("distant thunder")]
    assert "birdsong" in [comparable(text) for text in drawn("a bird sings")]
    assert "automobile horn" in [comparable(text) for text in drawn("a car horn")]
    assert any(text.startswith("footsteps") for text in drawn("a footstep in sand"))
    assert "a faraway explosion" in wording_of(["a distant explosion"]).noun_phrases


def test_no_prompt_of_the_evaluation_is_a_caption() -> None:
    assert len(PROMPTS) > 150
    reached = set()
    for caption in CAPTIONS:
        wording = wording_of([caption])
        reached |= {comparable(text) for text in (*wording.labels, *wording.clauses)} & PROMPTS
        for heard in ({}, {"attributes": {"motion": "passing"}}, {"attributes": {"distance": "distant"}}):
            assert not PROMPTS & {comparable(text) for text in drawn(caption, 30, **heard)}
    assert reached  # such as "horse neighing": without the check it would be one


def test_what_the_clip_adds_is_said() -> None:
    distant = drawn("a cat meows", attributes={"distance": "distant"})
    words = re.compile(r"distan|far|long way off|remote|afar")
    assert all(words.search(text.lower()) for text in distant)
    passing = drawn("a car engine", attributes={"motion": "passing"})
    assert any("passing" in text for text in passing)
    assert any("driving" in text for text in passing)
    assert not any(
        "passing passing" in text for text in drawn("a train passing", attributes={"motion": "passing"})
    )
    three = drawn("a dog barks", count=3)
    assert any("three times" in text for text in three)
    assert any("repeatedly" in text for text in three)
    assert not any("twice" in text for text in three)


@pytest.mark.parametrize(
    ("composition", "pattern"),
    [
        ("then", r"then|follow|after|before|next|later|finally"),
        ("background", r"background|over|in front|behind|above"),
        ("while", r"cat|meow|kitty"),
    ],
)
def test_two_sounds_are_named_with_what_joins_them(composition: str, pattern: str) -> None:
    parts = [Heard(wording_of(["a cat meows"])), Heard(wording_of(["a train"]))]
    captions = draw_captions(rng(), parts, composition, number=60, excluded=PROMPTS)
    for text in captions:
        assert re.search(pattern, text.lower()), text
        assert re.search(r"cat|meow|kitty", text.lower()), text
        assert re.search(r"train|railway", text.lower()), text
    if composition == "while":  # AudioGen's: the captions, and nothing else
        joined = {f"{one} {other}" for one in parts[0].wording.labels for other in parts[1].wording.labels}
        assert joined & set(captions)


def test_a_recording_of_which_nothing_may_be_said_is_named() -> None:
    part = Heard(wording_of(["blizzard"]))
    everything = {comparable(text) for text in draw_captions(rng(), [part], number=100)}
    with pytest.raises(ValueError, match="every caption of 'blizzard' is excluded"):
        draw_captions(rng(5), [part], number=1, excluded=everything | {"blizzard"} | _all_styles(part))
    with pytest.raises(ValueError, match="without a caption"):
        wording_of([" "])


def _all_styles(part: Heard) -> set[str]:
    return {comparable(text) for seed in range(200) for text in draw_captions(rng(seed), [part], number=8)}


def test_the_table_of_synonyms_is_sound() -> None:
    for pattern, labels in SYNONYMS.items():
        re.compile(pattern)
        assert len(set(labels)) == len(labels) >= 2, pattern
        for label in labels:
            assert label == label.strip()
            assert label
    assert "gun" in labels_for("a rifle shot outdoors")
    assert labels_for("a thunder drum") == ()
    assert "fire" not in labels_for("a fire hose")
