"""The Compress tab: a sound becomes a small file, a small file becomes a sound."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

from ..codecs.container import SUFFIX
from ..codecs.frames.storage import Storage
from ..core.slug import slug
from .all_codecs import all_codecs
from .blind_test import comparison, ready
from .checked_upload import NO_SOUND, checked_upload, take_buttons
from .codecs import Codecs
from .compress_endpoints import compress_endpoints
from .input import say_seconds
from .messages import message, wrong
from .open_compressed import open_compressed
from .players import picture, player
from .roundtrip import MAX_SECONDS, RoundTrip, figures, how_small, round_trip, say_number, spectrograms
from .spectrogram_images import draw
from .stoppable import Cancel, Stoppable
from .temporary_files import Shelf, failure, page_words
from .working import answered_first, while_working

ABOUT = f"""\
**What happens.** A neural codec turns the sound into a file (`{SUFFIX}`) of very few numbers, and this file
back into sound, with the sample rate and the length that it had. Here sounds of up to
{say_seconds(MAX_SECONDS)} can be tried; `soundloom encode` and `soundloom decode` take any length.
"""


def compress_tab(demo: gr.Blocks, codecs: Codecs) -> None:
    """Add the tab's content to the page."""
    shelf, running = Shelf(), Stoppable()
    if not codecs.names:
        gr.Markdown("No codec is on this machine.")
        return
    upload = _compress_half(demo, codecs, shelf, running)
    all_codecs(codecs, upload, running)
    gr.Markdown("### Open a compressed file", elem_id="open-title")
    open_compressed(codecs, shelf, running)
    gr.Markdown(ABOUT, elem_id="about-compress")
    compress_endpoints(codecs, shelf, running)
    demo.unload(running.leave)


def _compress_half(demo: gr.Blocks, codecs: Codecs, shelf: Shelf, running: Stoppable) -> gr.Audio:
    """Add what compresses; returns where the sound is dropped."""
    with gr.Row(equal_height=False):
        with gr.Column(scale=9, min_width=300):
            upload = gr.Audio(
                label="Sound to compress",
                type="filepath",
                sources=["upload", "microphone"],
                buttons=[],
                elem_id="to-compress",
            )
            taken = take_buttons(demo)
        with gr.Column(scale=5, min_width=280):
            button = gr.Button("Compress", variant="primary", size="lg", elem_id="compress", render=False)
            said = message("compress-wrong")
            said.unrender()
            codec, rate = _choice(codecs, button, said)
            button.render()
            stop = gr.Button("Stop", size="lg", visible=False, elem_id="stop-compress")
            said.render()
    working = gr.Markdown(visible=False, elem_id="working")
    with gr.Column(visible=False, elem_id="compressed") as results:
        with gr.Row(equal_height=True):
            with gr.Column(min_width=280):
                small = gr.Markdown(elem_id="how-small")
            download = gr.DownloadButton(
                f"Download the {SUFFIX} file", size="md", scale=0, min_width=250, elem_id="get-loom"
            )
        switched = comparison(shelf)
        with gr.Row():
            with gr.Column(min_width=300):
                before = player("Original", "original")
                before_picture = picture("Original", "original")
            with gr.Column(min_width=300):
                after = player("Restored", "restored")
                after_picture = picture("Restored", "restored")
        table = gr.Markdown(elem_id="figures")
    checked_upload(upload, button, limit=MAX_SECONDS, said=said, taken=taken, hidden=[results])

    async def compress_and_show(
        upload: str | None,
        name: str,
        number: float,
        request: gr.Request,
        progress: gr.Progress = gr.Progress(),  # noqa: B008  (how gradio finds out that progress is wanted)
    ) -> tuple[Any, ...]:
        if not upload:
            raise failure(NO_SOUND)
        source, files = Path(upload), compressed_files(shelf, Path(upload), name)

        def work(cancel: Cancel) -> tuple[Any, ...]:
            offered = list(codecs.storages(name).values())
            storage = offered[min(max(round(number), 1), len(offered)) - 1]
            trip = round_trip(source, *files, codecs.get(name), storage, _shown(progress), cancel)
            progress(0.95, desc="drawing")
            return _found(trip, files[0])

        try:
            return await running.run(request, work)
        except (ValueError, OSError, ImportError) as error:
            raise failure(error, source, *files) from error

    while_working(
        [button.click],
        compress_and_show,
        shown=[working],
        hidden=[button],
        cleared=[results],
        stop=stop,
        said=said,
        inputs=[upload, codec, rate],
        outputs=[results, before, after, before_picture, after_picture, small, table, download, *switched],
        show_progress_on=[working],
        api_visibility="private",
    )
    return upload


def _choice(codecs: Codecs, button: gr.Button, said: gr.HTML) -> tuple[gr.Dropdown, gr.Slider]:
    """Add what chooses a codec and, by its number from 1 on, one of its rates; `button` takes both."""

    def chosen(name: str) -> tuple[Any, Any, str]:
        try:
            offered, usual = list(codecs.storages(name)), codecs.usual_storage(name)
        except (ValueError, OSError, ImportError) as error:
            return gr.skip(), gr.skip(), wrong(page_words(error))
        number = offered.index(usual) + 1
        update = gr.update(maximum=len(offered), value=number, visible=len(offered) > 1)
        return update, in_words(name, number), ""

    def in_words(name: str, number: float) -> str:
        offered = list(codecs.storages(name))
        return offered[min(max(round(number), 1), len(offered)) - 1]

    first = codecs.names[0]
    offered = list(codecs.storages(first))
    number = offered.index(codecs.usual_storage(first)) + 1
    codec = gr.Dropdown(codecs.names, value=first, label="Codec", elem_id="codec")
    rate = gr.Slider(
        1,
        max(2, len(offered)),
        number,
        step=1,
        label="Rate",
        info="from the fewest bits to the most",
        visible=len(offered) > 1,
        elem_id="rate",
    )
    label = gr.Markdown(in_words(first, number), elem_id="rate-said")
    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    answered_first(button, [codec.input], chosen, inputs=[codec], outputs=[rate, label, said], **quiet)
    rate.change(in_words, [codec, rate], [label], trigger_mode="always_last", **quiet)
    return codec, rate


def compressed_files(shelf: Shelf, source: Path, codec: str) -> tuple[Path, Path]:
    """Where the compressed file of a sound goes, and what comes back from it."""
    stem = slug(source.stem)
    return shelf.place(f"{stem}{SUFFIX}"), shelf.place(f"{stem}-{slug(codec)}.wav")


def _shown(progress: gr.Progress) -> Any:
    return lambda share, what: progress(share, desc=what)


def _found(trip: RoundTrip, compressed: Path) -> tuple[Any, ...]:
    """What the page shows of a sound that was compressed, and of what came back."""
    original, restored = spectrograms(trip)
    # One scale: what is pale in one picture is as quiet as what is pale in the other.
    pictures = [draw(shown, reference=original.peak) for shown in (original, restored)]
    after = gr.update(value=str(trip.restored), label=f"Restored: {trip.codec}, {_rate(trip.storage)}")
    return (
        gr.update(visible=True),
        str(trip.original),
        after,
        *pictures,
        how_small(trip),
        figures(trip),
        str(compressed),
        *ready(trip.original, trip.restored),
    )


def _rate(storage: Storage) -> str:
    return f"{say_number(storage.bitrate / 1000)} kbit/s"
