"""Controls of the Generate tab for the generation settings, built from what gen/settings.py says of each."""

from __future__ import annotations

from typing import Any

import gradio as gr

from ..gen.settings import OPTIONS
from .generator import Generator

MAX_SEED = 2**53 - 1  # what a browser counts exactly
# In the tab itself, not below "More settings".
OUTSIDE = ("duration",)


def control(name: str, model: Generator) -> gr.components.Component:
    """The component that a setting is chosen with, showing the model's own value where it has one.

    Args:
        name: of a field of `GenerationSettings`.
        model: what generates.
    """
    option = OPTIONS[name]
    value: Any = getattr(model, name, None) if option.default is None else option.default
    slider = (0, model.lm.codebook_size, 1) if name == "top_k" else option.slider
    about: dict[str, Any] = {
        "label": option.label,
        "info": f"{option.help[:1].upper()}{option.help[1:]}.",
        "elem_id": name.replace("_", "-"),
    }
    if slider is not None:
        first, last, step = slider
        return gr.Slider(first, last, value=min(value, last), step=step, **about)
    if option.kind is bool:
        return gr.Checkbox(value=value, **about)
    if option.kind is str:
        return gr.Textbox(value=value or "", **about)
    about |= {"value": 7, "maximum": MAX_SEED} if name == "seed" else {"value": value}
    return gr.Number(minimum=option.low, precision=0 if option.kind is int else None, **about)


def more_controls(model: Generator) -> dict[str, gr.components.Component]:
    """Add the settings that most people need not see; by the names of `SoundMaker.make`."""
    with gr.Group():
        controls = {
            "seed": control("seed", model),
            "fresh": gr.Checkbox(value=True, label="New seed every time", elem_id="fresh-seed"),
        }
    for name, option in OPTIONS.items():
        if option.label and name not in (*OUTSIDE, *controls):
            controls[name] = control(name, model)
    return controls
