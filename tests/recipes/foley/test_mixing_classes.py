"""The classes of a training mix, and how a recording finds its own."""

from __future__ import annotations

from dataclasses import replace

import pytest

from soundloom.evaluation.tags import check_tags
from soundloom.evaluation.yamnet import YAMNet
from soundloom.recipes.foley import CLASSES
from soundloom.recipes.foley.mixing_classes import RECORDED, class_of_recording, mixing_classes
from tests.tiny_yamnet import TinySession


def test_classes_of_recordings_stand_beside_those_of_the_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    classes, tagger = mixing_classes(), YAMNet(TinySession())
    assert set(classes) == {*CLASSES, *(mixed.name for mixed in RECORDED)}
    assert len(classes) == len(CLASSES) + len(RECORDED)
    for mixed in classes.values():
        check_tags(tagger, mixed.tags)
    assert not any(mixed.renderings for mixed in RECORDED)
    monkeypatch.setitem(CLASSES, "dog", replace(CLASSES["dog"], rendered=False))
    assert not mixing_classes()["dog"].renderings
    assert mixing_classes()["cat"].renderings
    assert not mixing_classes()["owl"].renderings  # of which renderings are not heard as owls


@pytest.mark.parametrize(
    ("caption", "sound_class", "expected"),
    [
        ("a baby cries", "voice", "cry"),
        ("evil laugh", "", "laugh"),
        ("a sneeze", "voice", "sneeze"),
        ("a wooden door opens", "door", "door"),
        ("an old door creaking", "door", "creak"),
        ("metal lid drop", "metal", "metal"),
        ("cookie lid", "metal", "metal"),
        ("crumpled bag", "paper_cloth", "crumple"),
        ("a fast swoosh", "swoosh_hit", "whoosh"),
        ("a squeaky toy", "toy", "squeak"),
        ("glass breaking on stones", "glass_breaking", "glass_breaking"),
        ("kaos pad", "other", None),
        ("", "", None),
    ],
)
def test_a_recording_finds_its_class(caption: str, sound_class: str, expected: str | None) -> None:
    assert class_of_recording(caption, sound_class) == expected
