"""Say at the upload what is wrong with a sound, not when somebody wants to do something with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import gradio as gr
from gradio.blocks import Block

from ..core.errors import ArgumentError
from .in_browser import IN_BROWSER, values
from .input import check_upload
from .messages import wrong
from .temporary_files import page_words
from .working import answered_first

LAST, EDITED = "Take the sound that was made last", "Take the edited sound"
# Buttons by what they say, and the ids of what may hold the file that each takes.
TAKES = {LAST: ("download-1", "player"), EDITED: ("edited",)}
NONE_YET = {
    LAST: "no sound has been made yet: make one in the tab Make, or drop a file here",
    EDITED: "no sound has been edited yet: edit one in the tab Edit, or drop a file here",
}
NO_SOUND = f"there is no sound yet: drop a file, record something, or press “{LAST}”"


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
    said: gr.HTML,
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
        said: a `message`, where what is wrong is said.
        outputs: what else changes.
        then: gives their values for the path of a sound, or for None.
        taken: buttons that put in a sound of the page, and what holds each.
        hidden: what belongs to the sound before; hidden at once, as a late answer could hide what somebody
            has had done meanwhile.
    """
    changed = [audio, *(outputs or []), said]

    def answer(sound: Any, path: str | None, problem: str = "") -> tuple[Any, ...]:
        """Values of `changed`."""
        return sound, *([] if then is None else then(path)), problem

    def check(path: str | None) -> tuple[Any, ...]:
        if path is None:
            return answer(gr.skip(), None)
        try:
            check_upload(path, limit=limit)
            return answer(gr.skip(), path)
        except (ValueError, OSError) as error:
            return answer(None, None, wrong(page_words(error, path)))

    def take(none_yet: str, path: str | None) -> tuple[Any, ...]:
        try:
            if not path:
                raise ArgumentError(none_yet)
            check_upload(path, limit=limit)
        except (ValueError, OSError) as error:
            problem = wrong(page_words(error, *([path] if path else [])))
            return *(gr.skip() for _ in changed[1:]), problem, *(gr.skip() for _ in hidden)
        return *answer(path, path), *(gr.update(visible=False) for _ in hidden)

    event: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    updates = values(hidden, {block: gr.update(visible=False) for block in hidden})
    hide: dict[str, Any] = {"outputs": list(hidden), "js": f"() => {updates}", **IN_BROWSER}
    put_in = [audio.upload, audio.clear, audio.stop_recording]
    if hidden:
        gr.on(put_in, **hide)
    on = gr.on if button is None else partial(answered_first, button)
    on(put_in, check, inputs=[audio], outputs=changed, **event)
    for takes, source in (taken or {}).items():
        work = partial(take, NONE_YET.get(str(takes.value), NO_SOUND))
        on([takes.click], work, inputs=[source], outputs=[*changed, *hidden], **event)
