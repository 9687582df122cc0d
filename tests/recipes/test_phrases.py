"""Phrases of WordNet and captions."""

from __future__ import annotations

from pathlib import Path

import pytest

from soundloom.recipes.phrases import LONGEST, PhraseMaker, present_participle, read_wordnet

NOUNS = """\
  1 This line is of the licence.
00015388 05 n 02 dog 0 domestic_dog 0 001 @ 00004475 n 0000 | a member of the genus Canis (with teeth); "the dog barked all night"
00021265 06 n 01 kettle 0 001 @ 00004475 n 0000 | a metal pot for boiling water
00007846 17 n 01 hill 0 001 @ 00004475 n 0000 | a local elevation of the land
00002137 09 n 01 abstraction 0 001 @ 00001740 n 0000 | a general concept formed by extracting common features from very many specific examples of it
"""
VERBS = """\
01885845 38 v 01 run_up 0 001 @ 01831531 v 0000 01 + 02 00 | move upward fast; "he ran up the hill"
00004227 42 v 01 be 0 001 @ 01831531 v 0000 01 + 02 00 | have the quality of being
"""
ADJECTIVES = '00001740 00 a 01 rusty(a) 0 001 = 05616246 n 0000 | covered with rust; "a rusty machine"\n'


@pytest.fixture
def wordnet(tmp_path: Path) -> Path:
    for name, content in (("noun", NOUNS), ("verb", VERBS), ("adj", ADJECTIVES), ("adv", "")):
        (tmp_path / f"data.{name}").write_text(content, encoding="latin1")
    return tmp_path


def test_words_are_sorted_by_what_they_stand_for(wordnet: Path) -> None:
    lexicon = read_wordnet(wordnet)
    assert lexicon.things == ["dog", "domestic dog", "kettle", "hill"]
    assert lexicon.places == ["kettle", "hill"]
    assert lexicon.deeds == ["run up"]  # not "be"
    assert lexicon.qualities == ["rusty"]
    assert "the dog barked all night" in lexicon.sentences
    assert "a member of the genus Canis" in lexicon.sentences  # without what stands in brackets
    assert all(len(text.split()) <= LONGEST for text in lexicon.sentences)


def test_a_missing_database_is_named_with_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="data.noun is missing.*wordnet-base"):
        read_wordnet(tmp_path)


@pytest.mark.parametrize(
    ("verb", "expected"),
    [
        ("run up", "running up"),
        ("bake", "baking"),
        ("lie", "lying"),
        ("see", "seeing"),
        ("ring", "ringing"),
        ("hop", "hopping"),
    ],
)
def test_present_participles(verb: str, expected: str) -> None:
    assert present_participle(verb) == expected


def test_phrases_are_distinct_repeatable_and_hold_what_was_given(wordnet: Path) -> None:
    captions = [f"a dog barks {number} times" for number in range(60)]
    lexicon = read_wordnet(wordnet)
    made = PhraseMaker(lexicon, captions, seed=1).phrases(200)
    assert made == PhraseMaker(lexicon, captions, seed=1).phrases(200)
    assert made != PhraseMaker(lexicon, captions, seed=2).phrases(200)
    assert len(set(made)) == len(made) == 200
    assert len(set(captions) & set(made)) >= 40
    assert "the dog barked all night" in made
    assert any("running up" in phrase for phrase in made)
    assert all(phrase == " ".join(phrase.split()) and phrase for phrase in made)


def test_without_captions_phrases_are_of_the_lexicon(wordnet: Path) -> None:
    assert len(PhraseMaker(read_wordnet(wordnet)).phrases(100)) == 100
    with pytest.raises(ValueError, match="count is 0"):
        PhraseMaker(read_wordnet(wordnet)).phrases(0)
