"""The prompts that the page offers: those that the shipped model does best, as measured.

presets.json is written by `python benchmarks/presets.py`, which makes several sounds of every candidate and
lets a tagger that knows nothing of the model (YAMNet) say what it hears. Run it again with every new model.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

FILE = Path(__file__).with_name("presets.json")


@dataclass(frozen=True, kw_only=True)
class Preset:
    """A prompt that was measured.

    Attributes:
        prompt: the sentence.
        tags: of which the tagger should hear one.
        right, of: in how many of so many sounds it did.
    """

    prompt: str
    tags: list[str]
    right: int
    of: int


def presets(file: Path = FILE) -> list[Preset]:
    """The measured prompts, the best first."""
    return [Preset(**entry) for entry in json.loads(file.read_text(encoding="utf-8"))["presets"]]
