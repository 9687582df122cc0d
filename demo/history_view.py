"""The sounds of a session, below the page's newest: hear, keep, make again, go on from, download all."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from typing import Any

import gradio as gr

from .live import LiveSounds
from .made_sound import History, MadeSound, keep, wanted, write_zip
from .sound_cards import KEEP, KEPT, START
from .sound_player import sound_player
from .temporary_files import Shelf
from .working import answered_first

# What the page does with a sound: returns updates of the page's controls.
Use = Callable[[MadeSound], dict[Any, Any]]
# Through the queue, though at once: else the browser is not told that the state has changed.
CHANGES_HISTORY: dict[str, Any] = {
    "concurrency_limit": None,
    "show_progress": "hidden",
    "api_visibility": "private",
}
TITLE = "<h2>Sounds of this session</h2><p>Kept for an hour: download what you want to keep longer.</p>"
NO_PROMPT = "(no prompt)"
ZIP_CLICK = "() => setTimeout(() => document.querySelector('#zip-file')?.click(), 300)"


def history_view(
    sounds: LiveSounds,
    shelf: Shelf,
    history: gr.State,
    button: gr.Button,
    *,
    again: Use,
    start: Use,
    controls: list[Any],
) -> None:
    """Add the history to the page.

    Args:
        sounds: where players ask for samples.
        shelf: for zip files.
        history: the session's sounds, a `History`.
        button: makes a sound.
        again, start: fill the page's controls to make a sound again, or to go on from it.
        controls: all that these two change.
    """
    # Beside the section: gradio shows what is in a column whenever the column is made visible.
    zip_file = gr.DownloadButton(visible="hidden", elem_id="zip-file")
    with gr.Column(visible=False, elem_id="history") as section:
        with gr.Row(equal_height=False):
            gr.HTML(TITLE, min_height=1)
            everything = gr.Button("Download all as zip", size="md", scale=0, min_width=250, elem_id="zip")

        @gr.render(inputs=[history], triggers=[history.change])
        def show(made: History) -> None:
            for sound in made:
                _row(sounds, sound, history, button, again=again, start=start, controls=controls)

    def label(made: History) -> tuple[Any, Any]:
        kept = sum(sound.kept for sound in made)
        every = f"Download all {len(made)} as zip" if len(made) > 1 else "Download it as zip"
        text = f"Download the {kept} kept as zip" if kept else every
        return gr.update(visible=bool(made)), gr.update(value=text)

    history.change(label, [history], [section, everything], queue=False, api_visibility="private")
    everything.click(
        lambda made: str(write_zip(wanted(made), shelf.place("soundloom-sounds.zip"))),
        [history],
        [zip_file],
        queue=False,
        api_visibility="private",
    ).success(None, js=ZIP_CLICK)


def _row(
    sounds: LiveSounds,
    sound: MadeSound,
    history: gr.State,
    button: gr.Button,
    *,
    again: Use,
    start: Use,
    controls: list[Any],
) -> None:
    """One sound of the history."""
    key = sound.name
    with gr.Row(equal_height=True, elem_classes="made", key=f"row-{key}"):
        with gr.Column(scale=4, min_width=280):
            sound_player(
                sounds,
                f"Sound with seed {sound.seed}",
                [sound.name, False],
                one_line=True,
                key=f"player-{key}",
            )
        with gr.Column(scale=3, min_width=220):
            gr.HTML(
                f"<p class='prompt'>{escape(sound.prompt or NO_PROMPT)}</p><p>{escape(sound.facts())}</p>",
                elem_classes="facts",
                key=f"facts-{key}",
            )
        with gr.Row(elem_classes="do", scale=4):
            common: dict[str, Any] = {"size": "sm", "min_width": 60}
            kept = gr.Button(KEPT if sound.kept else KEEP, **common)
            repeat = gr.Button("Again", key=f"again-{key}", **common)
            begin = gr.Button(START, key=f"start-{key}", **common)
            gr.DownloadButton("Download", str(sound.file), key=f"download-{key}", **common)
    kept.click(lambda made: keep(made, key), [history], [history], **CHANGES_HISTORY)
    event: dict[str, Any] = {
        "outputs": controls,
        "queue": False,
        "show_progress": "hidden",
        "api_visibility": "private",
    }
    answered_first(button, [repeat.click], lambda: again(sound), **event)
    answered_first(button, [begin.click], lambda: start(sound), **event)
