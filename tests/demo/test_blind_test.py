"""The blind test: what X is is drawn anew, and the verdict is the binomial test's."""

from __future__ import annotations

from math import comb
from pathlib import Path

import pytest

from soundloom.demo.ab_player import versions
from soundloom.demo.blind_test import ROUNDS, BlindTest
from soundloom.demo.temporary_files import Shelf


@pytest.mark.parametrize("right", [10, 9, 8, 5, 0])
def test_the_p_value_is_that_of_guessing(right: int) -> None:
    test = BlindTest(Path("a"), Path("b"), ["a"] * ROUNDS, ["a"] * right + ["b"] * (ROUNDS - right))
    assert test.done
    assert test.right == right
    assert test.p_value == pytest.approx(sum(comb(10, k) for k in range(right, 11)) / 1024)
    verdict = test.verdict()
    assert f"**{right} of 10 right** (p = {test.p_value:.3f})" in verdict
    assert ("you very likely hear a difference" in verdict) == (right >= 9)
    assert verdict.count("right,") + verdict.count("right.") >= right - 1


def test_x_is_either_and_its_name_tells_nothing(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / f"{name}.wav").write_text(name)
    test, shelf = BlindTest(tmp_path / "a.wav", tmp_path / "b.wav"), Shelf()
    files = [test.next_round(shelf) for _ in range(40)]
    shelf_names = {file.name for file in files}
    assert shelf_names == {"x.wav"}
    assert [file.read_text() for file in files] == test.hidden
    assert set(test.hidden) == {"a", "b"}
    value = versions(test.a, test.b, files[0])
    assert list(value) == ["a", "b", "x"]
    assert value["x"]["path"] == str(files[0])
    shelf.close()
