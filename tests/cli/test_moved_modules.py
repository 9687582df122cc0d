"""Class paths of recipes and checkpoints from before modules moved."""

from __future__ import annotations

import argparse
import importlib.util
import sys

import pytest

from soundloom import ClassifierScorer
from soundloom.cli.embedder_option import embedder
from soundloom.cli.moved_modules import MOVED, know_moved_modules
from soundloom.cli.options import add_classifier
from soundloom.cli.recipe_files import bundled_recipe
from soundloom.core.checkpoint import BUNDLED_MODELS
from soundloom.core.hub import resolve_model
from soundloom.gen import JudgeScorer
from soundloom.gen.training.module import AudioGenModule


def test_old_class_paths_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    for old in MOVED:
        monkeypatch.delitem(sys.modules, old, raising=False)
        assert importlib.util.find_spec(old) is None, f"{old} is there again: it needs no other name"
    know_moved_modules()
    assert importlib.import_module("soundloom.gen.module").AudioGenModule is AudioGenModule


def test_old_names_are_still_understood() -> None:
    assert issubclass(JudgeScorer, ClassifierScorer)
    for name in ("judge", "judge.yaml", "recipes/judge.yaml", "classifier"):
        assert bundled_recipe(name).name == "classifier.yaml"
    assert resolve_model("foley-judge", BUNDLED_MODELS) == resolve_model("foley-classifier", BUNDLED_MODELS)
    parser = argparse.ArgumentParser()
    add_classifier(parser, "classifier")
    assert parser.parse_args(["--judge", "mine"]).classifier == "mine"
    assert parser.parse_args([]).classifier == "foley-classifier"
    assert "judge" not in parser.format_help()
    assert embedder("judge") == "classifier"
