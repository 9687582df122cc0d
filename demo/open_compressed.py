"""The lower half of the Compress tab: a compressed file that somebody has becomes a sound."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import gradio as gr

from ..core.slug import slug
from .codecs import Codecs
from .input import say_seconds
from .players import picture, player
from .restore import SUFFIXES, restore
from .roundtrip import say_bytes, say_channels
from .spectrogram_images import spectrogram
from .temporary_files import Shelf, failure
from .working import while_working


def open_compressed(codecs: Codecs, shelf: Shelf) -> None:
    """Add the half to the page."""

    def open_file(
        upload: str | None,
        progress: gr.Progress = gr.Progress(),  # noqa: B008
    ) -> tuple[Any, ...]:
        if not upload:
            return gr.update(visible=False), gr.skip(), gr.skip(), "", gr.skip()
        source = Path(upload)
        target = shelf.place(f"{slug(source.stem)}.wav")
        started = time.perf_counter()
        try:
            found = restore(source, target, codecs, lambda share, what: progress(share, desc=what))
        except (ValueError, OSError, ImportError) as error:
            raise failure(error, source, target) from error
        size = source.stat().st_size
        facts = [
            f"{say_seconds(found.seconds)}, {found.sample_rate} Hz, {say_channels(found.samples.shape[0])}",
            f"from {say_bytes(size)} ({8 * size / found.seconds / 1000:.3g} kbit/s)",
            f"codec {found.codec}",
            f"in {time.perf_counter() - started:.1f} s",
        ]
        return (
            gr.update(visible=True),
            str(target),
            spectrogram(found.samples.mean(0).numpy(), found.sample_rate),
            " · ".join(facts),
            str(target),
        )

    upload = gr.File(
        label=f"Compressed file ({' or '.join(SUFFIXES)})",
        file_types=list(SUFFIXES),
        type="filepath",
        height=140,
        elem_id="to-open",
    )
    opening = gr.Markdown(visible=False, elem_id="opening")
    with gr.Column(visible=False, elem_id="opened") as results:
        status = gr.Markdown(elem_id="opened-status")
        with gr.Row(equal_height=False):
            with gr.Column(min_width=300):
                sound = player("Sound in the file", "opened-sound")
                download = gr.DownloadButton("Download the sound", elem_id="get-wav")
            with gr.Column(min_width=300):
                shown = picture("Sound in the file", "opened-sound")
    while_working(
        [upload.upload, upload.clear],
        open_file,
        shown=[opening],
        cleared=[results],
        inputs=[upload],
        outputs=[results, sound, shown, status, download],
        show_progress_on=[opening],
        api_name="decompress",
    )
