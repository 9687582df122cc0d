"""The demo: in a real browser it turns a typed prompt into a sound, without asking anyone outside."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import gradio as gr
import numpy as np
import pytest
import soundfile
from playwright.sync_api import Browser, Page, sync_playwright

from soundloom import app
from soundloom.gen.pipeline import BUNDLED_MODELS, AudioGen

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# The page's players sit in shadow roots.
DURATION = """() => {
  const find = root => [...root.querySelectorAll('*')].flatMap(
    element => [element, ...(element.shadowRoot ? find(element.shadowRoot) : [])]);
  const players = find(document).filter(element => element.tagName === 'AUDIO' && element.duration > 0);
  return players.length ? players[0].duration : 0;
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if path is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield running
        running.close()


@pytest.fixture(scope="module")
def model(tiny_model: AudioGen) -> AudioGen:
    """The model that ships, or while there is none the tiny one."""
    return AudioGen.from_pretrained() if (BUNDLED_MODELS / "foley" / "config.json").is_file() else tiny_model


def open_page(browser: Browser, demo: gr.Blocks, width: int = 1280) -> Page:
    address = app.serve(demo, open_browser=False, block=False)
    page = browser.new_page(viewport={"width": width, "height": 900}, accept_downloads=True)
    page.set_default_timeout(90_000)
    page.goto(address)
    page.wait_for_selector("#generate")
    return page


@pytest.mark.parametrize("width", [1280, 400])
def test_a_typed_prompt_becomes_a_sound(
    browser: Browser, model: AudioGen, width: int, tmp_path: Path
) -> None:
    demo = app.build_demo(model)
    asked: list[str] = []
    complaints: list[str] = []
    try:
        page = open_page(browser, demo, width)
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.reload()
        page.wait_for_selector("#generate")

        page.fill("#prompt textarea", "a dog barks, then rain")
        page.click("#generate")
        page.wait_for_function(DURATION)
        assert page.evaluate(DURATION) == pytest.approx(5.0, abs=0.02)
        page.wait_for_function("() => document.querySelector('#spectrogram img')?.naturalWidth > 0")
        assert page.locator("#spectrogram img").is_visible()
        assert "5.00 s of sound in" in page.inner_text("#status")
        assert page.evaluate("document.documentElement.scrollWidth") <= width  # nothing sticks out

        with page.expect_download() as expected:
            page.click("#download")
        seed = page.input_value("#seed input")
        assert expected.value.suggested_filename == f"a-dog-barks-then-rain-seed{seed}.wav"
        expected.value.save_as(tmp_path / "x.wav")
        samples, rate = soundfile.read(tmp_path / "x.wav")
        assert len(samples) == 5 * rate
        assert np.abs(samples).max() > 0.001

        hosts = {urlsplit(url).hostname for url in asked if not url.startswith(("data:", "blob:"))}
        assert hosts == {"127.0.0.1"}
        assert not complaints
        page.close()
    finally:
        demo.close(verbose=False)


def test_a_kept_seed_gives_the_same_sound_and_an_example_fills_the_prompt(
    browser: Browser, tiny_model: AudioGen, tmp_path: Path
) -> None:
    demo = app.build_demo(tiny_model)
    try:
        page = open_page(browser, demo)
        page.get_by_text("an owl hoots twice", exact=True).click()
        page.wait_for_function(
            "() => document.querySelector('#prompt textarea').value === 'an owl hoots twice'"
        )
        page.uncheck("#fresh-seed input")
        files = []
        for number in range(2):
            page.fill("#seed input", "11")
            page.press("#prompt textarea", "Enter")
            page.wait_for_function("() => document.querySelector('#status')?.innerText.includes('seed 11')")
            page.wait_for_selector("#download", state="visible")
            with page.expect_download() as expected:
                page.click("#download")
            files.append(tmp_path / f"{number}.wav")
            expected.value.save_as(files[-1])
            if number == 0:  # something else in between, so that the second sound is really made again
                page.fill("#seed input", "12")
                page.click("#generate")
                page.wait_for_function(
                    "() => document.querySelector('#status')?.innerText.includes('seed 12')"
                )
        assert files[0].read_bytes() == files[1].read_bytes()
        page.close()
    finally:
        demo.close(verbose=False)


class Stubborn:
    """A model that refuses, slowly enough for two requests to meet."""

    lm = SimpleNamespace(codebook_size=64)
    guidance_scale = 3.0
    top_k = 250

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.calls = 0
        self.met = False

    def generate(self, prompts: str, duration: float, *settings: Any, **more: Any) -> Any:
        self.met |= not self.lock.acquire(blocking=False)
        time.sleep(0.5)
        self.calls += 1
        if self.lock.locked():
            self.lock.release()
        raise ValueError(f"duration is {duration}; allowed are 0.02 to 3600 seconds")


def test_an_error_is_shown_in_the_words_of_the_library_and_requests_wait_for_each_other(
    browser: Browser,
) -> None:
    stubborn = Stubborn()
    demo = app.build_demo(stubborn)
    try:
        page = open_page(browser, demo)
        other = browser.new_page()
        other.goto(page.url)
        other.wait_for_selector("#generate")
        page.click("#generate")
        other.click("#generate")
        for each in (page, other):
            each.wait_for_selector("text=duration is 5; allowed are 0.02 to 3600 seconds")
            each.close()
        assert stubborn.calls == 2
        assert not stubborn.met
    finally:
        demo.close(verbose=False)


@pytest.mark.parametrize("sound", ["silence", "one sample", "tone"])
def test_the_spectrogram_is_a_picture_of_any_sound(sound: str) -> None:
    rate = 16000
    samples = {
        "silence": np.zeros(rate),
        "one sample": np.ones(1),
        "tone": np.sin(2 * np.pi * 4000 * np.arange(rate) / rate),
    }[sound]
    picture = np.asarray(app.spectrogram(samples.astype(np.float32), rate), dtype=float).mean(-1)
    assert picture.shape[1] > 800
    assert picture.min() < 100  # there are axes and labels
    if sound == "tone":  # one dark line in the middle of the frequency axis
        height, width = picture.shape
        column = picture[:, width // 3]
        inside = slice(height // 5, height * 7 // 10)
        darkest = (int(np.argmin(column[inside])) + height // 5) / height
        assert 0.38 < darkest < 0.55
        assert column[inside].min() < 60
        assert np.median(column[inside]) > 240


def test_old_files_are_thrown_away(monkeypatch: pytest.MonkeyPatch) -> None:
    shelf = app._Shelf()
    first = shelf.place("a.wav")
    first.write_bytes(b"sound")
    assert shelf.place("a.wav") != first
    assert first.exists()
    later = time.time() + app.KEEP_SECONDS + 1
    monkeypatch.setattr(time, "time", lambda: later)
    shelf.place("b.wav")
    assert not first.exists()
    shelf.close()
    assert not first.parent.parent.exists()


def test_the_text_about_the_model_names_sounds_and_licences() -> None:
    text = app.about("foley")
    assert "Apache-2.0" in text
    assert "thunder" in text
    assert "CC BY-NC" in app.about("facebook/audiogen-medium")


def test_a_taken_port_is_a_clear_error() -> None:
    first, second = (app.build_demo(Stubborn()) for _ in range(2))
    try:
        address = app.serve(first, open_browser=False, block=False)
        port = urlsplit(address).port
        with pytest.raises(OSError, match=f"{port}.*--port"):
            app.serve(second, port=port, open_browser=False, block=False)
    finally:
        first.close(verbose=False)
        second.close(verbose=False)


def test_python_app_py_works_from_the_clone() -> None:
    root = Path(app.__file__).parent
    result = subprocess.run(
        [sys.executable, "app.py", "--help"], cwd=root, capture_output=True, text=True, check=True
    )
    assert "--no-browser" in result.stdout
