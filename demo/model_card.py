"""What the page says of a model, from its own card."""

from __future__ import annotations

import re
from pathlib import Path

from ..core.checkpoint import BUNDLED_MODELS

CARDS = ("README.md", "MODEL_CARD.md")
SENTENCES = 2  # of what a model can't do; the card has the rest
_FRONT_MATTER = re.compile(r"\A---\n(.*?)\n---\n", re.DOTALL)
_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z])")


def model_card(name: str) -> str:
    """The card of a model's folder or of a bundled model, without its YAML; empty if it has none here."""
    return _FRONT_MATTER.sub("", _card(name)).strip()


def licence(name: str) -> str:
    """The licence that the card of a model names; empty if it names none."""
    card = _card(name)
    front = _FRONT_MATTER.match(card)
    found = re.search(r"^license:\s*(\S+)", front[1], re.MULTILINE) if front else None
    found = found or re.search(r"Licen[cs]e:\s*([\w.-]*\w)", card)
    return found[1] if found else ""


def about(name: str) -> str:
    """Markdown that says in a few lines what a model is, what it can't do, and under which licence it is.

    Where it has a card, all of it is the card's: the first paragraph, and the first sentences of the section
    "What it can't do".
    """
    called = Path(name).expanduser().resolve().name if Path(name).expanduser().is_dir() else name
    if card := model_card(name):
        sections = re.split(r"^## ", card, flags=re.MULTILINE)
        first = sections[0].strip().split("\n\n")[1:2]  # below the title
        limits = [
            " ".join(_SENTENCE.split(" ".join(text.partition("\n")[2].split()))[:SENTENCES])
            for text in sections[1:]
            if text.startswith("What it can't do")
        ]
        said = [f"**The model `{called}`.** " + " ".join(part.strip() for part in first), *limits]
        if (terms := licence(name)) and terms.lower() not in " ".join(said).lower():
            said.append(f"Licence: {terms}.")
        return "\n\n".join(said)
    if Path(name).expanduser().is_dir():
        return (
            f"**The model in the folder `{called}`.** The licence of its weights is that of whoever made "
            "them. What was fine-tuned from Meta's AudioGen stays under CC BY-NC 4.0, for non-commercial use."
        )
    return (
        f"**The model `{called}`.** The licence of the weights is that of whoever published them: Meta's "
        "AudioGen weights are CC BY-NC 4.0, so what they make is for non-commercial use."
    )


def _card(name: str) -> str:
    for folder in (Path(name).expanduser(), BUNDLED_MODELS / name):
        for card in CARDS:
            if (folder / card).is_file():
                return (folder / card).read_text(encoding="utf-8")
    return ""
