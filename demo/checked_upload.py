"""Say at the upload what is wrong with a sound, not when somebody wants to do something with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import gradio as gr
from gradio.blocks import Block

from .in_browser import IN_BROWSER, values
from .input import check_upload
from .temporary_files import failure
from .working import answered_first

PROBLEM = "That sound cannot be used"
# Buttons by what they say, and the ids of what may hold the file that each takes.
TAKES = {
    "Take the sound that was made last": ("download-1", "player"),
    "Take the edited sound": ("edited",),
}


def take_buttons(demo: gr.Blocks) -> dict[gr.Button, Block]:
    """Add buttons that take a sound of the tabs before this one; for `checked_upload`."""
    holders = {getattr(block, "elem_id", None): block for block in demo.blocks.values()}
    taken: dict[gr.Button, Block] = {}
    with gr.Row():
        for says, names in TAKES.items():
            if holder := next((holders[name] for name in names if name in holders), None):
                taken[gr.Button(says, size="sm", min_width=220)] = holder
    return taken


def checked_upload(
    audio: gr.Audio,
    button: gr.Button | None = None,
    *,
    limit: float,
    outputs: list[Any] | None = None,
    then: Callable[[str | None], list[Any]] | None = None,
    taken: Mapping[gr.Button, Block] | None = None,
    hidden: Sequence[Block] = (),
) -> None:
    """Check what is put into a component; what is no sound is taken out again, with a sentence.

    Args:
        audio: where sounds are put.
        button: what does something with the sound; it cannot be pressed before the answer is there. None: any
            may be.
        limit: seconds of the longest sound that is taken.
        outputs: what else changes.
        then: gives their values for the path of a sound, or for None.
        taken: buttons that put in a sound of the page, and what holds each.
        hidden: what belongs to the sound before; hidden at once, as a late answer could hide what somebody
            has had done meanwhile.
    """

    def answer(sound: Any, path: str | None) -> Any:
        """Values of all outputs; Gradio wants that of a single one bare."""
        return sound if then is None else (sound, *then(path))

    def check(path: str | None) -> Any:
        if path is None:
            return answer(gr.skip(), None)
        try:
            check_upload(path, limit=limit)
            return answer(gr.skip(), path)
        except (ValueError, OSError) as error:
            gr.Warning(failure(error, path).message, title=PROBLEM, duration=15)
            return answer(None, None)

    def take(path: str | None) -> Any:
        if not path:
            raise failure("there is none yet: make one first, or drop a file here")
        try:
            check_upload(path, limit=limit)
        except (ValueError, OSError) as error:
            raise failure(error, path) from error
        return answer(path, path)

    event: dict[str, Any] = {
        "outputs": [audio, *(outputs or [])],
        "show_progress": "hidden",
        "api_visibility": "private",
    }
    updates = values(hidden, {block: gr.update(visible=False) for block in hidden})
    hide: dict[str, Any] = {"outputs": list(hidden), "js": f"() => {updates}", **IN_BROWSER}
    put_in = [audio.upload, audio.clear, audio.stop_recording]
    if hidden:
        gr.on(put_in, **hide)
    on = gr.on if button is None else partial(answered_first, button)
    on(put_in, check, inputs=[audio], **event)
    for takes, source in (taken or {}).items():
        found = on([takes.click], take, inputs=[source], **event)
        if hidden:
            found.success(**hide)
