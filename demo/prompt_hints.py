"""What the page says of a prompt while it is typed: which sounds it hears in it, and what it cannot read."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from typing import Protocol

from ..gen.text.encoder import TextEncoder

SHOWN = 60  # characters of what is left out


class NamesSounds(Protocol):
    """Finds the sounds that a prompt names; `ClassifierScorer` does."""

    def classes_of(self, prompt: str) -> list[str]: ...


def left_out(encoder: TextEncoder | None, prompt: str) -> str:
    """A sentence about the end of a prompt that the text encoder does not read; empty if it reads all."""
    rest = encoder.unread(prompt) if encoder is not None else ""
    if not rest:
        return ""
    shown = rest if len(rest) <= SHOWN else f"{rest[:SHOWN]} …"
    return f"The prompt is too long: the model reads all but its end, “{shown}”. Make it shorter."


def hint(prompt: str, encoder: TextEncoder | None, scorer: Callable[[], NamesSounds] | None) -> str:
    """HTML for below the prompt.

    Args:
        prompt: as far as it is typed.
        encoder: that reads it.
        scorer: gives what knows the sounds that the model was taught; None: not known of this model.
    """
    said = [f"<strong>{escape(rest)}</strong>"] if (rest := left_out(encoder, prompt)) else []
    if prompt.strip() and scorer is not None:
        heard = [name.replace("_", " ") for name in scorer().classes_of(prompt)]
        said.append(
            f"The nearest sounds that the model knows: <b>{escape(', '.join(heard))}</b>."
            if heard
            else "<b>None of the sounds that the model was taught is named here</b>, so it has to guess. "
            "The examples below are those that it does best."
        )
    return " ".join(said)
