"""The lower half of the Compress tab: a compressed file that somebody has becomes a sound."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import gradio as gr

from ..core.slug import slug
from .codecs import Codecs
from .input import say_seconds
from .messages import message
from .players import picture, player
from .restore import SUFFIXES, Restored, can_recover, restore, without_remedy
from .roundtrip import say_bytes, say_channels, say_number
from .spectrogram_images import spectrogram
from .stoppable import Cancel, Stoppable
from .temporary_files import Shelf, failure
from .working import while_working


def open_compressed(codecs: Codecs, shelf: Shelf, running: Stoppable) -> None:
    """Add the half to the page."""
    upload = gr.File(
        label=f"Compressed file ({' or '.join(SUFFIXES)})",
        file_types=list(SUFFIXES),
        type="filepath",
        height=140,
        elem_id="to-open",
    )
    stop = gr.Button("Stop", visible=False, elem_id="stop-open")
    said = message("open-wrong")
    opening = gr.Markdown(visible=False, elem_id="opening")
    with gr.Column(visible=False, elem_id="damaged") as damaged:
        problem = gr.Markdown(elem_id="damage", elem_classes="problem")
        rescue = gr.Button("Keep what is intact", elem_id="recover")
    with gr.Column(visible=False, elem_id="opened") as results:
        status = gr.Markdown(elem_id="opened-status")
        with gr.Row(equal_height=False):
            with gr.Column(min_width=300):
                sound = player("Sound in the file", "opened-sound")
                download = gr.DownloadButton("Download the sound", elem_id="get-wav")
            with gr.Column(min_width=300):
                shown = picture("Sound in the file", "opened-sound")

    async def open_file(
        path: str | None, recover: bool, request: gr.Request, progress: gr.Progress
    ) -> tuple[Any, ...]:
        nothing = (gr.update(visible=False), gr.skip(), gr.skip(), "", gr.skip())
        if not path:
            return (*nothing, gr.update(visible=False), "")
        source, target = Path(path), shelf.place(f"{slug(Path(path).stem)}.wav")
        started = time.perf_counter()

        def work(cancel: Cancel) -> tuple[Any, ...]:
            found = restore(
                source,
                target,
                codecs,
                lambda share, what: progress(share, desc=what),
                cancel,
                recover=recover,
            )
            image = spectrogram(found.samples.mean(0).numpy(), found.sample_rate)
            facts = _facts(found, source.stat().st_size, time.perf_counter() - started)
            return (gr.update(visible=True), str(found.file), image, facts, str(found.file))

        try:
            return (*await running.run(request, work), gr.update(visible=False), "")
        except (ValueError, OSError, ImportError) as error:
            if can_recover(error) and not recover:
                words = failure(without_remedy(error), source, target).message
                return (*nothing, gr.update(visible=True), f"**This file is damaged.** {words}")
            raise failure(error, source, target) from error

    async def opened(
        path: str | None,
        request: gr.Request,
        progress: gr.Progress = gr.Progress(),  # noqa: B008  (how gradio finds out that progress is wanted)
    ) -> tuple[Any, ...]:
        return await open_file(path, False, request, progress)

    async def recovered(
        path: str | None,
        request: gr.Request,
        progress: gr.Progress = gr.Progress(),  # noqa: B008
    ) -> tuple[Any, ...]:
        return await open_file(path, True, request, progress)

    for triggers, work in (([upload.upload, upload.clear], opened), ([rescue.click], recovered)):
        while_working(
            triggers,
            work,
            shown=[opening],
            cleared=[results, damaged],
            stop=stop,
            said=said,
            inputs=[upload],
            outputs=[results, sound, shown, status, download, damaged, problem],
            show_progress_on=[opening],
            api_visibility="private",
        )


def _facts(found: Restored, size: int, seconds: float) -> str:
    """One line about a file that was opened."""
    facts = [
        f"{say_seconds(found.seconds)}, {found.sample_rate} Hz, {say_channels(found.samples.shape[0])}",
        f"from {say_bytes(size)} ({say_number(8 * size / found.seconds / 1000)} kbit/s)",
        f"codec {found.codec}",
        f"in {seconds:.1f} s",
    ]
    said = " · ".join(facts)
    if not found.damaged:
        return said
    silent = f"; {say_seconds(found.lost)} of it were lost and are silent" if found.lost else ""
    return f"**Not the whole sound: {found.recovered} could be recovered{silent}.**\n\n{said}"
