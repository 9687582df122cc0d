"""A real browser, and the demo's page in it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import gradio as gr
import pytest
import torch
from playwright.sync_api import Browser, Page, expect, sync_playwright

from soundloom.codecs.seanet.model import SEANetCodec
from soundloom.demo import page as app
from soundloom.demo.codecs import Codecs
from soundloom.gen.pipeline import AudioGen

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# Milliseconds that a page may take to show what is waited for; a busy machine is no defect.
PATIENCE = 300_000
expect.set_options(timeout=PATIENCE)  # else 5 s
# The page's players sit in shadow roots.
FIND_DURATIONS = """id => {
  const find = root => [...root.querySelectorAll('*')].flatMap(
    element => [element, ...(element.shadowRoot ? find(element.shadowRoot) : [])]);
  const player = document.getElementById(id);
  const players = (player ? find(player) : []).filter(element => element.tagName === 'AUDIO');
  return players.map(player => player.duration).filter(duration => duration > 0)[0] ?? 0;
}"""

OpenPage = Callable[..., AbstractContextManager[Page]]


@pytest.fixture(scope="module")  # not session: its event loop would be there in all other tests
def browser() -> Iterator[Browser]:
    path = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if path is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield running
        running.close()


@pytest.fixture(scope="session")
def codecs() -> Codecs:
    """One codec of random weights that may keep 1 to 3 codebooks: 3.2, 6.4 and 9.6 kbit/s at 16 kHz."""
    torch.manual_seed(0)
    codec = SEANetCodec(
        n_filters=4,
        dimension=8,
        ratios=(5, 4),
        lstm=0,
        causal=True,
        norm="none",
        num_codebooks=3,
        codebook_size=16,
        transform="none",
    ).eval()
    codec.name = "tiny"
    found = Codecs({"tiny": codec})
    found.names = ["tiny"]
    return found


@pytest.fixture(scope="session")
def served(tiny_model: AudioGen, codecs: Codecs) -> Iterator[str]:
    """Address of a demo with the tiny model and codec."""
    demo = app.build_demo(tiny_model, codecs=codecs)
    try:
        yield app.serve(demo, open_browser=False, block=False)
    finally:
        demo.close(verbose=False)


@pytest.fixture
def open_page(browser: Browser) -> OpenPage:
    """Open an address, or a page that is served just for this, in a window of some width."""

    @contextmanager
    def opened(target: str | gr.Blocks, width: int = 1280) -> Iterator[Page]:
        demo = None if isinstance(target, str) else target
        address = target if demo is None else app.serve(demo, open_browser=False, block=False)
        page = browser.new_page(viewport={"width": width, "height": 900}, accept_downloads=True)
        try:
            page.set_default_timeout(PATIENCE)
            page.goto(address)
            page.wait_for_selector("#generate")
            yield page
        finally:
            page.close()
            if demo is not None:
                demo.close(verbose=False)

    return opened


@pytest.fixture
def wait_for_sound() -> Callable[[Page, str], float]:
    """Wait until a player has a sound; returns its length in seconds."""

    def wait(page: Page, player: str) -> float:
        page.wait_for_function(FIND_DURATIONS, arg=player)
        return float(page.evaluate(FIND_DURATIONS, player))

    return wait
