"""Choose the model that the page generates with: bundled, a folder or a hub id, and its quantization."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gradio as gr
from torch import nn

from ..core.checkpoint import BUNDLED_MODELS
from ..core.errors import ArgumentError
from ..core.hub import bundled_names
from ..gen.model.schemes import AUTO, SCHEMES, scheme_of
from .generator import Generator
from .model_card import about, model_card
from .temporary_files import page_words

AS_STORED = "as stored"


class ChosenModel:
    """The model that all open pages use.

    Args:
        model: what generates at first.
        name: how that is called.
        load: gives another, by its name and quantization (None: as it is stored).
    """

    def __init__(
        self, model: Generator, name: str, load: Callable[[str, str | None], Generator] | None = None
    ) -> None:
        self.model, self.name = model, name
        self._load = load or load_audiogen

    def choose(self, name: str, quantization: str) -> None:
        """Load another model and take it.

        Raises:
            ValueError, OSError: there is none of this name, or it cannot be loaded; the old one stays.
        """
        name = (name or "").strip()
        if not name:
            raise ArgumentError("no model is named; choose one, or type a folder or a hub id")
        scheme = None if quantization in ("", AS_STORED) else quantization
        self.model, self.name = self._load(name, scheme), name

    @property
    def weights(self) -> str:
        """How its weights are kept in memory, in words."""
        lm: Any = self.model.lm
        scheme = scheme_of(lm) if isinstance(lm, nn.Module) else None
        if scheme is not None:
            return f"with {scheme} weights"
        return "with its weights as they are, not quantized"


def load_audiogen(name: str, quantization: str | None) -> Generator:
    """Load a model by its name, see `AudioGen.from_pretrained`."""
    from ..gen.pipeline import AudioGen

    return AudioGen.from_pretrained(name, quantization=quantization)


def generators() -> list[str]:
    """Names of the models in the package that make sounds."""
    return [name for name in bundled_names(BUNDLED_MODELS) if (BUNDLED_MODELS / name / "lm").is_dir()]


def model_section(chosen: ChosenModel, *, choice: bool) -> None:
    """Add what the page says of its model and, if it may be changed here, the means to change it.

    Args:
        chosen: the model.
        choice: whether pages may load other models; not where strangers can open them.
    """
    told = gr.Markdown(about(chosen.name), elem_id="about")
    with gr.Accordion("Choose another model", open=False, visible=choice, elem_id="choose-model"):
        with gr.Row(equal_height=True):
            name = gr.Dropdown(
                list(dict.fromkeys([*generators(), chosen.name])),
                value=chosen.name,
                label="Model",
                info="One that ships, or type a folder or a Hugging Face id",
                allow_custom_value=True,
                scale=3,
                elem_id="model",
            )
            scheme = gr.Dropdown(
                [AS_STORED, *SCHEMES, AUTO],
                value=AS_STORED,
                label="Quantization",
                info="int8 and int4 need less memory; auto measures which is fastest here",
                scale=2,
                elem_id="quantization",
            )
            button = gr.Button("Load", scale=1, min_width=120, elem_id="load-model")
        said = gr.Markdown(elem_id="model-status")
    card = model_card(chosen.name)
    with gr.Accordion("The whole model card", open=False, visible=bool(card)) as whole:
        text = gr.Markdown(card)

    def load(name: str, scheme: str) -> dict[Any, Any]:
        try:
            chosen.choose(name, scheme)
        except (ValueError, OSError, ImportError) as error:
            return {said: page_words(error)}
        found = model_card(chosen.name)
        return {
            said: f"Loaded: the next sounds come from `{chosen.name}`, {chosen.weights}.",
            told: about(chosen.name),
            text: found,
            whole: gr.update(visible=bool(found)),
        }

    if choice:
        button.click(
            load,
            inputs=[name, scheme],
            outputs=[said, told, text, whole],
            show_progress_on=[said],
            concurrency_limit=1,
            concurrency_id="generate",
            api_visibility="private",
        )
