"""What is wrong, said in the page beside the button that was pressed, where it covers nothing."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Sequence
from html import escape
from typing import Any

import gradio as gr
from gradio.blocks import Block

MESSAGE = "message"  # CSS class; what is empty takes no room


def message(name: str) -> gr.HTML:
    """Add a place for a message to the page; `name` becomes its id."""
    return gr.HTML(elem_id=name, elem_classes=MESSAGE, padding=False)


def in_sight(place: gr.HTML) -> str:
    """JavaScript that scrolls the page as far as it must for what is wrong to be seen."""
    found = f"document.querySelector('#{place.elem_id} .wrong')"
    return f"() => requestAnimationFrame(() => {found}?.scrollIntoView({{block: 'nearest'}}))"


def wrong(said: str) -> str:
    """HTML of a message that something is wrong."""
    return f"<p class='wrong' role='alert'>{escape(said)}</p>"


def said_in_page(
    work: Callable[..., Awaitable[tuple[Any, ...]]], outputs: Sequence[Block]
) -> Callable[..., Awaitable[tuple[Any, ...]]]:
    """Return work that gives one value more, for a `message`: the gr.Error that it raised, or nothing.

    Args:
        work: gives a value for each of `outputs`, which stay as they are where it fails.
        outputs: components.
    """

    @functools.wraps(work)  # gradio looks at its arguments
    async def told(*given: Any, **named: Any) -> tuple[Any, ...]:
        try:
            return *await work(*given, **named), ""
        except gr.Error as error:
            return *(gr.skip() for _ in outputs), wrong(error.message)

    return told
