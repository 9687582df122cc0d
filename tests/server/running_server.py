"""A server of the tiny model in this process, reached over loopback as by anybody."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import uvicorn

from soundloom.gen.engine.engine import Engine
from soundloom.server.guard import Guard
from soundloom.server.launch import ServerSettings, _Server, build_server, listen

GENERATIONS = "/v1/audio/generations"
TIMEOUT = 600.0  # seconds; a busy machine is no defect


@dataclass
class RunningServer:
    address: str
    engine: Engine
    server: uvicorn.Server
    guard: Guard
    thread: threading.Thread

    def client(self, **options: Any) -> httpx.Client:
        settings: dict[str, Any] = {"base_url": self.address, "timeout": TIMEOUT, "trust_env": False}
        return httpx.Client(**settings | options)

    def make(self, **fields: Any) -> httpx.Response:
        """The answer to one request for a sound."""
        with self.client() as client:
            return client.post(GENERATIONS, json=fields)

    def wait_until_idle(self) -> None:
        """Wait until nothing is being made or answered."""
        for _ in range(int(TIMEOUT / 0.02)):
            if self.engine.load.running == self.guard.open == 0:
                return
            time.sleep(0.02)
        raise AssertionError(f"{self.engine.load} and {self.guard.open} open requests after {TIMEOUT} s")


@contextmanager
def running(engine: Engine, **settings: Any) -> Iterator[RunningServer]:
    """Serve an engine, without the demo unless asked for, on a free port."""
    guard = build_server(engine, ServerSettings(**{"demo": False, "port": 0} | settings))
    listening = listen("127.0.0.1", 0)
    config = uvicorn.Config(guard, log_level="error", access_log=False, timeout_graceful_shutdown=60)
    server = _Server(config, lambda: guard.open == 0 and engine.load.running == 0)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    address = f"http://127.0.0.1:{listening.getsockname()[1]}"
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        yield RunningServer(address, engine, server, guard, thread)
    finally:
        server.should_exit = True
        thread.join(TIMEOUT)
        assert not thread.is_alive()
