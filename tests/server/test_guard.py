"""Who may use the server: no page of another site, nobody without a key where there is one."""

from __future__ import annotations

import base64
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from soundloom.core.errors import ArgumentError
from soundloom.gen.engine.engine import Engine
from soundloom.gen.pipeline import AudioGen
from soundloom.server.guard import MAX_BODY
from soundloom.server.launch import ServerSettings, build_server, listen, read_keys
from tests.server.running_server import GENERATIONS, RunningServer, running


@pytest.fixture(scope="module")
def locked(tiny_model: AudioGen) -> Iterator[RunningServer]:
    with Engine(tiny_model) as engine, running(engine, keys=["one", "two"], hosts=["box.lan"]) as found:
        yield found


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8000", 200),
        ("localhost", 200),
        ("LOCALHOST:99", 200),
        ("[::1]:8000", 200),
        ("192.168.1.7", 200),
        ("evil.example", 421),
        ("127.0.0.1.evil.example:8000", 421),
        ("localhost.evil.example", 421),
        ("box.lan", 421),
    ],
)
def test_only_names_that_cannot_be_turned_here(server: RunningServer, host: str, status: int) -> None:
    with server.client() as client:
        answer = client.get("/v1/models", headers={"Host": host})
    assert answer.status_code == status
    if status != 200:
        assert "--allowed-host NAME" in answer.json()["error"]["message"]


def test_a_name_may_be_allowed(locked: RunningServer) -> None:
    with locked.client(headers={"Authorization": "Bearer one"}) as client:
        assert client.get("/v1/models", headers={"Host": "Box.lan:80"}).status_code == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Content-Type": "text/plain"}, 415),  # what a page may send without asking first
    ],
)
def test_pages_of_others_may_not_send(server: RunningServer, headers: dict[str, str], status: int) -> None:
    with server.client() as client:
        answer = client.post(GENERATIONS, content='{"duration": 0.1}', headers=headers)
        assert answer.status_code == status
        own = {"Origin": server.address, "Content-Type": "application/json"}
        assert client.post(GENERATIONS, content='{"duration": 0.1}', headers=own).status_code == 200


def basic(word: str) -> str:
    return "Basic " + base64.b64encode(word.encode()).decode()


@pytest.mark.parametrize(
    ("authorization", "status"),
    [
        (None, 401),
        ("Bearer three", 401),
        ("Bearer", 401),
        ("Basic ???", 401),
        (basic("one:three"), 401),
        ("Digest one", 401),
        ("Bearer two", 200),
        (basic("anybody:one"), 200),
    ],
)
def test_a_key_opens(locked: RunningServer, authorization: str | None, status: int) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}
    with locked.client(headers=headers) as client:
        for path in ("/v1/models", "/docs", "/openapi.json"):
            answer = client.get(path)
            assert answer.status_code == status
            if status == 401:
                assert answer.headers["www-authenticate"].startswith("Basic")
        assert client.get("/health").status_code == 200


def test_a_body_without_a_length_is_counted(server: RunningServer) -> None:
    def parts() -> Iterator[bytes]:
        for _ in range(MAX_BODY // 1000 + 2):
            yield b" " * 1000

    with server.client() as client:
        answer = client.post(GENERATIONS, content=parts(), headers={"Content-Type": "application/json"})
    assert answer.status_code == 413


def test_open_requests_are_bounded(tiny_model: AudioGen) -> None:
    with Engine(tiny_model) as engine, running(engine) as server:
        server.guard.most = 0
        answer = server.make(prompt="rain")
        assert answer.status_code == 429
        assert answer.headers["retry-after"] == "1"


def test_keys_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEYS", " one, two,,")
    assert read_keys("KEYS") == ["one", "two"]
    monkeypatch.setenv("KEYS", " ,")
    with pytest.raises(ArgumentError, match="KEYS holds no key; set it: export KEYS=KEY"):
        read_keys("KEYS")


def test_a_port_that_is_taken_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=rf"cannot listen on 127.0.0.1, port {port} .*give another --host"):
            listen("127.0.0.1", port)


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"mcp": True, "demo": False}, "mcp needs the demo"), ({"mcp": True}, r"pip install 'gradio\[mcp\]'")],
)
def test_mcp_says_what_it_needs(
    tiny_model: AudioGen, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any], message: str
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with Engine(tiny_model) as engine, pytest.raises(ArgumentError, match=message):
        build_server(engine, ServerSettings(**settings))
