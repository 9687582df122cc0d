"""Changes that the page makes by itself, at once, however busy the server is."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import gradio as gr
from gradio.blocks import Block

STOP, STOPPING = "Stop", "Stopping …"
# Of an event: without a function the browser asks nobody.
IN_BROWSER: dict[str, Any] = {
    "fn": None,
    "queue": False,
    "show_progress": "hidden",
    "api_visibility": "private",
}


def values(outputs: Sequence[Block], updates: Mapping[Block, Any]) -> str:
    """JavaScript of an array with a value for each output of an event; what has no update stays as it is."""
    return json.dumps([updates.get(block, gr.skip()) for block in outputs])


def stop_hidden() -> dict[str, Any]:
    """A Stop button that is not needed, and says Stop when it is needed again."""
    return gr.update(visible=False, value=STOP, interactive=True)


def stop_shown() -> dict[str, Any]:
    """A Stop button that can be pressed."""
    return gr.update(visible=True, value=STOP, interactive=True)


def stop_pressed() -> dict[str, Any]:
    """A Stop button that says that it was pressed."""
    return gr.update(value=STOPPING, interactive=False)
