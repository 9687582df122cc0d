"""Answers that are sounds: whole files, and streams that end when the listener goes away."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncGenerator, Awaitable
from pathlib import Path
from typing import TypeVar

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from ..core.audio_blocks import to_pcm, wav_header
from ..gen.generated_audio import GeneratedAudio

SEND_SECONDS = 60.0  # a listener that takes nothing for so long is gone
Result = TypeVar("Result")


class ClientGone(Exception):
    """The client has closed the connection."""


async def until_disconnected(receive: Receive, work: Awaitable[Result]) -> Result:
    """Wait for some work, which is cancelled when the client goes away.

    Raises:
        ClientGone: it did.
    """

    async def disconnected() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    task, gone = asyncio.ensure_future(work), asyncio.ensure_future(disconnected())
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientGone
        return task.result()
    finally:
        for one in (task, gone):
            one.cancel()
        await asyncio.gather(task, gone, return_exceptions=True)


def media_type(audio: GeneratedAudio, kind: str) -> str:
    """The Content-Type of a format."""
    return f"audio/{kind}" if kind != "pcm" else f"audio/pcm;rate={audio.sample_rate};encoding=signed-int"


def sound_headers(audio: GeneratedAudio, model: str) -> dict[str, str]:
    """What is said of a sound: enough to make it again."""
    return {
        "X-Model": model.encode("ascii", "replace").decode(),
        "X-Seed": str(audio.seeds[0]),
        "X-Sample-Rate": str(audio.sample_rate),
        "X-Channels": str(audio.samples.shape[1]),
        "Cache-Control": "no-store",
    }


def file_bytes(audio: GeneratedAudio, kind: str) -> bytes:
    """The first sound as the content of a file: wav, flac, or pcm without a header."""
    if kind == "pcm":
        return to_pcm(audio.samples[0])
    with tempfile.TemporaryDirectory(prefix="soundloom-") as folder:
        return audio.save(Path(folder, f"sound.{kind}")).read_bytes()


def file_response(audio: GeneratedAudio, kind: str, headers: dict[str, str]) -> Response:
    """The first sound as a whole file; it takes a moment to encode."""
    return Response(file_bytes(audio, kind), headers=headers, media_type=media_type(audio, kind))


class SoundStream(Response):
    """Sends the first sound of each chunk as soon as it is there.

    Args:
        first: the first chunk.
        rest: the others; closed when all are sent or the client is gone.
        kind: "wav" or "pcm".
        length: samples of the whole sound.
        headers: see `sound_headers`.
    """

    def __init__(
        self,
        first: GeneratedAudio,
        rest: AsyncGenerator[GeneratedAudio, None],
        *,
        kind: str,
        length: int,
        headers: dict[str, str],
    ) -> None:
        self.status_code, self.media_type, self.background = 200, media_type(first, kind), None
        self.init_headers(headers)
        self._first, self._rest, self._kind, self._length = first, rest, kind, length

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI interface."""
        async with contextlib.aclosing(self._rest):
            with contextlib.suppress(ClientGone):
                await until_disconnected(receive, self._send(send))

    async def _send(self, send: Send) -> None:
        head = {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
        await send(head)
        first = self._first
        header = b""
        if self._kind == "wav":
            header = wav_header(first.sample_rate, first.samples.shape[1], self._length)
        await self._part(send, header + to_pcm(first.samples[0]))
        async for chunk in self._rest:
            await self._part(send, to_pcm(chunk.samples[0]))
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _part(self, send: Send, body: bytes) -> None:
        async with asyncio.timeout(SEND_SECONDS):
            await send({"type": "http.response.body", "body": body, "more_body": True})
