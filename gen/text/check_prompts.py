"""Check prompts: one sentence or several."""

from __future__ import annotations

from collections.abc import Sequence

from ...core.errors import ArgumentError

Prompts = str | Sequence[str]


def list_prompts(prompts: Prompts, name: str = "prompts") -> list[str]:
    """One prompt or several as a list; `name` is what messages call them.

    Raises:
        TypeError: something that is not a string.
        ValueError: no prompt at all.
    """
    texts = [prompts] if isinstance(prompts, str) else prompts
    if not isinstance(texts, Sequence):
        raise TypeError(f"{name} is {prompts!r}; it must be a string or a list of strings")
    checked = check_prompts(texts)
    if not checked:
        raise ArgumentError(f"{name} is empty; give at least one, [''] for a sound of the model's choice")
    return checked


def check_prompts(prompts: Sequence[str]) -> list[str]:
    """Return prompts as a list.

    Raises:
        TypeError: one string where a list belongs, or an entry that is not a string.
    """
    if isinstance(prompts, str):
        raise TypeError(f"prompts is the string {prompts[:40]!r}; give a list, [{prompts[:40]!r}]")
    for index, prompt in enumerate(prompts):
        if not isinstance(prompt, str):
            raise TypeError(
                f"prompt {index} is {prompt!r} ({type(prompt).__name__}); every prompt must be a string, "
                "an empty one for no prompt"
            )
    return list(prompts)


def as_utf8(text: str) -> str:
    """The text without what no tokenizer takes: half of a surrogate pair (a cut emoji) becomes "?"."""
    return text.encode("utf-8", "replace").decode()
