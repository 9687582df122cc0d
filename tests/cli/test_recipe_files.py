"""Recipes that extend others, and words of the command line under older names."""

from __future__ import annotations

from pathlib import Path

import pytest

from soundloom.cli.command import CommandError
from soundloom.cli.recipe_files import RECIPES, laid_over, present_words, read_recipe

FOLEY = str(RECIPES / "audiogen_foley.yaml")


def test_a_recipe_says_only_what_it_does_otherwise(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(
        "model: {class_path: a.B, init_args: {x: 1, y: [1, 2]}}\ntrainer: {max_steps: 1e3, root: runs/base}\n"
    )
    upper = tmp_path / "upper.yaml"
    upper.write_text(
        "extends: base.yaml\nmodel: {init_args: {y: [3], z: '${trainer.root}'}}\n"
        "trainer: {root: runs/upper}\n"
    )
    assert read_recipe(upper) == {
        "model": {"class_path": "a.B", "init_args": {"x": 1, "y": [3], "z": "${trainer.root}"}},
        "trainer": {"max_steps": 1000.0, "root": "runs/upper"},
    }
    third = tmp_path / "third.yaml"
    third.write_text("extends: upper.yaml\nmodel: {class_path: a.C, init_args: {w: 1}}\n")
    assert read_recipe(third)["model"] == {"class_path": "a.C", "init_args": {"w": 1}}
    assert laid_over({"a": {"b": 1}}, {"a": None}) == {"a": None}


def test_a_recipe_of_the_package_is_extended_by_its_name(tmp_path: Path) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text("extends: audiogen_large\ntrainer: {default_root_dir: runs/mine}\n")
    found = read_recipe(mine)
    assert found["model"]["init_args"]["lm"]["dim"] == 1280
    assert found["model"]["init_args"]["text"] == {"encoder": "t5-large"}
    assert found["trainer"]["max_steps"] == 200_000
    assert found["trainer"]["default_root_dir"] == "runs/mine"


def test_what_cannot_be_extended_is_named(tmp_path: Path) -> None:
    one, other = tmp_path / "one.yaml", tmp_path / "other.yaml"
    one.write_text("extends: other.yaml\n")
    other.write_text("extends: one.yaml\n")
    with pytest.raises(CommandError, match="extends it in turn"):
        read_recipe(one)
    one.write_text("extends: audiogen_lage\n")
    with pytest.raises(CommandError, match=r"no recipe 'audiogen_lage'; did you mean audiogen_large"):
        read_recipe(one)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["--model.dim", "64"], ["--model.lm.dim", "64"]),
        (["--model.init_args.dim=64"], ["--model.lm.dim=64"]),
        (["--model.learning_rate=1e-3"], ["--model.optimizer.init_args.lr=1e-3"]),
        (["--model.codebook_weights", "null"], ["--model.objective", "{codebook_weights: null}"]),
        (["--model.text.settings=null"], ["--model.text={settings: null}"]),
        (["--model.export_settings.top_k=3"], ["--model.export.top_k=3"]),
        (["--model.codec", "null"], ["--model.codec", "null"]),
        (["--data.train_dirs", "[x]"], ["--data.folders", "[x]"]),
        (["--trainer.max_steps", "3"], ["--trainer.max_steps", "3"]),
    ],
    ids=lambda words: words[0],
)
def test_older_names_are_understood(given: list[str], expected: list[str]) -> None:
    assert present_words(["fit", "--config", FOLEY, *given]) == ["fit", "--config", FOLEY, *expected]


def test_words_for_other_models_stay() -> None:
    words = ["fit", "--config", str(RECIPES / "classifier.yaml"), "--model.learning_rate", "1e-3"]
    assert present_words(words) == words
