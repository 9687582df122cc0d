"""The tab Look inside: what a codec makes of a sound, and what one hears when parts of that change."""

from __future__ import annotations

from typing import Any

import gradio as gr

from ..codecs.code_arithmetic import can_mute
from .checked_upload import checked_upload, take_buttons
from .codecs import Codecs
from .endpoint import endpoint
from .input import say_seconds
from .inside import BETWEEN, MAX_SECONDS, MUTE, SHUFFLE, SWAP, Coded, Inside
from .messages import message
from .players import picture, player
from .roundtrip import read_mono
from .spectrogram_images import spectrogram
from .stoppable import Cancel, Stoppable
from .temporary_files import Shelf
from .working import while_working

ABOUT = """\
A codec with codes (`seanet-16khz`) says every 20 ms of sound with one code of each codebook: the first says
most, each of the others what those before left over. `music2latent2` says half a second with a few summary
embeddings. Mute or shuffle some of them, or take them from another sound, and hear what they stand for."""
SECOND_MISSING = "Drop the second sound first: there is a place for it below the first."


def inside_tab(demo: gr.Blocks, codecs: Codecs) -> None:
    """Add the tab's content to the page."""
    if not codecs.names:
        gr.Markdown("No codec is on this machine.")
        return
    running = Stoppable()
    inside = Inside(codecs, Shelf(), running)
    gr.Markdown(ABOUT)
    with gr.Row(equal_height=False):
        with gr.Column(scale=9, min_width=300):
            sound = _sound("Sound", "to-look-into")
            taken = take_buttons(demo)
            second = _sound("Second sound", "second-sound", visible=False)
        with gr.Column(scale=5, min_width=300):
            codec = gr.Dropdown(codecs.names, value=codecs.names[0], label="Codec", elem_id="inside-codec")
            look = gr.Button("Look inside", variant="primary", size="lg", elem_id="look-inside")
            stop = gr.Button("Stop", size="lg", visible=False)
            said = message("inside-wrong")
    looking = gr.Markdown(visible=False, elem_classes="working")
    with gr.Column(visible=False, elem_id="inside-results") as results:
        view = picture("codes or embeddings over time", "inside")
        change, parts, heard = _changes(inside, sound, second, codec)
    checked_upload(second, limit=MAX_SECONDS, said=said)
    checked_upload(sound, look, limit=MAX_SECONDS, said=said, taken=taken, hidden=[results])
    codec.input(
        lambda: gr.update(visible=False),
        None,
        [results],
        queue=False,
        show_progress="hidden",
        api_visibility="private",
    )

    async def look_inside(path: str, name: str, request: gr.Request) -> tuple[Any, ...]:
        return await inside.run(path, request, lambda cancel: _found(inside.coded(path, name)))

    while_working(
        [look.click],
        look_inside,
        shown=[looking],
        hidden=[look],
        cleared=[results],
        stop=stop,
        said=said,
        inputs=[sound, codec],
        outputs=[results, view, parts, change, heard],
        show_progress_on=[looking],
        api_visibility="private",
    )
    demo.unload(running.leave)
    _endpoints(inside, codecs)


def _found(coded: Coded) -> tuple[Any, ...]:
    """What the page shows of a sound that was looked into: its picture, and what can be changed."""
    what = "embedding" if coded.latents else "codebook"
    parts = [(f"{what} {number}", number) for number in range(1, coded.parts + 1)]
    changes = [
        *([MUTE] if coded.latents or can_mute(coded.codec) else []),
        *(SHUFFLE, SWAP),
        *([BETWEEN] if coded.latents else []),
    ]
    return (
        gr.update(visible=True),
        coded.picture(),
        gr.update(choices=parts, value=[coded.parts]),
        gr.update(choices=changes, value=changes[0]),
        gr.update(visible=False),
    )


def _changes(
    inside: Inside, sound: gr.Audio, second: gr.Audio, codec: gr.Dropdown
) -> tuple[gr.Radio, gr.CheckboxGroup, gr.Column]:
    """Add what changes a sound from the inside; returns what depends on the sound."""
    with gr.Row(equal_height=False):
        with gr.Column(scale=5, min_width=300):
            change = gr.Radio([MUTE, SHUFFLE, SWAP], value=MUTE, label="Change", elem_id="inside-change")
            parts = gr.CheckboxGroup([], label="Which", elem_id="inside-parts")
            amount = gr.Slider(
                0, 1, 0.5, step=0.05, label="Place between them", info="0 is the first", visible=False
            )
            missing = gr.Markdown(SECOND_MISSING, visible=False, elem_id="second-missing")
            hear = gr.Button("Hear it", variant="primary", elem_id="hear-inside")
            stop = gr.Button("Stop", visible=False)
            said = message("hear-wrong")
        with gr.Column(scale=9, min_width=300):
            changing = gr.Markdown(visible=False, elem_classes="working")
            with gr.Column(visible=False) as heard:
                made = player("Changed", "changed")
                made_view = picture("the changed sound", "changed")

    async def hear_it(
        path: str,
        other: str | None,
        name: str,
        kind: str,
        chosen: list[int],
        place: float,
        request: gr.Request,
    ) -> tuple[Any, ...]:
        file = await inside.change(kind, path, name, chosen, request, second=other, amount=place)

        def work(cancel: Cancel) -> Any:
            samples, rate = read_mono(file)
            return spectrogram(samples.numpy(), rate)

        label = kind if kind == BETWEEN else f"{kind}: {', '.join(map(str, sorted(chosen)))}"
        image = await inside.run(file, request, work)
        return gr.update(visible=True), gr.update(value=file, label=label), image

    def can_hear(kind: str, other: str | None) -> list[Any]:
        lacks = kind in (SWAP, BETWEEN) and not other
        return [gr.update(interactive=not lacks), gr.update(visible=lacks)]

    def shown(kind: str, other: str | None) -> list[Any]:
        visible = kind in (SWAP, BETWEEN), kind != BETWEEN, kind == BETWEEN
        return [*(gr.update(visible=each) for each in visible), *can_hear(kind, other)]

    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    change.change(shown, [change, second], [second, parts, amount, hear, missing], queue=False, **quiet)
    second.change(can_hear, [change, second], [hear, missing], queue=False, **quiet)
    while_working(
        [hear.click],
        hear_it,
        shown=[changing],
        hidden=[hear],
        cleared=[heard],
        stop=stop,
        said=said,
        inputs=[sound, second, codec, change, parts, amount],
        outputs=[heard, made, made_view],
        show_progress_on=[changing],
        api_visibility="private",
    )
    return change, parts, heard


def _sound(label: str, name: str, *, visible: bool = True) -> gr.Audio:
    return gr.Audio(
        label=f"{label} (up to {say_seconds(MAX_SECONDS)})",
        type="filepath",
        sources=["upload", "microphone"],
        buttons=[],
        visible=visible,
        elem_id=name,
    )


def _endpoints(inside: Inside, codecs: Codecs) -> None:
    """Add the functions to the page's API."""

    def sounds(*names: str) -> list[Any]:
        return [gr.Audio(label=name, type="filepath") for name in names]

    def codec() -> Any:
        return gr.Textbox(label="codec", value=codecs.names[0])

    def parts() -> Any:
        return gr.JSON(label="parts", value=[1])

    def result() -> list[Any]:
        return sounds("changed")

    endpoint(inside.encode, lambda: [*sounds("sound"), codec()], lambda: [gr.JSON(label="frames")])
    endpoint(inside.mute, lambda: [*sounds("sound"), codec(), parts()], result)
    endpoint(inside.shuffle, lambda: [*sounds("sound"), codec(), parts()], result)
    endpoint(inside.swap, lambda: [*sounds("sound", "second"), codec(), parts()], result)
    endpoint(
        inside.interpolate,
        lambda: [*sounds("sound", "second"), codec(), gr.Number(label="amount", value=0.5)],
        result,
    )
