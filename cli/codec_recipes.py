"""Recipes and options of codecs from the time when all settings of a trainer were arguments of its own."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from ..codecs.moved_settings import MOVED_SETTINGS, nested_settings, present_name


def with_present_names(content: str) -> str:
    """A recipe's YAML with the settings of a codec's trainer under today's names; others as they are."""
    import yaml

    try:
        recipe = yaml.safe_load(content)
    except yaml.YAMLError:  # the parser says what is wrong with it
        return content
    model: Any = recipe.get("model") if isinstance(recipe, dict) else None
    settings: Any = model.get("init_args") if isinstance(model, dict) else None
    trainer = _trainer(model.get("class_path")) if isinstance(settings, dict) else None
    if trainer is None or not MOVED_SETTINGS[trainer].keys() & settings.keys():
        return content
    recipe["model"] = {**model, "init_args": nested_settings(trainer, settings)}
    return yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True)


def present_words(words: Sequence[str], class_path: str | None) -> list[str]:
    """Command-line words under today's names: `--model.learning_rate` is `--model.optimizer.init_args.lr`.

    Args:
        words: of a training command.
        class_path: of the recipe's model; those of other models stay as they are.
    """
    trainer = _trainer(class_path)
    if trainer is None:
        return list(words)
    found = []
    for word in words:
        option, equals, value = word.partition("=")
        if match := re.fullmatch(r"--model\.(?:init_args\.)?([\w.]+)", option):
            option = f"--model.{present_name(trainer, match[1])}"
        found.append(f"{option}{equals}{value}")
    return found


def _trainer(class_path: Any) -> str | None:
    """The name of a codec's trainer, if this is one whose settings have moved."""
    name = str(class_path).rpartition(".")[2]
    return name if name in MOVED_SETTINGS else None
