"""What is wrong is said in the page."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

import gradio as gr
import pytest

from soundloom.demo.checked_upload import LAST, NO_SOUND, NONE_YET, TAKES
from soundloom.demo.messages import said_in_page, wrong
from soundloom.demo.temporary_files import failure


async def work(name: str, progress: gr.Progress = gr.Progress()) -> tuple[Any, ...]:  # noqa: B008
    if name == "<b>":
        raise failure(f"there is no {name}")
    return name, len(name)


def test_what_work_raises_becomes_its_last_value() -> None:
    with gr.Blocks():
        outputs = [gr.Textbox(), gr.Number()]
    told = said_in_page(work, outputs)
    assert inspect.signature(told) == inspect.signature(work)  # gradio gives what it asks for
    assert asyncio.run(told("rain")) == ("rain", 4, "")
    assert asyncio.run(told("<b>")) == (gr.skip(), gr.skip(), wrong("There is no <b>"))
    assert "There is no &lt;b&gt;" in wrong("There is no <b>")
    with pytest.raises(TypeError):
        asyncio.run(told(3))


def test_every_button_that_takes_a_sound_says_what_to_do_where_there_is_none() -> None:
    assert LAST in NO_SOUND
    assert set(NONE_YET) == set(TAKES)
