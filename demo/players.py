"""What shows a sound on the page: a player and a spectrogram."""

from __future__ import annotations

import gradio as gr


def player(label: str, name: str) -> gr.Audio:
    """Plays a sound; `name` is its id on the page."""
    return gr.Audio(label=label, type="filepath", interactive=False, buttons=["download"], elem_id=name)


def picture(label: str, name: str, *, visible: bool = True) -> gr.Image:
    """Shows the spectrogram of the sound `name`."""
    return gr.Image(
        show_label=False,
        alt_text=f"Spectrogram: {label}",
        interactive=False,
        format="png",
        buttons=[],
        visible=visible,
        elem_id=f"{name}-spectrogram",
    )
