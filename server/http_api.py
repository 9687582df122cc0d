"""The HTTP interface: which addresses there are, what they answer, and with which words they refuse."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import FastAPI, Form, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, Response
from starlette.exceptions import HTTPException

from .. import __version__
from ..core.errors import SoundloomError
from ..evaluation.audio_text_scorer import AudioTextScorer
from ..gen.engine.asynchronous import stream_chunks, wait_for_result
from ..gen.engine.engine import Engine, EngineClosedError, QueueFullError
from ..gen.engine.generation_handle import GenerationHandle
from ..gen.generated_audio import GeneratedAudio
from ..gen.generation import Cancel
from .edit_queue import EditQueue
from .edit_request import EditRequest, read_upload
from .generation_request import FORMATS, GenerationRequest, explain, field_of
from .guard import EDITS, refusal
from .reference_page import reference_page
from .sound_response import ClientGone, SoundStream, file_response, sound_headers, until_disconnected

logger = logging.getLogger(__name__)

CLIENT_CLOSED = 499  # nobody reads it; logs of others use this number too
DESCRIPTION = """Text to sound over HTTP. Every error is `{"error": {"message": ..., "field": ...}}`."""


def _example(message: str, field: str | None = None) -> dict[str, Any]:
    return {"application/json": {"example": {"error": {"message": message, "field": field}}}}


SOUNDS: dict[str, Any] = {
    kind: {"schema": {"type": "string", "format": "binary"}}
    for kind in ("audio/wav", "audio/flac", "audio/pcm")
}
ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The sound. X-Seed, X-Model, X-Sample-Rate (Hz) and X-Channels tell of it.",
        "content": SOUNDS,
    },
    401: {
        "description": "The key is missing or wrong.",
        "content": _example("the key is missing or wrong; …"),
    },
    404: {
        "description": "There is no such model.",
        "content": _example("there is no model 'x' here; use foley", "model"),
    },
    413: {"description": "The body is too long."},
    422: {
        "description": "A value is impossible.",
        "content": _example("guidance_scale is 101.0; allowed are 0 to 100 (…)", "guidance_scale"),
    },
    429: {
        "description": "The queue is full; Retry-After says in how many seconds to come again.",
        "content": _example("the queue is full: 72 sounds are being made or wait, of at most 72; …"),
    },
    503: {"description": "The server is being stopped."},
}


def build_api(engine: Engine, *, name: str = "foley", scorer: Callable[[], Any] = AudioTextScorer) -> FastAPI:
    """The interface to an engine, without the checks of `Guard`.

    Args:
        engine: makes the sounds.
        name: of its model.
        scorer: makes what chooses between candidates, when it is first asked for.
    """
    api = FastAPI(
        title="soundloom", version=__version__, description=DESCRIPTION, docs_url=None, redoc_url=None
    )
    scorers: list[Any] = []
    queue = EditQueue()

    @api.post("/v1/audio/generations", response_class=Response, responses=ANSWERS, tags=["sounds"])
    async def generate(body: GenerationRequest, request: Request) -> Response:
        """Make the sound of a sentence.

        With `stream` the sound comes in chunks while it is being made. Loops and sounds with `prompts_at` are
        made whole, one at a time. Closing the connection ends the work.
        """
        if body.model not in (None, name):
            return _no_model(body.model, name)

        def chooser() -> Any:
            if body.candidates == 1:
                return None
            scorers[:] = scorers or [scorer()]
            return scorers[0]

        def submit() -> GenerationHandle:
            settings, client = body.settings(), _client(request)
            return engine.submit(body.prompt, settings, client=client, stream=body.stream, rerank=chooser())

        if body.is_whole:
            _check_open(engine)
            settings = body.settings()  # what can be refused without waiting
            engine.check_size(settings.candidates, settings.duration)
            body.sequence(engine.codec.frame_rate)

            def make(cancel: Cancel) -> GeneratedAudio:
                return body.make(engine.model, rerank=chooser(), cancel=cancel)

            return await _made_alone(queue, make, request, name, body.response_format)
        handle = await asyncio.to_thread(submit)  # which encodes the text
        try:
            if body.stream:
                chunks = stream_chunks(handle)
                first = await until_disconnected(request.receive, anext(chunks))
                length = engine.count_samples(body.duration)
                headers = sound_headers(first, name)
                return SoundStream(first, chunks, kind=body.response_format, length=length, headers=headers)
            audio = await until_disconnected(request.receive, wait_for_result(handle))
        except ClientGone:
            return Response(status_code=CLIENT_CLOSED)
        headers = sound_headers(audio, name)
        return await asyncio.to_thread(file_response, audio, body.response_format, headers)

    _add_edits(api, engine, queue, name)

    @api.get("/v1/models", tags=["server"])
    async def models() -> dict[str, Any]:
        """The models that are served, and what they take."""
        codec = engine.codec
        about = {
            "id": name,
            "object": "model",
            "owned_by": "soundloom",
            "sample_rate": codec.sample_rate,
            "channels": codec.channels,
            "max_duration": engine.max_seconds,
            "window_seconds": engine.model.max_seconds,
            "guidance_scale": engine.guidance_scale,
            "top_k": engine.top_k,
        }
        return {"object": "list", "data": [about]}

    @api.get("/health", tags=["server"])
    async def health() -> JSONResponse:
        """Whether sounds are being made (200) or not any more (503), and how much there is to do."""
        load = engine.load
        status = {"status": "ok" if engine.alive else "stopped", "version": __version__, "model": name}
        work = {"running": load.running, "waiting": load.waiting, "seconds": round(load.seconds, 3)}
        return JSONResponse(status | work, 200 if engine.alive else 503)

    @api.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return HTMLResponse(reference_page(api.openapi()))

    @api.api_route(
        "/v1/{rest:path}", methods=["GET", "POST", "PUT", "PATCH", "DELETE"], include_in_schema=False
    )
    async def nothing_here(rest: str, request: Request) -> Response:
        paths = ", ".join(api.openapi()["paths"])
        return refusal(404, f"there is nothing at {request.method} /v1/{rest[:80]}; there are {paths}")

    _add_refusals(api)
    return api


def _check_open(engine: Engine) -> None:
    """Raise EngineClosedError where nothing new is begun."""
    if not engine.alive:
        raise EngineClosedError("the server is being stopped")


async def _made_alone(
    queue: EditQueue, work: Callable[[Cancel], GeneratedAudio], request: Request, name: str, kind: FORMATS
) -> Response:
    """The sound that some work gives when its turn in the queue comes; ends with the client."""
    try:
        audio = await until_disconnected(request.receive, queue.run(work))
    except ClientGone:
        return Response(status_code=CLIENT_CLOSED)
    return await asyncio.to_thread(file_response, audio, kind, sound_headers(audio, name))


def _add_edits(api: FastAPI, engine: Engine, queue: EditQueue, name: str) -> None:
    """The address of edits."""

    @api.post(EDITS, response_class=Response, responses=ANSWERS, tags=["sounds"])
    async def edit(
        body: Annotated[EditRequest, Form(media_type="multipart/form-data")], request: Request
    ) -> Response:
        """Fill regions of a sound anew, vary all of it, make a loop of it, or make it longer.

        Rate and channels are those of the sound that is sent. Closing the connection ends the work.
        """
        if body.model not in (None, name):
            return _no_model(body.model, name)
        _check_open(engine)
        body.settings()  # what can be refused without waiting
        body.spans()
        content = await body.file.read()

        def work(cancel: Cancel) -> GeneratedAudio:
            most = engine.max_seconds
            return body.edit(engine.model, read_upload(content, most), max_seconds=most, cancel=cancel)

        return await _made_alone(queue, work, request, name, body.response_format)


def _no_model(asked: str | None, name: str) -> Response:
    return refusal(404, f"there is no model {str(asked)[:80]!r} here; use {name}", field="model")


def _add_refusals(api: FastAPI) -> None:
    """Put errors into sentences."""

    @api.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        message, field = explain(error.errors(), _kind_of(request))
        return refusal(422, message, field=field)

    @api.exception_handler(QueueFullError)
    async def full(_: Request, error: QueueFullError) -> Response:
        return refusal(429, str(error), headers={"Retry-After": str(error.retry_after)})

    @api.exception_handler(EngineClosedError)
    async def closed(_: Request, error: EngineClosedError) -> Response:
        return refusal(503, str(error))

    # SoundloomError before ValueError: an error that is both is one that the library has words for.
    async def impossible(request: Request, error: Exception) -> Response:
        return refusal(422, str(error), field=field_of(str(error), _kind_of(request)))

    for kind in (SoundloomError, TypeError, ValueError):
        api.add_exception_handler(kind, impossible)

    @api.exception_handler(HTTPException)
    async def other(request: Request, error: HTTPException) -> Response:
        where = f"{request.method} {request.url.path[:80]}"
        return refusal(error.status_code, f"{where}: {error.detail}", headers=dict(error.headers or {}))

    @api.exception_handler(Exception)
    async def failed(request: Request, error: Exception) -> Response:
        return refusal(500, f"the server failed ({type(error).__name__}); its log says more")


def _kind_of(request: Request) -> type[EditRequest | GenerationRequest]:
    return EditRequest if request.url.path == EDITS else GenerationRequest


def _client(request: Request) -> str:
    """Who asks, for fair turns: the key, where there is one, and the address."""
    key = hashlib.sha256(request.headers.get("authorization", "").encode()).hexdigest()[:16]
    return f"{key} {request.client.host if request.client else ''}"
