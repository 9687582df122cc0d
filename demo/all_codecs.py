"""The part of the Compress tab that tries all codecs at all their rates on one sound."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

from .checked_upload import NO_SOUND
from .codec_trials import HEADINGS, TRIED_SECONDS, curve, measure_codecs, table
from .codecs import Codecs
from .messages import message
from .stoppable import Cancel, Stoppable
from .temporary_files import failure
from .working import while_working

ABOUT = f"""\
The first {TRIED_SECONDS:g} s of the sound, mixed to mono, stored by every codec here at every rate that
it has, and by Opus, which calls and streams use. Distances are between the sound and what comes back: 0 is
perfect. Speeds are seconds of sound in a second of work on this machine."""


def all_codecs(codecs: Codecs, upload: gr.Audio, running: Stoppable) -> None:
    """Add the part to the page.

    Args:
        codecs: what is tried.
        upload: holds the sound.
        running: runs the work.
    """
    with gr.Accordion("All codecs and rates for this sound", open=False, elem_id="all-codecs"):
        gr.Markdown(ABOUT)
        button = gr.Button("Try all of them", elem_id="try-all")
        stop = gr.Button("Stop", visible=False, elem_id="stop-all")
        said = message("all-wrong")
        working = gr.Markdown(visible=False, elem_classes="working")
        with gr.Column(visible=False, elem_id="all-results") as results:
            curves = gr.LinePlot(
                x="kbit/s",
                y="mel distance, dB",
                color="codec",
                height=280,
                label="Quality over rate: lower is better",
                show_label=True,
            )
            rows = gr.Dataframe(headers=HEADINGS, interactive=False, wrap=True, elem_id="all-table")

    async def try_all(
        path: str | None,
        request: gr.Request,
        progress: gr.Progress = gr.Progress(),  # noqa: B008  (how gradio finds out that progress is wanted)
    ) -> tuple[Any, ...]:
        if not path:
            raise failure(NO_SOUND)

        def work(cancel: Cancel) -> list[Any]:
            return list(
                measure_codecs(Path(path), codecs, lambda share, what: progress(share, desc=what), cancel)
            )

        try:
            found = await running.run(request, work)
        except (ValueError, OSError, RuntimeError) as error:
            raise failure(error, path) from error
        return gr.update(visible=True), curve(found), table(found)

    while_working(
        [button.click],
        try_all,
        shown=[working],
        hidden=[button],
        cleared=[results],
        stop=stop,
        said=said,
        inputs=[upload],
        outputs=[results, curves, rows],
        show_progress_on=[working],
        api_visibility="private",
    )
