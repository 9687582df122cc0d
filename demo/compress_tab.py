"""The Compress tab: a sound becomes a small file, a small file becomes a sound."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr

from ..codecs.container import SUFFIX
from ..core.audio import write_audio
from ..core.pictures import Spectrogram
from ..core.slug import slug
from .codecs import Codecs
from .input import say_seconds
from .open_compressed import open_compressed
from .players import picture, player
from .roundtrip import MAX_SECONDS, figures, round_trip, say_bytes
from .spectrogram_images import draw
from .temporary_files import Shelf, failure
from .working import while_working

ABOUT = f"""\
**What happens.** A neural codec turns the sound into a file (`{SUFFIX}`) of very few numbers, and this file
back into sound, with the sample rate and the length that it had. Here sounds of up to
{say_seconds(MAX_SECONDS)} can be tried; `soundloom encode` and `soundloom decode` take any length.
"""


def compress_tab(codecs: Codecs) -> None:
    """Add the tab's content to the page."""
    shelf = Shelf()
    if not codecs.names:
        gr.Markdown("No codec is on this machine.")
        return
    _compress_half(codecs, shelf)
    gr.Markdown("### Open a compressed file", elem_id="open-title")
    open_compressed(codecs, shelf)
    gr.Markdown(ABOUT, elem_id="about-compress")


def _compress_half(codecs: Codecs, shelf: Shelf) -> None:
    def compress(
        upload: str | None,
        name: str,
        rate: str,
        progress: gr.Progress = gr.Progress(),  # noqa: B008  (how gradio finds out that progress is wanted)
    ) -> tuple[Any, ...]:
        return _compressed(codecs, shelf, upload, name, rate, progress)

    with gr.Row(equal_height=True):
        with gr.Column(scale=9, min_width=300):
            upload = gr.Audio(
                label="Sound to compress",
                type="filepath",
                sources=["upload", "microphone"],
                buttons=[],
                elem_id="to-compress",
            )
        with gr.Column(scale=4, min_width=280):
            first = codecs.names[0]
            codec = gr.Dropdown(codecs.names, value=first, label="Codec", elem_id="codec")
            rate = gr.Radio(
                list(codecs.storages(first)), value=codecs.usual_storage(first), label="Rate", elem_id="rate"
            )
            button = gr.Button("Compress", variant="primary", size="lg", elem_id="compress")
    working = gr.Markdown(visible=False, elem_id="working")
    with gr.Column(visible=False, elem_id="compressed") as results:
        with gr.Row():
            with gr.Column(min_width=300):
                before = player("Original", "original")
                before_picture = picture("Original", "original")
            with gr.Column(min_width=300):
                after = player("Restored", "restored")
                after_picture = picture("Restored", "restored")
        with gr.Row(equal_height=False):
            with gr.Column(scale=9, min_width=300):
                table = gr.Markdown(elem_id="figures")
            with gr.Column(scale=4, min_width=280):
                download = gr.DownloadButton(f"Download the compressed file ({SUFFIX})", elem_id="get-loom")
    codec.input(partial(_rates, codecs), inputs=[codec], outputs=[rate], api_visibility="private")
    gr.on(
        [upload.upload, upload.clear, upload.stop_recording],
        lambda: gr.update(visible=False),  # what is shown belongs to another sound
        outputs=[results],
        queue=False,
        show_progress="hidden",
        api_visibility="private",
    )
    while_working(
        [button.click],
        compress,
        shown=[working],
        cleared=[results],
        inputs=[upload, codec, rate],
        outputs=[results, before, after, before_picture, after_picture, table, download],
        show_progress_on=[working],
        api_name="compress",
    )


def _rates(codecs: Codecs, name: str) -> Any:
    """The rates at which a codec stores sound, for the page."""
    try:
        return gr.update(choices=list(codecs.storages(name)), value=codecs.usual_storage(name))
    except (ValueError, OSError, ImportError) as error:
        raise failure(error) from error


def _compressed(
    codecs: Codecs, shelf: Shelf, upload: str | None, name: str, rate: str, progress: gr.Progress
) -> tuple[Any, ...]:
    """What the page shows of a sound that was compressed by the codec `name` at `rate`, and of the result."""
    if not upload:
        raise failure("there is no sound yet: drop a file, or record something, then press Compress")
    source = Path(upload)
    stem = slug(source.stem)
    compressed = shelf.place(f"{stem}{SUFFIX}")
    before, after = shelf.place(f"{stem}.wav"), shelf.place(f"{stem}-restored.wav")
    try:
        codec, offered = codecs.get(name), codecs.storages(name)
        if rate not in offered:
            raise ValueError(f"{name} has no rate {rate!r}; it has: {', '.join(offered)}")
        trip = round_trip(
            source,
            compressed,
            after,
            codec,
            offered[rate],
            lambda share, what: progress(share, desc=what),
        )
        write_audio(before, trip.original, trip.sample_rate)  # browsers do not play every format
    except (ValueError, OSError, ImportError) as error:
        raise failure(error, source, compressed, after) from error
    progress(0.95, desc="drawing")
    what = f"from {say_bytes(trip.compressed_bytes)}, {trip.kbps:.3g} kbit/s"
    original = Spectrogram(trip.original.mean(0), trip.sample_rate, "original")
    restored = Spectrogram(trip.restored.mean(0), trip.sample_rate, what)
    # One scale: what is pale in one picture is as quiet as what is pale in the other.
    pictures = [draw(shown, reference=original.peak) for shown in (original, restored)]
    return (gr.update(visible=True), str(before), str(after), *pictures, figures(trip), str(compressed))
