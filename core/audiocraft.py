"""Read a checkpoint that AudioCraft published, without running or resolving what could do harm.

Such a file is a torch.save of a plain dict: `best_state` (the state dict) and `xp.cfg` (the training run's
YAML, written for OmegaConf and unresolved). It comes from elsewhere, so it must not look into the environment
or call anything: only plain references are followed.
"""

from __future__ import annotations

import logging
import re
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from torch import Tensor

from .checkpoint import read_torch
from .errors import ModelError

logger = logging.getLogger(__name__)

# ${key} or ${section.key}, and nothing else in the value: no resolver, no nesting, no text around it.
_REFERENCE = re.compile(r"\$\{\s*([A-Za-z_][\w-]*(?:\.\w[\w-]*)*)\s*\}")
MAX_VALUES = 10_000  # of one section, after references: lists that refer to lists could grow without end

Number = TypeVar("Number", int, float)


def read_published(path: Path, kind: str) -> tuple[dict[str, Tensor], PublishedConfig]:
    """The weights of a published checkpoint, mapped into memory where its format allows it, and its settings.

    Args:
        path: the file.
        kind: what it should be, for messages, such as "AudioGen model".

    Raises:
        ModelError: it is truncated, damaged or no such checkpoint; the message names the file.
    """
    # Only the zip format that torch has written since 1.6 can be mapped.
    package = read_torch(path, mapped=zipfile.is_zipfile(path))
    if isinstance(package, dict) and "pretrained" in package and "best_state" not in package:
        raise ModelError(
            f"{path} holds no weights but names another model ({package['pretrained']!r}); load that one "
            "instead"
        )
    if not isinstance(package, dict) or not {"best_state", "xp.cfg"} <= package.keys():
        raise ModelError(f"{path} is no published {kind}: it lacks the keys 'best_state' and 'xp.cfg'")
    return dict(package["best_state"]), PublishedConfig(package["xp.cfg"], str(path))


def warn_of_unknown(where: str, unknown: Mapping[str, Any]) -> None:
    """Log the settings that `PublishedConfig.unknown` found in a file, if any."""
    if unknown:
        logger.warning(
            "%s: its configuration has settings that this version of soundloom does not know and leaves out "
            "of account: %s. If the result sounds wrong, this may be why",
            where,
            ", ".join(f"{key} = {value!r}" for key, value in unknown.items()),
        )


class PublishedConfig:
    """The YAML of `xp.cfg`, read key by key.

    A value that is exactly `${sample_rate}` or `${encodec.channels}` stands for that key of the same file.
    Whatever else holds `${`, above all calls such as `${oc.env:USER}`, is never resolved and counts as
    absent, like `???` and null.

    Args:
        text: the YAML.
        where: the file, for messages.

    Raises:
        ValueError: it is no YAML mapping.
    """

    def __init__(self, text: str, where: str) -> None:
        from omegaconf import OmegaConf  # imported where a published model is read: half a second

        self.where = where
        try:
            content = OmegaConf.to_container(OmegaConf.create(text), resolve=False)
        except Exception as error:  # any fault of the YAML parser; all mean the same to the user
            raise ModelError(f"{where}: its configuration (xp.cfg) cannot be read ({error})") from error
        if not isinstance(content, dict):
            raise ModelError(
                f"{where}: its configuration (xp.cfg) is a {type(content).__name__}, not a mapping"
            )
        self._content = content

    def read(self, key: str, default: Any, *, strict: bool = False) -> Any:
        """The value of a dotted key, references followed, or the default when it is absent.

        Args:
            key: such as "seanet.dimension".
            default: returned for what counts as absent.
            strict: refuse a value that is there but is not resolved, instead of taking the default.

        Raises:
            ValueError: a reference leads to nothing, in a circle, or to too many values; or see `strict`.
        """
        value = self._find(key, _Query(key, strict), ())
        return default if value is None else value

    def number(self, key: str, default: Number, *, strict: bool = False) -> Number:
        """The value of a dotted key as a number of the default's type; arguments and errors as for `read`."""
        value = self.read(key, default, strict=strict)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ModelError(f"{self.where}: {key} of its configuration is {value!r}, which is no number")
        return type(default)(value)

    def require(self, key: str, default: Any, allowed: Sequence[Any]) -> None:
        """Raise ValueError unless the key has one of the allowed values or is absent."""
        value = self.read(key, default)
        if value not in allowed:
            raise ModelError(
                f"{self.where}: {key} is {value!r}, which is not supported; "
                f"supported: {', '.join(map(repr, allowed))}"
            )

    def unknown(self, known: dict[str, str]) -> dict[str, Any]:
        """Settings of some sections that are not known and not switched off: dotted key -> value.

        Args:
            known: of each section, the keys that are known, with spaces between them.
        """
        found: dict[str, Any] = {}
        for section, names in known.items():
            values = self.read(section, {})
            for key, value in values.items() if isinstance(values, dict) else ():
                if key not in names.split() and value not in (None, False, 0, "", [], {}):
                    found[f"{section}.{key}"] = value
        return found

    def _find(self, path: str, query: _Query, followed: tuple[str, ...]) -> Any:
        """The value at a dotted path, to which the references `followed` led."""
        value: Any = self._content
        for name in path.split("."):
            if isinstance(value, str):  # a section may be a reference itself
                value = self._resolve(value, query, followed)
            if not isinstance(value, dict) or name not in value:
                if not followed:
                    return None
                raise ModelError(
                    f"{self.where}: {query.key} of its configuration refers to {path!r}, which is not there"
                )
            value = value[name]
        return self._resolve(value, query, followed)

    def _resolve(self, value: Any, query: _Query, followed: tuple[str, ...]) -> Any:
        """A value with the references in it followed; None for what counts as absent."""
        query.left -= 1
        if query.left < 0:
            raise ModelError(
                f"{self.where}: {query.key} of its configuration has more than {MAX_VALUES} values, "
                "which no published model needs"
            )
        if isinstance(value, dict):
            return {name: self._resolve(entry, query, followed) for name, entry in value.items()}
        if isinstance(value, list):
            return [self._resolve(entry, query, followed) for entry in value]
        if not isinstance(value, str) or (value != "???" and "${" not in value):
            return value
        reference = _REFERENCE.fullmatch(value)
        if reference is None:
            if query.strict:
                raise ModelError(
                    f"{self.where}: {query.key} of its configuration is {value!r}, which is not resolved: "
                    "the file has to say the value itself"
                )
            return None
        if reference[1] in followed:
            raise ModelError(
                f"{self.where}: {query.key} of its configuration refers to itself: "
                + " -> ".join([*followed, reference[1]])
            )
        return self._find(reference[1], query, (*followed, reference[1]))


@dataclass
class _Query:
    """What is being read: the key, whether unresolved values are refused, how many values may still come."""

    key: str
    strict: bool
    left: int = MAX_VALUES
