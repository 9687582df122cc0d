"""Old names of a class's settings: recipes, checkpoints and options that have them are read under today's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class MovedSettings:
    """Where settings of one class are today, that were arguments of its own.

    Args:
        paths: name then -> dotted name now. The others are called what they were.
        defaults: what a part has where it is made for an old setting and nothing else is said of it.
        converted: gives old settings the values that mean the same today.
    """

    paths: Mapping[str, str] = field(default_factory=dict)
    defaults: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    converted: Callable[[dict[str, Any]], dict[str, Any]] = dict

    def nested(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Settings under today's names; those that have them already stay. An old null is the default."""
        found = {name: value for name, value in settings.items() if name not in self.paths}
        old = {name: settings[name] for name in self.paths if name in settings}
        for name, value in self.converted(old).items():
            *parents, last = self.paths[name].split(".")
            part = found
            for depth, parent in enumerate(parents):
                defaults = self.defaults.get(parent, {}) if depth == 0 else {}
                part[parent] = dict(part[parent] if part.get(parent) else deepcopy(defaults))
                part = part[parent]
            if isinstance(value, Mapping):
                part[last] = {**(part.get(last) or {}), **value}
            elif value is not None:
                part[last] = value
            elif parents:
                part.pop(last, None)
        return found

    def present_name(self, name: str) -> str:
        """The dotted name of a setting today: "dim" -> "lm.dim", "export_settings.x" -> "export.x"."""
        first, dot, rest = name.partition(".")
        return self.paths.get(first, first) + dot + rest
