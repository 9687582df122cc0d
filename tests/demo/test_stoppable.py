"""Work that nobody wants any more ends: by cancelling, by leaving, by its time."""

from __future__ import annotations

import asyncio
import threading
import time
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest
from gradio_client import Client

from soundloom.demo.endpoint import endpoint
from soundloom.demo.left_pages import stamp
from soundloom.demo.page import serve
from soundloom.demo.stoppable import Cancel, Stoppable, check
from soundloom.gen.generation import GenerationCancelled
from tests.demo.waiting import until_processing


def page(session: str | None) -> Any:
    return SimpleNamespace(session_hash=session)


def asked_by(session: str | None) -> Any:
    """A request that comes now."""
    scope: dict[str, Any] = {}
    stamp(scope)
    return SimpleNamespace(session_hash=session, request=SimpleNamespace(scope=scope))


def until_stopped(ended: threading.Event) -> Any:
    def work(cancel: Cancel) -> None:
        try:
            while True:
                check(cancel)
                time.sleep(0.005)
        finally:
            ended.set()

    return work


def test_a_result_comes_back_and_errors_too() -> None:
    def fail(cancel: Cancel) -> None:
        raise ValueError("no")

    running = Stoppable()
    assert asyncio.run(running.run(page("a"), lambda cancel: 7)) == 7
    with pytest.raises(ValueError, match="no"):
        asyncio.run(running.run(None, fail))
    assert not running._running


def test_who_cancels_waits_until_the_work_has_ended() -> None:
    ended = threading.Event()

    async def cancelled() -> None:
        task = asyncio.ensure_future(Stoppable().run(page("a"), until_stopped(ended)))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert ended.is_set()

    asyncio.run(cancelled())


@pytest.mark.parametrize("session", ["b", None])
def test_leaving_a_page_ends_its_work_alone(session: str | None) -> None:
    running = Stoppable()
    left, stays = threading.Event(), threading.Event()

    async def leave() -> None:
        tasks = [
            asyncio.ensure_future(running.run(page(whose), until_stopped(ended)))
            for whose, ended in (("a", left), (session, stays))
        ]
        await asyncio.sleep(0.05)
        running.leave(page("a"))
        running.leave(page(None))
        with pytest.raises(gr.Error, match="(?i)this was stopped before it was done"):
            await tasks[0]
        await asyncio.sleep(0.05)
        assert not stays.is_set()
        tasks[1].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(leave())
    assert left.is_set()


def test_what_a_page_asked_for_before_it_was_left_does_not_begin() -> None:
    """It waited meanwhile; a page whose connection was lost for a moment goes on."""
    running = Stoppable()
    before, other, program = asked_by("a"), asked_by("b"), asked_by(None)
    running.leave(page("a"))
    running.leave(page(None))
    with pytest.raises(gr.Error, match="(?i)stopped before it was done"):
        asyncio.run(running.run(before, lambda cancel: pytest.fail("it began")))
    for request in (other, program, None, asked_by("a")):
        assert asyncio.run(running.run(request, lambda cancel: 7)) == 7
    assert not running._running


def test_what_takes_too_long_is_ended_with_a_sentence() -> None:
    ended = threading.Event()
    with pytest.raises(ValueError, match=r"longer than the 0\.05 s that a request may take"):
        asyncio.run(Stoppable(time_limit=0.05).run(page("a"), until_stopped(ended)))
    assert ended.is_set()


def test_a_generation_that_was_cancelled_is_no_crash() -> None:
    def cancelled(cancel: Cancel) -> None:
        raise GenerationCancelled("stopped")

    with pytest.raises(gr.Error, match="stopped") as error:
        asyncio.run(Stoppable().run(None, cancelled))
    assert not error.value.print_exception


def test_a_program_that_cancels_its_job_ends_the_work() -> None:
    begun, ended = threading.Event(), threading.Event()
    running = Stoppable()

    def work(cancel: Cancel) -> None:
        begun.set()
        until_stopped(ended)(cancel)

    async def wait(seconds: float, request: gr.Request) -> str:
        """Wait for good."""
        await running.run(request, work)
        return "done"

    with gr.Blocks() as demo:
        endpoint(wait, lambda: [gr.Number(label="seconds", value=1.0)], lambda: [gr.Textbox(label="said")])
    try:
        job = Client(serve(demo, open_browser=False, block=False), verbose=False).submit(api_name="/wait")
        assert begun.wait(60)
        assert not ended.is_set()
        until_processing(job)
        job.cancel()
        assert ended.wait(60)
    finally:
        running.leave(page(None))
        demo.close(verbose=False)
