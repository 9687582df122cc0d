"""`soundloom serve`: its options, and a whole life from the first request to SIGTERM."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from typing import Any

import httpx
import pytest

from tests.cli.running import refused, run


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


def ask_then_stop(port: int, found: list[Any], **request: Any) -> None:
    """Ask for a sound, and tell this process to stop as soon as that is being made."""

    until = time.monotonic() + 300

    def stop() -> None:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
            while time.monotonic() < until:
                try:
                    if client.get("/health").json()["running"]:
                        break
                except httpx.TransportError:
                    pass
                time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGTERM)

    stopper = threading.Thread(target=stop)
    stopper.start()
    address = f"http://127.0.0.1:{port}/v1/audio/generations"
    while not found and time.monotonic() < until:
        try:
            found.append(httpx.post(address, json=request, timeout=600, trust_env=False))
        except httpx.ConnectError:
            time.sleep(0.02)
    stopper.join()


def test_sigterm_lets_sounds_be_finished(port: int, capsys: pytest.CaptureFixture[str]) -> None:
    found: list[httpx.Response] = []
    request = {"prompt": "rain", "duration": 1, "seed": 1, "response_format": "pcm"}
    client = threading.Thread(target=ask_then_stop, args=(port, found), kwargs=request)
    client.start()
    assert run("serve", "--port", port, "--no-demo") == 0
    client.join()
    assert found[0].status_code == 200
    assert len(found[0].content) == 2 * 16000
    out = capsys.readouterr().out
    assert f"soundloom is listening on http://127.0.0.1:{port}" in out
    assert f"http://127.0.0.1:{port}/docs" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--auth", "NOT_SET_AT_ALL"], "NOT_SET_AT_ALL holds no key; set it: export NOT_SET_AT_ALL=KEY"),
        (["--port", "0"], "'0' is no port"),
        (["--max-batch", "0"], "'0' is not possible"),
        (["--max-queue", "-1"], "max_queue is -1; it must be an integer from 0"),
        (["--max-seconds", "nan"], "max_seconds is nan; allowed are 0 to 3600"),
        (["--mcp", "--no-demo"], "mcp needs the demo"),
        (["--host", "999.1.1.1"], "cannot listen on 999.1.1.1, port 8000"),
    ],
)
def test_what_is_impossible_gets_a_line(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert message in refused(capsys, "serve", "--no-demo", *words)
