"""Class paths of recipes and checkpoints from before modules moved."""

from __future__ import annotations

import importlib.util
import sys

import pytest

from soundloom.cli.moved_modules import MOVED, know_moved_modules
from soundloom.gen.training.module import AudioGenModule


def test_old_class_paths_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    for old in MOVED:
        monkeypatch.delitem(sys.modules, old, raising=False)
        assert importlib.util.find_spec(old) is None, f"{old} is there again: it needs no other name"
    know_moved_modules()
    assert importlib.import_module("soundloom.gen.module").AudioGenModule is AudioGenModule
