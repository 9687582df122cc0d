"""The Generate tab: in a real browser a typed prompt becomes a sound, without asking anyone outside."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
import soundfile
import torch
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from playwright.sync_api import Page

from soundloom.core.audio import write_audio
from soundloom.demo import page as app
from soundloom.demo.codecs import Codecs
from soundloom.demo.sound_maker import Cancels, make_sound
from soundloom.gen.generation import GenerationCancelled
from soundloom.gen.pipeline import AudioGen
from soundloom.gen.settings import GenerationSettings

WaitForSound = Callable[[Page, str], float]


@pytest.mark.parametrize(("width", "seconds"), [(1280, 3), (390, 1)])
def test_a_typed_prompt_becomes_a_sound_that_is_heard_while_it_is_made(
    served: str, open_page: Any, wait_for_sound: WaitForSound, width: int, seconds: int, tmp_path: Path
) -> None:
    asked: list[str] = []
    complaints: list[str] = []
    with open_page(served, width) as page:
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.reload()
        page.wait_for_selector("#generate")
        assert not page.is_visible("#temperature")  # what few people need is folded away

        page.fill("#prompt textarea", "a dog barks, then rain")
        page.fill("#duration input[type=number]", str(seconds))
        page.click("#generate")
        page.wait_for_selector("#stop", state="visible")
        page.wait_for_function(
            f"() => document.querySelector('#live .text').textContent.includes('of {seconds}.0 s')"
        )
        assert wait_for_sound(page, "player") == pytest.approx(seconds, abs=0.02)
        page.wait_for_function("() => document.querySelector('#spectrogram img')?.naturalWidth > 0")
        assert page.locator("#spectrogram img").is_visible()
        page.wait_for_function(
            f"() => document.querySelector('#status')?.innerText.includes('{seconds}.00 s of sound')"
        )
        page.wait_for_selector("#generate", state="visible")
        assert page.evaluate("document.documentElement.scrollWidth") <= width  # nothing sticks out

        with page.expect_download() as expected:
            page.click("#download")
        name = expected.value.suggested_filename
        expected.value.save_as(tmp_path / "x.wav")
        assert name.startswith("a-dog-barks-then-rain-seed")
        assert f"seed {name.removesuffix('.wav').rpartition('seed')[2]}" in page.inner_text("#status")
        samples, rate = soundfile.read(tmp_path / "x.wav")
        assert len(samples) == seconds * rate
        assert np.abs(samples).max() > 0.001

        # All of it went to the loudspeaker, and the player is silent again at the end.
        page.wait_for_function(f"() => document.querySelector('#live [data-scheduled=\"{seconds * rate}\"]')")
        page.wait_for_function("() => document.querySelector('#live .text').textContent.trim() === ''")

        hosts = {urlsplit(url).hostname for url in asked if not url.startswith(("data:", "blob:"))}
        assert hosts == {"127.0.0.1"}
        assert not complaints


def test_a_kept_seed_gives_the_same_sound_and_an_example_fills_the_prompt(
    served: str, open_page: Any, tmp_path: Path
) -> None:
    with open_page(served) as page:
        page.get_by_text("footsteps on gravel", exact=True).click()
        page.wait_for_function(
            "() => document.querySelector('#prompt textarea').value === 'footsteps on gravel'"
        )
        page.uncheck("#listen input")
        page.fill("#duration input[type=number]", "1")
        page.click("#more button")
        page.uncheck("#fresh-seed input")
        files = []
        for number, seed in enumerate(["11", "12", "11"]):
            page.fill("#seed input", seed)
            page.press("#prompt textarea", "Enter")
            page.wait_for_function(
                f"() => document.querySelector('#status')?.innerText.includes('seed {seed}')"
            )
            page.wait_for_selector("#download", state="visible")
            with page.expect_download() as expected:
                page.click("#download")
            files.append(tmp_path / f"{number}.wav")
            expected.value.save_as(files[-1])
        assert not page.is_visible("#live")
        first, second, third = (soundfile.read(file)[0].tobytes() for file in files)
        assert first == third != second


class Stubborn:
    """A model that refuses, slowly enough for two requests to meet; or that goes on until it is stopped."""

    lm = SimpleNamespace(codebook_size=64)
    codec = SimpleNamespace(sample_rate=16000)
    guidance_scale = 3.0
    top_k = 250

    def __init__(self, *, endless: bool = False) -> None:
        self.endless = endless
        self.lock = threading.Lock()
        self.calls = 0
        self.met = False
        self.cancelled = threading.Event()

    def count_samples(self, duration: float) -> int:
        return round(16000 * duration)

    def generate(self, prompts: str, settings: GenerationSettings, **options: Any) -> Any:
        raise NotImplementedError

    def stream(self, prompts: str, settings: GenerationSettings, **options: Any) -> Iterator[Any]:
        self.met |= not self.lock.acquire(blocking=False)
        time.sleep(0.5)
        while self.endless:
            if options["cancel"]():
                self.cancelled.set()
                raise GenerationCancelled("stopped")
            yield SimpleNamespace(samples=torch.zeros(1, 1, 160))
            time.sleep(0.02)
        self.calls += 1
        if self.lock.locked():
            self.lock.release()
        raise ValueError(f"duration is {settings.duration:g}; allowed are 0.02 to 3600 seconds")


def test_an_error_is_shown_in_the_words_of_the_library_and_requests_wait_for_each_other(
    open_page: Any, codecs: Codecs
) -> None:
    stubborn = Stubborn()
    with open_page(app.build_demo(stubborn, codecs=codecs)) as page, open_page(page.url) as other:
        page.click("#generate")
        other.click("#generate")
        for each in (page, other):
            each.wait_for_selector("text=duration is 5; allowed are 0.02 to 3600 seconds")
            each.wait_for_selector("#generate", state="visible")  # not Stop: it can be tried again
        assert stubborn.calls == 2
        assert not stubborn.met


def test_stopping_or_leaving_ends_the_work(open_page: Any, codecs: Codecs) -> None:
    endless = Stubborn(endless=True)
    with open_page(app.build_demo(endless, codecs=codecs)) as page:
        page.click("#generate")
        page.wait_for_function("() => document.querySelector('#live .text').textContent.includes('of 5.0 s')")
        page.click("#stop")
        page.wait_for_function(
            "() => document.querySelector('#status')?.innerText.includes('Stopped before the sound was')"
        )
        page.wait_for_selector("#generate", state="visible")
        assert endless.cancelled.is_set()
        assert not page.is_visible("#live")

        endless.cancelled.clear()
        page.click("#generate")
        page.wait_for_function("() => document.querySelector('#live .text').textContent.includes('of 5.0 s')")
        page.goto("about:blank")
        assert endless.cancelled.wait(30)


def settings(**changes: Any) -> dict[str, Any]:
    return {
        "prompt": "rain",
        "duration": 0.5,
        "listen": False,
        "seed": 3,
        "fresh": False,
        "candidates": 1,
        "negative_prompt": "",
        "guidance_scale": 3.0,
        "temperature": 1.0,
        "top_k": 64,
        "top_p": 0.0,
        "source": None,
    } | changes


def test_every_setting_arrives_and_bad_input_is_explained(
    served: str, tiny_model: AudioGen, tmp_path: Path
) -> None:
    client = Client(served, verbose=False, download_files=tmp_path)

    def ask(**changes: Any) -> np.ndarray:
        chosen = settings(**changes)
        result = client.predict(**chosen, api_name="/generate")
        samples, rate = soundfile.read(result[1])
        assert rate == tiny_model.codec.sample_rate
        return samples

    plain = ask()
    assert len(plain) == rate_of(tiny_model) // 2
    for changes in (
        {"negative_prompt": "wind"},
        {"guidance_scale": 1.5},
        {"temperature": 0.5},
        {"top_k": 2},
        {"top_p": 0.1},
    ):
        assert not np.array_equal(ask(**changes), plain), changes

    rate = 44100
    tone = 0.5 * torch.sin(2 * torch.pi * 440 * torch.arange(rate) / rate).expand(2, -1)
    longer = ask(source=handle_file(write_audio(tmp_path / "tone.wav", tone, rate)), duration=1.0)
    assert len(longer) == pytest.approx(2 * rate_of(tiny_model), abs=400)

    (tmp_path / "words.wav").write_text("this is no sound")
    write_audio(tmp_path / "long.wav", torch.zeros(31 * 8000), 8000)
    for changes, message in (
        ({"source": handle_file(tmp_path / "words.wav")}, "cannot read sound from words.wav"),
        (
            {"source": handle_file(tmp_path / "long.wav")},
            "long.wav lasts 31 s; here at most 30 s are allowed",
        ),
        ({"negative_prompt": "wind", "guidance_scale": 1.0}, "guidance"),
    ):
        with pytest.raises(AppError, match=message):
            ask(**changes)


def rate_of(model: AudioGen) -> int:
    return model.codec.sample_rate


def test_the_best_of_several_is_kept(tiny_model: AudioGen) -> None:
    """With a scorer that knows what it wants."""

    def loudest(audio: torch.Tensor, sample_rate: int, prompts: list[str]) -> torch.Tensor:
        return audio.square().mean(dim=(1, 2))

    heard: list[torch.Tensor] = []
    common: dict[str, Any] = {"scorer": lambda: loudest, "heard": heard.append}
    once = GenerationSettings(duration=0.4, seed=1)
    best = make_sound(tiny_model, "rain", replace(once, candidates=4), **common)
    assert not heard
    every = tiny_model.generate("rain", 0.4, num_samples=4, seed=1)
    assert best.scores == [pytest.approx(float(every.samples.square().mean(dim=(1, 2)).max()))]

    single = make_sound(tiny_model, "rain", once, **common)
    assert torch.equal(torch.cat(heard, dim=-1), single.samples[0])
    torch.testing.assert_close(
        single.samples, tiny_model.generate("rain", 0.4, seed=1).samples, atol=1e-4, rtol=0
    )
    assert torch.equal(single.codes, tiny_model.generate("rain", 0.4, seed=1).codes)


def test_a_page_stops_only_its_own_work() -> None:
    cancels = Cancels()
    mine, yours = cancels.begin("a"), cancels.begin("b")
    cancels.stop("a")
    cancels.stop("c")
    assert mine.is_set()
    assert not yours.is_set()
    cancels.stop(None)
