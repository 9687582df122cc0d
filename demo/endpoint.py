"""Functions of the demo for programs: named and documented, with defaults, apart from what the page needs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr
from gradio.components import Component


def endpoint(
    function: Callable[..., Any],
    inputs: Callable[[], Sequence[Component]],
    outputs: Callable[[], Sequence[Component]],
    *,
    name: str | None = None,
) -> None:
    """Let programs call a function by its name.

    Its parameters are called as in the function, and described by its docstring; values that the components
    have are their defaults. The page does not show these components.

    Args:
        function: that is called, one at a time.
        inputs: makes a component for each parameter.
        outputs: makes a component for each result, whose label is the result's name.
        name: under which it is called; None: the function's own.
    """
    with gr.Row(visible=False):
        given, results = inputs(), outputs()
        call = gr.Button(visible=False)
    call.click(
        function,
        inputs=list(given),
        outputs=list(results),
        api_name=name or function.__name__,
        concurrency_limit=1,
        show_progress="hidden",
    )
