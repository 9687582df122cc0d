"""Show, hide and lock parts of the page while something is being computed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import gradio as gr
from gradio.blocks import Block

from .in_browser import IN_BROWSER, stop_hidden, stop_pressed, stop_shown, values
from .messages import in_sight, said_in_page


def while_working(
    triggers: Sequence[Any],
    work: Callable[..., Awaitable[tuple[Any, ...]]],
    *,
    shown: Sequence[Block],
    hidden: Sequence[Block] = (),
    cleared: Sequence[Block] = (),
    stop: gr.Button | None = None,
    said: gr.HTML,
    outputs: Sequence[Block],
    **event: Any,
) -> Any:
    """Do some work, one at a time, and change what is visible until it ends, well or badly.

    Args:
        triggers: events that start the work, for example `[button.click]`.
        work: computes the outputs; raises gr.Error.
        shown: visible only meanwhile.
        hidden: visible only before and after.
        cleared: hidden when the work begins; showing them again is left to the work.
        stop: ends the work, also while it waits for its turn; visible only meanwhile.
        said: a `message`, where what is wrong is said; emptied when the work begins.
        outputs: what else changes.
        event: what else `gr.on` takes: inputs, api_name and so on.

    Returns:
        The event of the work.
    """
    every = [*shown, *hidden, *cleared, said, *([] if stop is None else [stop])]

    def show(working: bool) -> dict[str, Any]:
        updates: dict[Block, Any] = {block: gr.update(visible=working) for block in shown}
        updates |= {block: gr.update(visible=not working) for block in hidden}
        if working:
            updates |= {block: gr.update(visible=False) for block in cleared} | {said: ""}
        if stop is not None:
            updates[stop] = stop_shown() if working else stop_hidden()
        return {"outputs": every, "js": f"() => {values(every, updates)}", **IN_BROWSER}

    # One after the other: else an error that comes at once could be overtaken by what announces the work.
    event |= {"outputs": [*outputs, said], "concurrency_limit": 1}
    done = gr.on(triggers, **show(True)).then(said_in_page(work, outputs), **event)
    for ended in (done.success, done.failure):  # done.then does not come after an error
        ended(**show(False)).success(js=in_sight(said), **IN_BROWSER)
    if stop is not None:
        pressed = values([stop], {stop: stop_pressed()})
        # Once the work has ended, the page hears of it as of a failure.
        stop.click(outputs=[stop], js=f"() => {pressed}", cancels=[done], **IN_BROWSER)
    return done


def answered_first(button: gr.Button, triggers: Sequence[Any], work: Callable[..., Any], **event: Any) -> Any:
    """Let events change what a button sends; until the answer is there the button cannot be pressed.

    Args:
        button: would send what was set before.
        triggers: the events, for example `[picture.select]`.
        work: computes the outputs.
        event: what else `gr.on` takes.

    Returns:
        The event of the work.
    """

    def lock(locked: bool) -> dict[str, Any]:
        update = values([button], {button: gr.update(interactive=not locked)})
        return {"outputs": [button], "js": f"() => {update}", **IN_BROWSER}

    gr.on(triggers, **lock(True))
    answer = gr.on(triggers, work, **event)
    for ended in (answer.success, answer.failure):
        ended(**lock(False))
    return answer


def press(button: str) -> str:
    """JavaScript that presses a button, given its id, unless that is hidden or locked."""
    return f"() => document.getElementById({button!r})?.click()"
