"""Show and hide parts of the page while something is being computed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr
from gradio.blocks import Block


def while_working(
    triggers: Sequence[Any],
    work: Callable[..., Any],
    *,
    shown: Sequence[Block],
    hidden: Sequence[Block] = (),
    cleared: Sequence[Block] = (),
    stop: gr.Button | None = None,
    **event: Any,
) -> Any:
    """Do some work, one at a time, and change what is visible until it ends, well or badly.

    Args:
        triggers: events that start the work, for example `[button.click]`.
        work: computes the outputs.
        shown: visible only meanwhile.
        hidden: visible only before and after.
        cleared: hidden when the work begins; showing them again is left to the work.
        stop: ends the work, also while it waits for its turn; visible only meanwhile.
        event: what else `gr.on` takes: inputs, outputs, api_name and so on.

    Returns:
        The event of the work.
    """
    shown = [*shown, *([] if stop is None else [stop])]

    def show(working: bool) -> dict[Block, Any]:
        return (
            {block: gr.update(visible=working) for block in shown}
            | {block: gr.update(visible=not working) for block in hidden}
            | ({block: gr.update(visible=False) for block in cleared} if working else {})
        )

    swap: dict[str, Any] = {
        "outputs": [*shown, *hidden, *cleared],
        "queue": False,
        "show_progress": "hidden",
        "api_visibility": "private",
    }
    # One after the other: else an error that comes at once could be overtaken by what announces the work.
    done = gr.on(triggers, lambda: show(True), **swap).then(work, concurrency_limit=1, **event)
    for ended in (done.success, done.failure):  # done.then does not come after an error
        ended(lambda: show(False), **swap)
    if stop is not None:
        stop.click(lambda: show(False), cancels=[done], **swap)
    return done
