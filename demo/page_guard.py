"""Check requests to a page before Gradio reads them: under which name they come, and how much they upload.

Any web page that the user opens can send requests to this machine. Gradio refuses those of other origins, but
not those under a name that leads here only since a moment, whose pages could then read everything.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..core.own_hosts import is_own_host
from .left_pages import stamp

QUOTA = 4 << 30  # bytes that all pages together may have on the disk of this machine
UPLOAD = "/upload"


class PageGuard:
    """Middleware that refuses requests.

    Args:
        app: what it guards.
        hosts: names under which the page may be addressed, beside localhost and IP addresses.
        folder: of uploads.
        quota: bytes that it may hold.
    """

    def __init__(
        self, app: ASGIApp, *, folder: Path, hosts: Collection[str] = (), quota: int = QUOTA
    ) -> None:
        self.app, self.folder, self.quota = app, folder, quota
        self.hosts = {name.lower() for name in hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI interface."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        stamp(scope)
        host = Headers(scope=scope).get("host", "")
        if not is_own_host(host, self.hosts):
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008})
                return
            await _refusal(
                421,
                f"this page is not {host[:80]!r}; address it by localhost or its IP address, or start the "
                "demo with --allowed-host NAME",
            )(scope, receive, send)
        elif scope["type"] == "http" and scope["method"] == "POST" and scope["path"].endswith(UPLOAD):
            await self._upload(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    async def _upload(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take an upload as long as there is room for it."""
        room = self.quota - used_bytes(self.folder)
        length = Headers(scope=scope).get("content-length", "0")
        full = _refusal(
            507, "there is no room for more uploads here now; try again in an hour, or use a smaller file"
        )
        if room <= 0 or (length.isascii() and length.isdigit() and int(length) > room):
            await full(scope, receive, send)
            return
        got = 0

        async def count() -> Message:
            nonlocal got
            message = await receive()
            got += len(message.get("body", b""))
            return {"type": "http.disconnect"} if got > room else message

        await self.app(scope, count, send)


def used_bytes(folder: Path) -> int:
    """Bytes of all files in a folder and below; those that go meanwhile do not count."""
    total = 0
    for where, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(where, name)).st_size
            except OSError:
                continue
    return total


def _refusal(status: int, message: str) -> JSONResponse:
    return JSONResponse({"error": message, "detail": message}, status)
