"""Check requests before anything reads them: where they come from, who sends them, how long they are.

The server listens on this machine unless told otherwise, and still any web page that the user opens can send
requests to it. So what a page of another site could send is refused: requests under a name that leads here
only since a moment (DNS rebinding), and those that a browser says another site has caused.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hmac
from collections.abc import Sequence

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..core.own_hosts import is_own_host

API = "/v1/"
EDITS = "/v1/audio/edits"
MAX_BODY = 65536  # bytes of a request to the API
MAX_UPLOAD = 32 << 20  # bytes of a request that sends a sound
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")


def refusal(
    status: int, message: str, *, field: str | None = None, headers: dict[str, str] | None = None
) -> JSONResponse:
    """An error as every route gives it: a sentence, and the field that it is about."""
    return JSONResponse({"error": {"message": message, "field": field}}, status, headers=headers)


class TooLong(Exception):
    """The body of a request is longer than is taken."""


class Guard:
    """Middleware that refuses requests; what it lets pass is counted.

    Args:
        app: what it guards.
        keys: of the API; a request needs one of them. Empty: none is needed.
        hosts: names under which the server may be addressed, beside localhost and IP addresses.
        most: requests to the API that may be open at once.

    Attributes:
        open: requests to the API that are not answered to their end.
    """

    def __init__(
        self, app: ASGIApp, *, keys: Sequence[str] = (), hosts: Sequence[str] = (), most: int = 1024
    ) -> None:
        self.app, self.keys, self.most = app, [key.encode() for key in keys], most
        self.hosts = {name.lower() for name in hosts}
        self.open = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI interface."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        refused = self._refuse(scope, headers)
        if refused is not None:
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008})
                return
            await refused(scope, receive, send)
            return
        if not scope["path"].startswith(API):
            await self.app(scope, receive, send)
            return
        self.open += 1
        try:
            await self._limited(scope, headers, receive, send)
        finally:
            self.open -= 1

    def _refuse(self, scope: Scope, headers: Headers) -> JSONResponse | None:
        """What is wrong with the head of a request."""
        host, origin = headers.get("host", ""), headers.get("origin")
        if not is_own_host(host, self.hosts):
            return refusal(
                421,
                f"this server is not {host[:80]!r}; address it by localhost or its IP address, or start it "
                "with --allowed-host NAME",
            )
        unsafe = scope["type"] == "websocket" or scope["method"] not in SAFE_METHODS
        if unsafe and origin is not None and origin.split("://")[-1] != host:
            return refusal(403, f"this comes from a page of {origin[:80]}, which may not use this server")
        if self.keys and scope["path"] != "/health" and not self._has_key(headers):
            return refusal(
                401,
                "the key is missing or wrong; send the header Authorization: Bearer KEY",
                headers={"WWW-Authenticate": 'Basic realm="soundloom: any name, the key as password"'},
            )
        if not scope["path"].startswith(API):
            return None
        kind = headers.get("content-type", "").split(";")[0].strip().lower()
        if unsafe and scope["path"] == EDITS and kind != "multipart/form-data":
            return refusal(
                415,
                "send the body as a form with the sound as its file: curl -F file=@street.wav -F vary=0.3",
            )
        if unsafe and scope["path"] != EDITS and kind != "application/json":
            return refusal(415, "send the body as JSON, with the header Content-Type: application/json")
        length = headers.get("content-length", "0")
        if length.isascii() and length.isdigit() and int(length) > _most_bytes(scope):
            return _too_long(scope)
        if self.open >= self.most:
            return refusal(
                429, f"{self.open} requests are open; try again in a second", headers={"Retry-After": "1"}
            )
        return None

    def _has_key(self, headers: Headers) -> bool:
        """Whether a request carries a key: as a bearer, or as the password that browsers ask for."""
        kind, _, given = headers.get("authorization", "").partition(" ")
        key = given.strip().encode()
        if kind.lower() == "basic":
            try:
                key = base64.b64decode(key, validate=True).partition(b":")[2]
            except binascii.Error:
                return False
        elif kind.lower() != "bearer":
            return False
        return any(hmac.compare_digest(key, known) for known in self.keys)

    async def _limited(self, scope: Scope, headers: Headers, receive: Receive, send: Send) -> None:
        """Run the API, and end requests whose body goes on and on."""
        got, started, most = 0, False, _most_bytes(scope)

        async def count() -> Message:
            nonlocal got
            message = await receive()
            got += len(message.get("body", b""))
            if got > most:
                raise TooLong
            return message

        async def answer(message: Message) -> None:
            nonlocal started
            if got <= most:  # else the application has its own words for a body that breaks off
                started = True
                await send(message)

        with contextlib.suppress(TooLong):
            await self.app(scope, count, answer)
        if got > most and not started:
            await _too_long(scope)(scope, receive, send)


def _most_bytes(scope: Scope) -> int:
    """Bytes that the body of a request may have."""
    return MAX_UPLOAD if scope["path"] == EDITS else MAX_BODY


def _too_long(scope: Scope) -> JSONResponse:
    return refusal(413, f"the body is too long; at most {_most_bytes(scope)} bytes are taken")
