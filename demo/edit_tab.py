"""The Edit tab: a part of a sound is filled anew or shaped, the whole is looped, made longer or varied."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any

import gradio as gr
from gradio.blocks import Block

from ..core.audio import read_audio
from ..core.pictures import Spectrogram
from ..gen.editing.fill_gap import longest_gap
from .checked_upload import checked_upload, take_buttons
from .edit_endpoints import edit_endpoints
from .in_browser import IN_BROWSER
from .input import read_upload, say_seconds
from .messages import message
from .players import picture, player
from .shape_region import LEAST_DB, MOST_DB
from .sound_edits import (
    EXTEND,
    LOOP,
    MAX_MORE,
    MAX_SECONDS,
    REPLACE,
    SHAPE,
    VARY,
    WITH_PART,
    WITH_PROMPT,
    SoundEdits,
)
from .spectrogram_images import RegionPicture
from .stoppable import Stoppable
from .temporary_files import Shelf
from .working import answered_first, press, while_working

WHERE_PART = "A click into the picture moves its nearer edge."
WHAT = {
    REPLACE: "The part is filled anew: it goes on from what is before and leads to what is after. "
    f"{WHERE_PART}",
    LOOP: "The end is filled anew so that it leads to the beginning.",
    EXTEND: "The sound goes on. What is there stays as it is.",
    VARY: "A share of the sound is drawn again, the fine details first.",
    SHAPE: f"The part becomes louder or quieter, or is faded. No model takes part. {WHERE_PART}",
}


@dataclass(frozen=True)
class Controls:
    """What is set in the tab."""

    what: gr.Radio
    about: gr.Markdown
    start: gr.Slider
    end: gr.Slider
    prompt: gr.Textbox
    seam: gr.Slider
    more: gr.Slider
    strength: gr.Slider
    gain: gr.Slider
    fade_in: gr.Slider
    fade_out: gr.Slider
    seed: gr.Textbox

    def shown_for(self, what: str) -> dict[Any, Any]:
        """Updates that show what belongs to an edit."""
        shown = {
            self.start: what in WITH_PART,
            self.end: what in WITH_PART,
            self.prompt: what in WITH_PROMPT,
            self.seam: what == LOOP,
            self.more: what == EXTEND,
            self.strength: what == VARY,
            self.gain: what == SHAPE,
            self.fade_in: what == SHAPE,
            self.fade_out: what == SHAPE,
            self.seed: what in WITH_PROMPT,
        }
        return {part: gr.update(visible=visible) for part, visible in shown.items()} | {
            self.about: WHAT[what]
        }


@dataclass(frozen=True)
class EditPage:
    """The components of the tab."""

    sound: gr.Audio
    taken: dict[gr.Button, Block]
    view: gr.Image
    controls: Controls
    button: gr.Button
    stop: gr.Button
    said: gr.HTML
    status: gr.Markdown
    working: gr.Markdown
    results: gr.Column
    edited: gr.Audio
    edited_view: gr.Image
    download: gr.DownloadButton
    further: gr.Button


def edit_tab(demo: gr.Blocks, model: object) -> None:
    """Add the tab's content to the page, after the tab that makes sounds: these can be edited, too.

    Args:
        demo: the page.
        model: an AudioGen, or what holds one as its `model`.
    """
    running = Stoppable()
    edits = SoundEdits(model, Shelf(), running)
    page = _lay_out(demo)
    _choose_parts(page, edits)
    controls = {name: each for name, each in vars(page.controls).items() if name != "about"}

    async def edit(
        sound: str,
        what: str,
        request: gr.Request,
        progress: gr.Progress = gr.Progress(),  # noqa: B008  (how gradio finds out that progress is wanted)
        **chosen: Any,
    ) -> tuple[Any, ...]:
        began = time.perf_counter()
        file, seed = await edits.of_page(what, sound, chosen, request, progress)
        region = [(chosen["start"], chosen["end"])] if what in WITH_PART else []
        image = await asyncio.to_thread(_edited_picture, file, region)
        facts = [what, f"{time.perf_counter() - began:.1f} s of work"]
        facts += [] if seed is None else [f"seed {seed}"]
        return gr.update(visible=True), file, image, file, gr.update(visible=True, value=" · ".join(facts))

    while_working(
        [page.button.click],
        edit,
        shown=[page.working],
        hidden=[page.button],
        cleared=[page.results],
        stop=page.stop,
        said=page.said,
        inputs_kwargs={"sound": page.sound, **controls},
        outputs=[page.results, page.edited, page.edited_view, page.download, page.status],
        show_progress_on=[page.working],
        api_visibility="private",
    )
    page.controls.prompt.submit(js=press("edit"), **IN_BROWSER)
    demo.unload(running.leave)
    edit_endpoints(edits)


def _lay_out(demo: gr.Blocks) -> EditPage:
    """Add everything that is seen."""
    with gr.Row(equal_height=False, elem_id="edit-row"):
        with gr.Column(min_width=280):
            sound = gr.Audio(
                label=f"Sound to edit (up to {say_seconds(MAX_SECONDS)})",
                type="filepath",
                sources=["upload", "microphone"],
                buttons=[],
                elem_id="to-edit",
            )
            taken = take_buttons(demo)
            about = "the sound, the part marked; a click moves its nearer edge"
            view = picture(about, "to-edit", visible=False)
        with gr.Column(min_width=280, elem_id="edit-controls"):
            controls = _controls()
            button = gr.Button("Edit", variant="primary", size="lg", elem_id="edit")
            stop = gr.Button("Stop", size="lg", visible=False, elem_id="stop-edit")
            said = message("edit-wrong")
            status = gr.Markdown(elem_id="edited-status")
        with gr.Column(min_width=280):
            working = gr.Markdown(visible=False, elem_id="editing", elem_classes="working")
            with gr.Column(visible=False, elem_id="edited-results") as results:
                edited = player("Edited", "edited")
                edited_view = picture("the edited sound", "edited")
                with gr.Row():
                    download = gr.DownloadButton("Download the edited sound", elem_id="get-edited")
                    further = gr.Button("Edit this one further", elem_id="edit-further")
    return EditPage(
        sound,
        taken,
        view,
        controls,
        button,
        stop,
        said,
        status,
        working,
        results,
        edited,
        edited_view,
        download,
        further,
    )


def _choose_parts(page: EditPage, edits: SoundEdits) -> None:
    """Let a sound be opened, and a part of it be chosen by sliders or by a click into its picture."""
    controls, shown = page.controls, gr.State()  # the RegionPicture of the sound

    def opened(path: str | None) -> list[Any]:
        return _opened(edits, path)

    opens: list[Any] = [shown, controls.start, controls.end, page.view]
    taken = {**page.taken, page.further: page.edited}
    before = [page.results, page.status]
    settings: dict[str, Any] = {"outputs": opens, "then": opened, "taken": taken, "hidden": before}
    checked_upload(page.sound, page.button, limit=MAX_SECONDS, said=page.said, **settings)
    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    parts = [each for name, each in vars(controls).items() if name != "what"]
    controls.what.change(controls.shown_for, [controls.what], parts, queue=False, **quiet)
    edges = [controls.start, controls.end]
    gr.on(
        [controls.start.change, controls.end.change, controls.what.change],
        _marked,
        [shown, controls.what, *edges],
        [page.view],
        trigger_mode="always_last",
        **quiet,
    )
    moved = {"inputs": [shown, *edges], "outputs": edges, **quiet}
    answered_first(page.button, [page.view.select], _clicked, **moved)


def _controls() -> Controls:
    """Add what is set."""
    what = gr.Radio(list(WHAT), value=REPLACE, label="What to do", elem_id="edit-what")
    about = gr.Markdown(WHAT[REPLACE], elem_id="edit-about")
    return Controls(
        what=what,
        about=about,
        start=gr.Slider(0, MAX_SECONDS, 0, step=0.01, label="From (seconds)", elem_id="edit-start"),
        end=gr.Slider(0, MAX_SECONDS, 1, step=0.01, label="To (seconds)", elem_id="edit-end"),
        prompt=gr.Textbox(label="Prompt", placeholder="empty: what fits", max_lines=3, elem_id="edit-prompt"),
        seam=gr.Slider(
            0.1,
            4,
            1,
            step=0.1,
            label="New part (seconds)",
            info="A third of the sound at most",
            visible=False,
        ),
        more=gr.Slider(0.5, MAX_MORE, 3, step=0.5, label="Longer by (seconds)", visible=False),
        strength=gr.Slider(
            0,
            1,
            0.3,
            step=0.05,
            label="Strength",
            info="0: the codec's copy, 1: a new sound",
            visible=False,
        ),
        gain=gr.Slider(
            LEAST_DB,
            MOST_DB,
            0,
            step=1,
            label="Level (dB)",
            elem_id="edit-gain",
            info="-60: silence",
            visible=False,
        ),
        fade_in=gr.Slider(0, 5, 0, step=0.05, label="Fade in (seconds)", visible=False),
        fade_out=gr.Slider(0, 5, 0, step=0.05, label="Fade out (seconds)", visible=False),
        seed=gr.Textbox(label="Seed", placeholder="empty: a new one", max_lines=1, elem_id="edit-seed"),
    )


def _opened(edits: SoundEdits, path: str | None) -> list[Any]:
    """What the page shows of a sound that was opened: its picture, and sliders that fit."""
    if path is None:
        return [None, gr.skip(), gr.skip(), gr.update(value=None, visible=False)]
    samples, rate = read_upload(path, limit=MAX_SECONDS)
    view = RegionPicture(Spectrogram(samples.mean(0), rate))
    length = min(1.0, view.seconds / 3, longest_gap(edits.editor))
    part = round((view.seconds - length) / 2, 2), round((view.seconds + length) / 2, 2)
    edges = [gr.update(maximum=round(view.seconds, 2), value=edge) for edge in part]
    return [view, *edges, gr.update(value=view.marked([part]), visible=True)]


def _marked(view: RegionPicture | None, what: str, start: float, end: float) -> Any:
    """The picture with the part that an edit is about."""
    if view is None:
        return gr.skip()
    return view.marked([(start, end)] if what in WITH_PART else [])


def _clicked(view: RegionPicture | None, start: float, end: float, event: gr.SelectData) -> tuple[Any, Any]:
    """The edge of the part that is nearer to a click moves there."""
    if view is None:
        return gr.skip(), gr.skip()
    place = round(view.time_at(event.index[0]), 2)
    return (place, gr.skip()) if abs(place - start) < abs(place - end) else (gr.skip(), place)


def _edited_picture(file: str, region: list[tuple[float, float]]) -> Any:
    samples, rate = read_audio(file)
    return RegionPicture(Spectrogram(samples.mean(0), rate)).marked(region)
