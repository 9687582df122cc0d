"""The Compress tab: a sound becomes a small file, a small file becomes a sound."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import gradio as gr

from ..codecs.container import SUFFIX
from ..core.audio import write_audio
from ..core.pictures import Spectrogram
from ..core.slug import slug
from .codecs import Codecs
from .input import say_seconds
from .pictures import draw, spectrogram
from .restore import SUFFIXES, restore
from .roundtrip import MAX_SECONDS, figures, round_trip, say_bytes, say_channels
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
    _restore_half(codecs, shelf)
    gr.Markdown(ABOUT, elem_id="about-compress")


def _compress_half(codecs: Codecs, shelf: Shelf) -> None:
    def offer(name: str) -> Any:
        try:
            return gr.update(choices=list(codecs.storages(name)), value=codecs.usual_storage(name))
        except (ValueError, OSError, ImportError) as error:
            raise failure(error) from error

    def compress(
        upload: str | None,
        name: str,
        rate: str,
        progress: gr.Progress = gr.Progress(),  # noqa: B008  (how gradio finds out that progress is wanted)
    ) -> tuple[Any, ...]:
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
        return (
            gr.update(visible=True),
            str(before),
            str(after),
            *pictures,
            figures(trip),
            str(compressed),
        )

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
                before = _player("Original", "original")
                before_picture = _picture("Original", "original")
            with gr.Column(min_width=300):
                after = _player("Restored", "restored")
                after_picture = _picture("Restored", "restored")
        with gr.Row(equal_height=False):
            with gr.Column(scale=9, min_width=300):
                table = gr.Markdown(elem_id="figures")
            with gr.Column(scale=4, min_width=280):
                download = gr.DownloadButton(f"Download the compressed file ({SUFFIX})", elem_id="get-loom")
    codec.input(offer, inputs=[codec], outputs=[rate], api_visibility="private")
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


def _restore_half(codecs: Codecs, shelf: Shelf) -> None:
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
                player = _player("Sound in the file", "opened-sound")
                download = gr.DownloadButton("Download the sound", elem_id="get-wav")
            with gr.Column(min_width=300):
                picture = _picture("Sound in the file", "opened-sound")
    while_working(
        [upload.upload, upload.clear],
        open_file,
        shown=[opening],
        cleared=[results],
        inputs=[upload],
        outputs=[results, player, picture, status, download],
        show_progress_on=[opening],
        api_name="decompress",
    )


def _player(label: str, name: str) -> gr.Audio:
    return gr.Audio(label=label, type="filepath", interactive=False, buttons=["download"], elem_id=name)


def _picture(label: str, name: str) -> gr.Image:
    return gr.Image(
        show_label=False,
        alt_text=f"Spectrogram: {label}",
        interactive=False,
        format="png",
        buttons=[],
        elem_id=f"{name}-spectrogram",
    )
