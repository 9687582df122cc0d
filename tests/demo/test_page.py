"""The demo as a whole: it is served, says what it is, and keeps no files."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import pytest

from soundloom.demo import page
from soundloom.demo import temporary_files as shelves
from soundloom.demo.codecs import Codecs
from soundloom.demo.temporary_files import Shelf, failure, page_words
from soundloom.gen.pipeline import AudioGen


class Idle:
    """A model that nobody asks for anything."""

    lm = SimpleNamespace(codebook_size=64)
    codec = SimpleNamespace(sample_rate=16000)
    guidance_scale = 3.0
    top_k = 250
    count_samples: Any = None
    generate: Any = None
    stream: Any = None


@pytest.fixture
def no_codecs() -> Codecs:
    codecs = Codecs()
    codecs.names = []
    return codecs


def test_old_files_are_thrown_away(monkeypatch: pytest.MonkeyPatch) -> None:
    shelf = Shelf()
    first = shelf.place("a.wav")
    first.write_bytes(b"sound")
    assert shelf.place("a.wav") != first
    assert first.exists()
    later = time.time() + shelves.KEEP_SECONDS + 1
    monkeypatch.setattr(time, "time", lambda: later)
    shelf.place("b.wav")
    assert not first.exists()
    shelf.close()
    assert not first.parent.parent.exists()


def test_messages_name_files_without_the_folders_of_this_machine() -> None:
    error = failure(ValueError("cannot read /tmp/x/a.wav: use wav"), Path("/tmp/x/a.wav"))
    assert error.message == "Cannot read a.wav: use wav"
    assert page_words("/tmp/x/a.wav lasts long", "/tmp/x/a.wav") == "a.wav lasts long"
    assert error.duration == shelves.TOAST_SECONDS


def test_messages_call_settings_by_the_names_of_their_controls() -> None:
    said = ValueError("guidance_scale is 1; a negative prompt needs more than 1 (top_k is fine)")
    assert page_words(said) == "Guidance is 1; a negative prompt needs more than 1 (Top-k is fine)"
    assert page_words("duration is 0: a duration has seconds") == "Duration is 0: a duration has seconds"
    assert page_words(said, by_label=False) == str(said)


SERVE = """
import sys
from types import SimpleNamespace
from soundloom.demo import page
from soundloom.demo.codecs import Codecs
codecs = Codecs()
codecs.names = []
model = SimpleNamespace(lm=SimpleNamespace(codebook_size=64), codec=None, guidance_scale=3.0, top_k=250)
page.serve(page.build_demo(model, codecs=codecs), open_browser=False, auth=("me", "secret"))
"""


def test_sigterm_ends_the_demo_and_deletes_its_files(tmp_path: Path) -> None:
    """Also: the folders are private, a password is asked for, foreign names are refused."""
    clean = {name: value for name, value in os.environ.items() if name != "GRADIO_TEMP_DIR"}
    running = subprocess.Popen(
        [sys.executable, "-c", SERVE],
        env=clean | {"TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert running.stdout is not None
        said = running.stdout.readline()
        address = said.split(" on ")[1].split()[0].rstrip("/")
        folders = list(tmp_path.glob("soundloom-*"))
        assert folders
        assert {folder.stat().st_mode & 0o777 for folder in folders} == {0o700}
        for headers, status in (({}, 401), ({"Host": "evil.example"}, 421)):
            with pytest.raises(HTTPError) as refused:
                urlopen(Request(f"{address}/gradio_api/info", headers=headers), timeout=30)
            assert refused.value.code == status
        running.send_signal(signal.SIGTERM)
        assert running.wait(30) == 0
        assert not list(tmp_path.glob("soundloom-*"))
    finally:
        running.kill()
        running.communicate()


def test_a_taken_port_is_a_clear_error(no_codecs: Codecs) -> None:
    first, second = (page.build_demo(Idle(), codecs=no_codecs) for _ in range(2))
    try:
        address = page.serve(first, open_browser=False, block=False)
        port = urlsplit(address).port
        with pytest.raises(OSError, match=f"{port}.*--port"):
            page.serve(second, port=port, open_browser=False, block=False)
    finally:
        first.close(verbose=False)
        second.close(verbose=False)


def test_the_demo_keeps_no_record_of_what_was_made(no_codecs: Codecs) -> None:
    """Gradio's run history and its pages about visitors are off, whoever asks."""
    demo = page.build_demo(Idle(), codecs=no_codecs)
    try:
        address = page.serve(demo, open_browser=False, block=False).rstrip("/")

        def status(path: str, body: bytes | None = None) -> int:
            request = Request(address + path, data=body, headers={"Content-Type": "application/json"})
            try:
                with urlopen(request, timeout=30) as answer:
                    return int(answer.status)
            except HTTPError as error:
                return error.code

        with urlopen(f"{address}/config", timeout=30) as answer:
            config = json.load(answer)
        assert config["run_history"] is False
        assert config["analytics_enabled"] is False
        assert not config["footer_links"]
        assert status("/") == 200  # so that the refusals below say something
        key = demo.app.analytics_key
        for path in (
            "/monitoring",
            "/monitoring/summary",
            f"/monitoring/{key}",
            f"/monitoring/{key}/dashboard",
        ):
            assert status(path) in (403, 404), path
        for path in ("/runs", "/runs/", "/run-history/buckets", "/run-history/records"):
            assert status(f"/gradio_api{path}") == 404, path
        assert status("/gradio_api/run-history/connect", b'{"bucket_id": "a/b"}') in (404, 405)
    finally:
        demo.close(verbose=False)


def test_nothing_needs_ffmpeg(no_codecs: Codecs, monkeypatch: pytest.MonkeyPatch) -> None:
    """Gradio's own streaming does: see soundloom.demo.live."""
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    demo = page.build_demo(Idle(), codecs=no_codecs)
    assert not any(getattr(block, "streaming", False) for block in demo.blocks.values())


def test_python_app_py_works_from_the_clone() -> None:
    root = Path(page.__file__).parents[1]
    result = subprocess.run(
        [sys.executable, "app.py", "--help"], cwd=root, capture_output=True, text=True, check=True
    )
    assert "--no-browser" in result.stdout


def test_a_late_answer_to_an_upload_hides_no_result(tiny_model: AudioGen, codecs: Codecs) -> None:
    """On a busy machine the check of a sound can end after what somebody had done with it."""
    demo = page.build_demo(tiny_model, codecs=codecs)
    results = {"edited-results", "edited-status", "compressed", "inside-results"}
    hidden = set()
    for function in demo.fns.values():
        if not any(event == "upload" for _, event in function.targets):
            continue
        found = results & {block.elem_id for block in function.outputs}
        if function.fn is None:
            hidden |= found
        else:
            assert not found, found
    assert hidden == results
