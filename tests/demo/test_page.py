"""The demo as a whole: it is served, says what it is, and keeps no files."""

from __future__ import annotations

import json
import shutil
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

from soundloom.core.checkpoint import BUNDLED_MODELS
from soundloom.demo import page
from soundloom.demo import temporary_files as shelves
from soundloom.demo.codecs import Codecs
from soundloom.demo.temporary_files import Shelf, failure


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
    assert error.message == "cannot read a.wav: use wav"


def test_the_text_about_a_model_is_that_of_its_card(tmp_path: Path) -> None:
    card = (BUNDLED_MODELS / "foley" / "README.md").read_text(encoding="utf-8")
    text = page.about("foley")
    assert "Apache-2.0" in text
    paragraphs = text.split("\n\n")
    assert paragraphs[0] == "**The model `foley`.**"
    assert len(paragraphs) >= 3
    assert all(paragraph in card for paragraph in paragraphs[1:])
    assert card.rpartition("## What it can't do\n\n")[2].strip() in text

    folder = tmp_path / "mine"
    folder.mkdir()
    assert "in the folder `mine`" in page.about(str(folder))
    (folder / "README.md").write_text(
        "---\nlicense: mit\n---\n\n# mine\n\nIt barks.\n\n- more\n\n## Measured\n\nx\n", encoding="utf-8"
    )
    assert page.about(str(folder)) == "**The model `mine`.**\n\nIt barks."


def test_models_without_a_card_have_their_licence_named(tmp_path: Path) -> None:
    assert "CC BY-NC" in page.about("facebook/audiogen-medium")
    assert "`mymodel`" not in page.about(str(tmp_path / "mymodel"))  # there is no such folder


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
