"""Say at the upload what is wrong with a sound, not when somebody wants to do something with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gradio as gr

from .input import check_upload
from .temporary_files import failure

PROBLEM = "That sound cannot be used"


def checked_upload(
    audio: gr.Audio,
    *,
    limit: float,
    outputs: list[Any] | None = None,
    then: Callable[[str | None], list[Any]] | None = None,
) -> Any:
    """Check what is put into a component; what is no sound is taken out again, with a sentence.

    Args:
        audio: where sounds are put.
        limit: seconds of the longest sound that is taken.
        outputs: what else changes.
        then: gives their values for the path of a sound, or for None.

    Returns:
        The event.
    """

    def check(path: str | None) -> tuple[Any, ...]:
        rest = then or (lambda _: [])
        if path is None:
            return (gr.skip(), *rest(None))
        try:
            check_upload(path, limit=limit)
            return (gr.skip(), *rest(path))
        except (ValueError, OSError) as error:
            gr.Warning(failure(error, path).message, title=PROBLEM, duration=15)
            return (None, *rest(None))

    return gr.on(
        [audio.upload, audio.clear, audio.stop_recording],
        check,
        inputs=[audio],
        outputs=[audio, *(outputs or [])],
        show_progress="hidden",
        api_visibility="private",
    )
