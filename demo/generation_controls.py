"""Controls of the Make tab for the generation settings, built from what gen/settings.py says of each."""

from __future__ import annotations

from typing import Any

import gradio as gr

from ..gen.settings import OPTIONS
from .generator import Generator
from .sound_maker import MAX_VARIATIONS

MAX_SEED = 2**53 - 1  # what a browser counts exactly
# In the tab itself, not below "More settings".
OUTSIDE = ("duration",)
VARIATIONS = "num_samples"
INFO = {"seed": "same seed, prompt and settings, same sound; empty: a new one every time"}


def control(name: str, model: Generator, *, info: bool = True, **component: Any) -> gr.components.Component:
    """The component that a setting is chosen with, showing the model's own value where it has one.

    Args:
        name: of a field of `GenerationSettings`.
        model: what generates.
        info: say what the setting does.
        component: what else the component takes.
    """
    option = OPTIONS[name]
    value: Any = getattr(model, name, None) if option.default is None else option.default
    slider = (0, model.lm.codebook_size, 1) if name == "top_k" else option.slider
    text = INFO.get(name, option.help)
    about: dict[str, Any] = {
        "label": option.label,
        "info": f"{text[:1].upper()}{text[1:]}." if info else None,
        "elem_id": name.replace("_", "-"),
        **component,
    }
    if slider is not None:
        first, last, step = slider
        return gr.Slider(first, last, value=min(value, last), step=step, **about)
    if option.kind is bool:
        return gr.Checkbox(value=value, **about)
    if option.kind is str:
        return gr.Textbox(value=value or "", **about)
    if name == "seed":
        about["maximum"] = MAX_SEED
    return gr.Number(value=value, minimum=option.low, precision=0 if option.kind is int else None, **about)


def variations() -> gr.Radio:
    """How many sounds are made of one prompt."""
    return gr.Radio(
        list(range(1, MAX_VARIATIONS + 1)),
        value=1,
        label="Variations, side by side",
        scale=3,
        min_width=290,
        elem_id="variations",
    )


def more_controls(model: Generator) -> dict[str, gr.components.Component]:
    """Add the settings that most people need not see, in two columns; returns them by their names."""
    names = [name for name, option in OPTIONS.items() if option.label and name not in OUTSIDE]
    controls: dict[str, gr.components.Component] = {}
    with gr.Row(equal_height=False):
        for half in (names[: (len(names) + 1) // 2], names[(len(names) + 1) // 2 :]):
            with gr.Column(min_width=280):
                controls |= {name: control(name, model) for name in half}
    return controls
