"""Start the server, with the demo beside the interface, and stop it without cutting sounds off."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import uvicorn
from fastapi import FastAPI
from starlette.types import ASGIApp

from ..core.errors import ArgumentError
from ..gen.engine.engine import Engine
from .guard import Guard
from .http_api import build_api

if TYPE_CHECKING:
    import gradio as gr

GRACE_SECONDS = 30  # that requests which are open get to end in when the server is stopped
SPARE_REQUESTS = 16  # that may be open beside those which the engine has: answers being sent, questions


@dataclass(frozen=True, kw_only=True)
class ServerSettings:
    """How a server is reached.

    Attributes:
        host, port: where it listens; port 0 takes one that is free.
        name: of the model.
        keys: of which a request needs one; empty: none.
        hosts: further names that it may be addressed by.
        demo: show the demo at /.
        mcp: offer the demo's functions as MCP tools.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    name: str = "foley"
    keys: Sequence[str] = ()
    hosts: Sequence[str] = ()
    demo: bool = True
    mcp: bool = False


def read_keys(variable: str) -> list[str]:
    """The keys that an environment variable holds, separated by commas.

    Raises:
        ValueError: it is not set, or holds none.
    """
    keys = [key.strip() for key in os.environ.get(variable, "").split(",") if key.strip()]
    if not keys:
        raise ArgumentError(
            f"the environment variable {variable} holds no key; set it: export {variable}=KEY"
        )
    return keys


def build_server(engine: Engine, settings: ServerSettings) -> Guard:
    """The whole application: interface, demo, and the guard before both.

    Raises:
        ValueError: MCP is wanted without the demo, or without its package.
    """
    api = build_api(engine, name=settings.name)
    if settings.mcp and not settings.demo:
        raise ArgumentError("mcp needs the demo, whose functions are the tools; leave --no-demo out")
    if settings.mcp and importlib.util.find_spec("mcp") is None:
        raise ArgumentError("mcp needs a package that is not installed: pip install 'gradio[mcp]'")
    if settings.demo:
        from ..demo.page import build_demo
        from ..demo.page_guard import PageGuard
        from ..demo.temporary_files import upload_folder

        api = _mount(api, build_demo(engine, name=settings.name), settings.mcp)
        guarded: ASGIApp = PageGuard(api, folder=upload_folder(), hosts=settings.hosts)
    else:
        guarded = api
    most = engine.max_batch + engine.max_queue + SPARE_REQUESTS
    return Guard(guarded, keys=settings.keys, hosts=settings.hosts, most=most)


def _mount(api: FastAPI, demo: gr.Blocks, mcp: bool) -> FastAPI:
    """Put the demo's page at the root of the interface."""
    import gradio as gr  # after the demo's own imports, which set it up

    from ..demo.page import MAX_UPLOAD
    from ..demo.tab_styles import PAGE_CSS
    from ..demo.theme import theme

    demo.enable_monitoring = False
    return gr.mount_gradio_app(
        api,
        demo,
        path="/",
        footer_links=[],
        run_history=False,
        max_file_size=MAX_UPLOAD,
        ssr_mode=False,
        enable_monitoring=False,
        mcp_server=mcp,
        theme=theme(),
        css=PAGE_CSS,
    )


class _Server(uvicorn.Server):
    """Stops as soon as nothing is being made, whatever pages are still open."""

    def __init__(self, config: uvicorn.Config, idle: Callable[[], bool]) -> None:
        super().__init__(config)
        self._idle = idle

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        async def leave() -> None:
            while not self._idle():
                await asyncio.sleep(0.05)
            await asyncio.sleep(0.2)  # for the last bytes to go out
            self.force_exit = True  # pages of the demo would keep their connections open for ever

        watcher = asyncio.create_task(leave())
        try:
            await super().shutdown(sockets)
        finally:
            watcher.cancel()


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens.

    Raises:
        OSError: the address is taken, or none of this machine.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
    except OSError as error:
        raise OSError(
            f"cannot listen on {host}, port {port} ({error}): give another --host or --port"
        ) from error
    return listening


def serve(engine: Engine, settings: ServerSettings, started: Callable[[str], None]) -> None:
    """Serve until SIGTERM or Ctrl+C; requests that are open then are finished, for `GRACE_SECONDS` at most.

    Args:
        engine: makes the sounds; it is closed at the end.
        settings: how it is reached.
        started: called with the address when it listens.

    Raises:
        OSError: it cannot listen there.
        ValueError: as `build_server`.
    """
    guard = build_server(engine, settings)
    listening = listen(settings.host, settings.port)
    host, port = listening.getsockname()[:2]
    config = uvicorn.Config(
        guard,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    server = _Server(config, lambda: guard.open == 0 and engine.load.running == 0)
    # uvicorn sends itself the signal again when it has stopped: the process should end well then.
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    started(f"http://{f'[{host}]' if ':' in host else host}:{port}")
    try:
        server.run(sockets=[listening])
    except KeyboardInterrupt:
        sys.stdout.write("stopped\n")
    finally:
        signal.signal(signal.SIGTERM, before)
        engine.close()
