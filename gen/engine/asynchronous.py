"""Wait for an engine's sounds in an event loop (asyncio) without holding a thread for each."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator

from ..generated_audio import GeneratedAudio, join_chunks
from .generation_handle import GenerationHandle


async def stream_chunks(handle: GenerationHandle) -> AsyncGenerator[GeneratedAudio, None]:
    """Give the chunks of a request as they come; closing the iterator cancels the request.

    Raises:
        GenerationCancelled: it was cancelled.
        Exception: what went wrong with the request.
    """
    loop, changed = asyncio.get_running_loop(), asyncio.Event()

    def wake() -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(changed.set)

    handle.watch(wake)
    index = 0
    try:
        while True:
            changed.clear()
            chunks, ended = handle.ready(index)
            for chunk in chunks:
                yield chunk
            index += len(chunks)
            if ended:
                return
            if not chunks:
                await changed.wait()
    finally:
        handle.cancel()


async def wait_for_result(handle: GenerationHandle) -> GeneratedAudio:
    """The whole sounds of a request; cancelling the task that waits cancels the request. Errors as above."""
    chunks = [chunk async for chunk in stream_chunks(handle)]
    return chunks[0] if len(chunks) == 1 else join_chunks(chunks)
