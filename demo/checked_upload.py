"""Say at the upload what is wrong with a sound, not when somebody wants to do something with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import gradio as gr
from gradio.blocks import Block

from .input import check_upload
from .temporary_files import failure

PROBLEM = "That sound cannot be used"
# What holds the file of the sound that was made last, in the tab that makes sounds.
MADE = ("download-1", "player")


def take_button(demo: gr.Blocks) -> dict[gr.Button, Block]:
    """Add a button that takes the sound made last, where the page can make some; for `checked_upload`."""
    made = next((block for block in demo.blocks.values() if getattr(block, "elem_id", None) in MADE), None)
    button = gr.Button("Take the sound that was made last", size="sm", visible=made is not None)
    return {} if made is None else {button: made}


def checked_upload(
    audio: gr.Audio,
    *,
    limit: float,
    outputs: list[Any] | None = None,
    then: Callable[[str | None], list[Any]] | None = None,
    taken: Mapping[gr.Button, Block] | None = None,
) -> None:
    """Check what is put into a component; what is no sound is taken out again, with a sentence.

    Args:
        audio: where sounds are put.
        limit: seconds of the longest sound that is taken.
        outputs: what else changes.
        then: gives their values for the path of a sound, or for None.
        taken: buttons that put in a sound of the page, and what holds each.
    """
    rest = then or (lambda _: [])

    def check(path: str | None) -> tuple[Any, ...]:
        if path is None:
            return (gr.skip(), *rest(None))
        try:
            check_upload(path, limit=limit)
            return (gr.skip(), *rest(path))
        except (ValueError, OSError) as error:
            gr.Warning(failure(error, path).message, title=PROBLEM, duration=15)
            return (None, *rest(None))

    def take(path: str | None) -> tuple[Any, ...]:
        if not path:
            raise failure("no sound was made yet: make one first, or drop a file here")
        try:
            check_upload(path, limit=limit)
        except (ValueError, OSError) as error:
            raise failure(error, path) from error
        return (path, *rest(path))

    event: dict[str, Any] = {
        "outputs": [audio, *(outputs or [])],
        "show_progress": "hidden",
        "api_visibility": "private",
    }
    gr.on([audio.upload, audio.clear, audio.stop_recording], check, inputs=[audio], **event)
    for button, source in (taken or {}).items():
        button.click(take, inputs=[source], **event)
