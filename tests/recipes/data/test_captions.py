"""Captions out of sentences, tags and titles; the paper's key words."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundloom.recipes.data.captions import captions_of, join_tags, normalize_caption, split_tags


@pytest.mark.parametrize(
    ("entry", "captions"),
    [
        ({"text": "a dog  barks\n"}, ("a dog barks",)),
        ({"Description": "rain"}, ("rain",)),
        ({"description": ["rain", "a shower", "rain"]}, ("rain", "a shower")),
        ({"caption": "rain", "captions": ["rain", "a shower"]}, ("rain", "a shower")),
        ({"captions": ["rain", "a shower"], "caption": "rain", "title": "x"}, ("rain", "a shower")),
        ({"description": "rain", "keywords": "rain, thunder"}, ("rain",)),
        ({"description": "", "keywords": "Dog, Bark|park"}, ("dog bark park",)),
        ({"description": None, "tags": ["car_horn", "Street"]}, ("car horn street",)),
        ({"keywords": [], "title": "Night train"}, ("Night train",)),
        ({"title": "Night train", "name": "x"}, ("Night train",)),
        ({"text": 3, "keywords": {"a": 1}, None: ["surplus"]}, ()),
        ({}, ()),
    ],
)
def test_captions_of_an_entry(entry: dict[Any, Any], captions: tuple[str, ...]) -> None:
    assert captions_of(entry) == captions


@given(
    st.dictionaries(
        st.sampled_from(["text", "captions", "keywords", "title", "other"]) | st.none(),
        st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.text() | st.integers()),
    )
)
def test_any_entry_gives_clean_distinct_captions(entry: dict[Any, Any]) -> None:
    captions = captions_of(entry)
    assert len(set(captions)) == len(captions)
    assert all(caption and caption == " ".join(caption.split()) for caption in captions)


def test_tags_become_a_pseudo_sentence() -> None:
    assert split_tags("Dog, Bark |park;\nnight,") == ["Dog", "Bark", "park", "night"]
    assert join_tags(["dog", "bark", "park"]) == "dog bark park"
    assert join_tags(["Dog", "bark_(outdoors)", "dog", "R&B/pop", " "]) == "dog bark outdoors r b pop"


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("A dog is barking at the park", "dog bark park"),  # the paper's example
        ("Two dogs bark 3 times, then birds are singing", "dog bark time bird sing"),
        ("The 2nd wave's crash on rocks", "wave crash rock"),
        ("children's voices in a glass hall", "child voice glass hall"),
        ("a high-pitched beep", "high-pitched beep"),
        ("It isn’t on", "It isn’t on"),  # nothing would be left
        ("12", "12"),
    ],
)
def test_normalized_captions(text: str, normal: str) -> None:
    assert normalize_caption(text) == normal


def test_normalizing_without_its_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lemminflect", None)
    with pytest.raises(ModuleNotFoundError, match=r"soundloom\[captions\]"):
        normalize_caption("qwertzing sounds")
