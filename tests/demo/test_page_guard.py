"""Requests under a foreign name are refused, and uploads have room for so much and no more."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from soundloom.demo.page_guard import PageGuard, used_bytes


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Reads all, and answers with how much that was."""
    got, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        got += len(message.get("body", b""))
        more = message.get("more_body", False)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(got).encode()})


def status_of(
    guard: PageGuard, host: str, *, path: str = "/", bodies: tuple[bytes, ...] = (), length: int | None = None
) -> int | None:
    """The status of the answer; None if there was none."""
    sent: list[dict[str, Any]] = []
    left = list(bodies or (b"",))

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": left.pop(0), "more_body": bool(left)}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    headers = [(b"host", host.encode())]
    if length is not None:
        headers.append((b"content-length", str(length).encode()))
    method = "POST" if bodies or length is not None else "GET"
    scope = {"type": "http", "method": method, "path": path, "headers": headers}
    asyncio.run(guard(scope, receive, send))
    return sent[0]["status"] if sent else None


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:7860", 200),
        ("127.0.0.1", 200),
        ("[::1]:7860", 200),
        ("192.168.1.9:7860", 200),
        ("box.lan", 200),
        ("BOX.lan:7860", 200),
        ("abc.gradio.live", 200),
        ("evil.example", 421),
        ("localhost.evil.example", 421),
        ("127.0.0.1.evil.example", 421),
        ("gradio.live.evil.example", 421),
        ("", 421),
    ],
)
def test_only_our_own_names_are_answered(tmp_path: Path, host: str, status: int) -> None:
    guard = PageGuard(echo, folder=tmp_path, hosts=["box.lan", ".gradio.live"])
    assert status_of(guard, host) == status


def test_uploads_have_a_quota(tmp_path: Path) -> None:
    guard = PageGuard(echo, folder=tmp_path, quota=1000)
    upload = "/gradio_api/upload"
    assert status_of(guard, "localhost", path=upload, bodies=(b"x" * 400, b"x" * 400)) == 200
    assert status_of(guard, "localhost", path=upload, length=1001) == 507
    # One that does not say how long it is, is cut off.
    assert status_of(guard, "localhost", path=upload, bodies=(b"x" * 600, b"x" * 600)) is None
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "a").write_bytes(b"x" * 900)
    assert used_bytes(tmp_path) == 900
    assert status_of(guard, "localhost", path=upload, bodies=(b"x" * 90,)) == 200
    assert status_of(guard, "localhost", path=upload, bodies=(b"x" * 110,), length=110) == 507
    assert status_of(guard, "localhost", path="/other", bodies=(b"x" * 110,), length=110) == 200
    (tmp_path / "b").write_bytes(b"x" * 100)
    assert status_of(guard, "localhost", path=upload, bodies=(b"",)) == 507
