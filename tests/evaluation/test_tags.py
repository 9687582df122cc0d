"""What a tagger hears: agreement of pairs, and whether what was wanted is heard."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from soundloom.evaluation.tags import TagAccuracy, TagAgreement, check_tags, first_tags

RATE = 16000


class Counting:
    """Knows six tags, of which the scores are a sound's first samples."""

    name, sample_rate, tag_names = "counting", RATE, ["Dog", "Bark", "Rain", "Wind", "Bell", "Hum"]

    def tags(self, audio: Tensor) -> Tensor:
        return audio[:, :6]


def scored(*rows: list[float]) -> Tensor:
    return torch.tensor(rows)[:, None]


def test_agreement_is_that_of_the_first_tags_and_of_all_scores() -> None:
    agreement = TagAgreement(Counting())
    first = [0.9, 0.5, 0.1, 0.1, 0.0, 0.0]
    agreement.update(scored(first), RATE, scored(first))
    assert agreement.report() == {
        "same_first": 1.0,
        "correlation": pytest.approx(1.0),
        "tagger": "counting",
        "sample_rate": RATE,
        "tags": 6,
        "pairs": 1,
    }
    other = [0.5, 0.9, 0.1, 0.1, 0.0, 0.0]
    agreement.update(scored(first, first), RATE, scored(other, first))
    expected = float(torch.corrcoef(torch.tensor([first, other], dtype=torch.float64))[0, 1])
    assert agreement.report()["same_first"] == pytest.approx(2 / 3)
    assert agreement.report()["correlation"] == pytest.approx((2 + expected) / 3, abs=1e-6)
    with pytest.raises(ValueError, match="1 sounds and 2 references; give each sound"):
        agreement.update(scored(first), RATE, scored(first, first))


def test_the_first_tags_come_in_the_order_of_their_scores() -> None:
    heard = first_tags(Counting(), scored([0.1, 0.9, 0.5, 0.5, 0.0, 0.2]), RATE)
    assert heard == [["Bark", "Rain", "Wind", "Hum", "Dog"]]


def test_accuracy_counts_any_right_tag_first_and_among_five() -> None:
    accuracy = TagAccuracy(Counting())
    heard = [["Bark", "Rain"], ["Rain", "Bark"], ["Hum", "Wind", "Rain", "Dog", "Bark", "Bell"]]
    accuracy.update(heard, [["Dog", "Bark"], ["Bark"], ["Bell"]])
    assert accuracy.report() == {
        "first": pytest.approx(1 / 3),
        "among_five": pytest.approx(2 / 3),
        "tagger": "counting",
        "sample_rate": RATE,
        "sounds": 3,
    }
    with pytest.raises(ValueError, match="1 sounds and tags for 2"):
        accuracy.update([["Bark"]], [["Dog"], ["Dog"]])


def test_tags_that_the_tagger_cannot_give_are_refused() -> None:
    check_tags(Counting(), ["Dog", "Rain"])
    with pytest.raises(ValueError, match="counting knows no tag 'Barks'; did you mean 'Bark'"):
        check_tags(Counting(), ["Dog", "Barks"])
    with pytest.raises(ValueError, match="no tag is given that is right"):
        check_tags(Counting(), [])
