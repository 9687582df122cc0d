"""What programs call to edit sounds: one function a task, called as in Python."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gradio as gr

from .endpoint import endpoint
from .sound_edits import SoundEdits


def edit_endpoints(edits: SoundEdits) -> None:
    """Add the functions to the page's API."""

    def sound() -> gr.Audio:
        return gr.Audio(label="sound", type="filepath")

    def number(label: str, value: float | None) -> gr.Number:
        return gr.Number(label=label, value=value)

    def drawn() -> list[Any]:
        return [
            gr.Textbox(label="prompt", value=""),
            gr.Number(label="seed", value=None, precision=0),
        ]

    def results() -> list[Any]:
        return [gr.Audio(label="edited", type="filepath"), gr.Number(label="seed", precision=0)]

    def add(function: Callable[..., Any], **numbers: float | None) -> None:
        """One that draws: a sound, numbers by their names with what they are unless told, prompt and seed."""
        endpoint(function, lambda: [sound(), *(number(*each) for each in numbers.items()), *drawn()], results)

    add(edits.inpaint, start=None, end=None)
    add(edits.loop, seconds=1.0)
    add(edits.extend, seconds=3.0)
    add(edits.variation, strength=0.3)
    shape = {"start": None, "end": None, "gain": 0.0, "fade_in": 0.0, "fade_out": 0.0}
    endpoint(
        edits.shape,
        lambda: [sound(), *(number(*each) for each in shape.items())],
        lambda: results()[:1],
    )
