"""What somebody who means harm sends to the page: refused, and without looking at what is not theirs."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import Request, urlopen

import numpy as np
import pytest

from soundloom.core.audio import AudioError
from soundloom.demo.input import read_upload
from soundloom.demo.temporary_files import upload_folder
from tests.tiny_codecs import write_sound


def ask(address: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, str]:
    request = Request(address.rstrip("/") + path, data=body, headers=headers)
    try:
        with urlopen(request, timeout=30) as answer:
            return int(answer.status), answer.read().decode("utf-8", "replace")
    except HTTPError as error:
        return error.code, error.read().decode("utf-8", "replace")


def generate(address: str, source: dict[str, Any]) -> str:
    """What the page answers to a request to go on from a file."""
    data = ["rain", 0.5, 1, 1, "", None, 1, None, 0, source]
    status, text = ask(
        address,
        "/gradio_api/call/generate",
        json.dumps({"data": data}).encode(),
        **{"Content-Type": "application/json"},
    )
    assert status == 200, text
    return ask(address, f"/gradio_api/call/generate/{json.loads(text)['event_id']}")[1]


@pytest.fixture
def secret(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sound(tmp_path_factory.mktemp("private") / "secret.wav", 0.5, 16000)


def test_files_of_this_machine_are_not_given_out(served: str, secret: Path) -> None:
    for path in (
        "/etc/passwd",
        str(Path(__file__)),
        str(secret),
        "../../../../etc/passwd",
        "..%2f..%2f..%2fetc%2fpasswd",
        quote(f"{upload_folder()}/../{secret}"),
    ):
        for route in ("/gradio_api/file=", "/gradio_api/file/"):
            status, text = ask(served, route + path)
            assert status in (403, 404), (route, path, status)
            assert "root:" not in text
            assert "RIFF" not in text


def test_a_request_cannot_name_a_file_or_an_address_to_read(served: str, secret: Path) -> None:
    asked: list[str] = []

    class Inner(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(secret.read_bytes())

        def log_message(self, *_: object) -> None: ...

    inner = HTTPServer(("127.0.0.1", 0), Inner)
    threading.Thread(target=inner.serve_forever, daemon=True).start()
    meta = {"meta": {"_type": "gradio.FileData"}}
    address = f"http://127.0.0.1:{inner.server_port}/secret.wav"
    try:
        for source in (
            {"path": str(secret), **meta},
            {"path": f"{upload_folder()}/../{secret}", **meta},
            {"path": address, "url": address, **meta},
            {"path": "x.wav", "url": address, **meta},
            {"path": f"http://[::ffff:127.0.0.1]:{inner.server_port}/x", **meta},
            {"path": "file:///etc/passwd", **meta},
        ):
            answer = generate(served, source)
            assert "event: error" in answer, (source, answer)
            assert ".wav-seed" not in answer
        assert not asked
    finally:
        inner.shutdown()
        inner.server_close()


def damaged_files(folder: Path, count: int) -> Iterator[Path]:
    """Files that were sounds: cut, with changed bytes, with another name, or nothing but noise."""
    random = np.random.default_rng(0)
    whole = {
        suffix: write_sound(folder / f"whole{suffix}", 0.1, 16000, 2).read_bytes()
        for suffix in (".wav", ".flac", ".ogg", ".mp3")
    }
    for number in range(count):
        suffix = list(whole)[number % len(whole)]
        data = bytearray(whole[suffix])
        match number % 5:
            case 0:
                data = data[: random.integers(len(data))]
            case 1 | 2:
                for place in random.integers(0, min(len(data), 200), size=1 + number % 7):
                    data[place] = random.integers(256)
            case 3:
                data = bytearray(whole[".wav"])  # of another kind than its name says
            case _:
                data = bytearray(random.bytes(int(random.integers(1, 4000))))
        path = folder / f"{number}{suffix}"
        path.write_bytes(data)
        yield path


def test_500_malformed_uploads_are_read_or_refused_in_words(tmp_path: Path) -> None:
    refused = 0
    for path in damaged_files(tmp_path, 500):
        try:
            samples, rate = read_upload(path, limit=1.0)
        except (AudioError, ValueError) as error:
            refused += 1
            assert str(error)
            assert str(tmp_path) not in str(error)
        else:
            assert samples.shape[-1] <= rate
            assert samples.isfinite().all()
    assert refused > 100


def test_what_is_wrong_with_a_file_is_said_when_it_is_dropped_and_its_name_is_only_text(
    served: str, open_page: Any
) -> None:
    name = "<img src=x onerror=document.title='hit'>.wav"
    with open_page(served) as page:
        page.click("#go-on button")
        page.set_input_files(
            "#continue-from input[type=file]",
            {"name": name, "mimeType": "audio/wav", "buffer": b"this is no sound"},
        )
        page.wait_for_selector("#status:has-text('annot read sound from')")
        assert page.title() == "soundloom"
        assert page.locator("#status img").count() == 0
        page.wait_for_selector("#continue-from input[type=file]", state="attached")  # it is gone again
