"""The Make tab: in a real browser a typed prompt becomes a sound, without asking anyone outside."""

from __future__ import annotations

import inspect
import io
import threading
import time
import zipfile
from collections.abc import Iterator
from dataclasses import fields, replace
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
from playwright.sync_api import APIResponse, Page, Route, expect

from soundloom.core.audio import write_audio
from soundloom.demo import page as app
from soundloom.demo.codecs import Codecs
from soundloom.demo.presets import presets
from soundloom.demo.sound_api import SoundApi
from soundloom.demo.sound_maker import MAX_DURATION, make_sounds
from soundloom.demo.tickets import MAX_SECONDS
from soundloom.gen.generated_audio import GeneratedAudio
from soundloom.gen.generation import GenerationCancelled
from soundloom.gen.pipeline import AudioGen
from soundloom.gen.settings import GenerationSettings
from tests.demo.waiting import until_processing, wait_for_requests


def sound_of(page: Page, tmp_path: Path, card: int = 1) -> np.ndarray:
    """The samples that a card's Download gives, int16 `[N]`."""
    with page.expect_download() as expected:
        page.click(f"#download-{card}")
    expected.value.save_as(tmp_path / expected.value.suggested_filename)
    return soundfile.read(tmp_path / expected.value.suggested_filename, dtype="int16")[0]


def wait_until_made(page: Page) -> None:
    page.wait_for_selector("#keep-1", state="visible")
    page.wait_for_selector("#stop", state="hidden")


@pytest.mark.parametrize(("width", "seconds"), [(1280, 3), (390, 1)])
def test_a_typed_prompt_becomes_a_sound_that_is_heard_while_it_is_made(
    served: str, open_page: Any, width: int, seconds: int, tmp_path: Path
) -> None:
    asked: list[str] = []
    complaints: list[str] = []
    with open_page(served, width) as page:
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
        page.reload()
        page.wait_for_selector("#generate")
        assert not page.is_visible("#temperature")  # what few people need is folded away
        assert not page.is_visible("#card-1")

        page.fill("#prompt textarea", "a dog barks, then rain")
        page.wait_for_function("() => document.querySelector('#hint').innerText.includes('dog, rain')")
        page.fill("#duration input[type=number]", str(seconds))
        page.click("#generate")
        wait_until_made(page)
        assert page.evaluate("document.activeElement.id") == "generate"  # where the focus was
        page.wait_for_function("() => document.querySelector('#spectrogram-1 img')?.naturalWidth > 0")
        assert page.evaluate("document.documentElement.scrollWidth") <= width  # nothing sticks out
        assert page.inner_text("#status") == "The sound is ready."

        samples = sound_of(page, tmp_path)
        name = next(tmp_path.iterdir()).name
        assert name.startswith("a-dog-barks-then-rain-seed")
        assert f"seed {name.removesuffix('.wav').rpartition('seed')[2]}" in page.inner_text("#facts-1")
        assert np.abs(samples.astype(int)).max() > 30

        # All of it went to the loudspeaker, by the one player that there is, which then is silent again.
        player = page.locator("#player-1")
        page.wait_for_selector(f"#player-1 [data-scheduled='{len(samples)}']", state="attached")
        page.wait_for_function(
            "() => document.querySelector('#player-1 .play').getAttribute('aria-label') === 'Play'"
        )
        assert player.locator(".position").get_attribute("max") == f"{seconds}.0"
        assert page.locator("audio").count() == 0

        hosts = {urlsplit(url).hostname for url in asked if not url.startswith(("data:", "blob:"))}
        assert hosts == {"127.0.0.1"}
        assert not complaints


def test_variations_are_kept_made_again_gone_on_from_and_downloaded(
    served: str, open_page: Any, tmp_path: Path
) -> None:
    with open_page(served) as page:
        page.uncheck("#listen input")
        page.fill(
            "#prompt textarea", "<img src=x onerror=document.title='hit'> ![](http://127.0.0.1:1/x) rain"
        )
        page.fill("#duration input[type=number]", "1")
        page.click("#variations label:nth-of-type(2)")
        page.dblclick("#generate")  # which asks once
        wait_until_made(page)
        page.wait_for_function("() => document.querySelector('#status').innerText === '2 sounds are ready.'")
        first, second = sound_of(page, tmp_path, 1), sound_of(page, tmp_path, 2)
        assert first.tobytes() != second.tobytes()
        expect(page.locator(".made")).to_have_count(2)
        assert page.title() == "soundloom"  # what was typed is text, never run
        assert page.locator(".made img, #cards img[src*='127.0.0.1:1']").count() == 0
        expect(page.locator(".made .facts").first).to_contain_text("onerror")

        # Keep one: the zip is of that.
        page.click("#keep-2")
        page.wait_for_selector("#zip:has-text('Download the 1 kept as zip')")
        assert not page.is_visible("#zip-file"), "only its link is used"
        assert page.inner_text("#keep-2") == "★ Kept"
        expect(page.locator("#status")).to_contain_text("it is in the list below")
        with page.expect_download() as expected:
            page.click("#zip")
        expected.value.save_as(tmp_path / "all.zip")
        with zipfile.ZipFile(tmp_path / "all.zip") as archive:
            names = archive.namelist()
            assert len(names) == 2
            held = soundfile.read(io.BytesIO(archive.read(names[0])), dtype="int16")[0]
        assert held.tobytes() == second.tobytes()

        # The same again: prompt, seed and settings come back, and give the same sound, alone.
        page.fill("#prompt textarea", "wind")
        page.fill("#duration input[type=number]", "2")
        page.locator(".made").nth(1).get_by_role("button", name="Again").click()
        page.wait_for_function("() => document.querySelector('#prompt textarea').value.includes('rain')")
        page.click("#generate")
        page.wait_for_selector("#card-1", state="hidden")
        wait_until_made(page)
        again = sound_of(page, tmp_path)
        np.testing.assert_allclose(again, second, atol=4)  # of 32768: alone, sums are rounded in another way

        # Go on from it: the sound grows.
        page.click("#start-1")
        page.wait_for_selector("#status:has-text('goes on from this one')")
        page.click("#generate")
        page.wait_for_selector("#card-1", state="hidden")
        wait_until_made(page)
        longer = sound_of(page, tmp_path)
        assert len(longer) == pytest.approx(2 * len(again), rel=0.02)
        expect(page.locator(".made")).to_have_count(4)  # nothing is lost


def test_an_example_plays_at_one_click_and_is_one_that_was_measured(served: str, open_page: Any) -> None:
    best = presets()
    assert best
    for preset in best:
        assert preset.right >= 0.75 * preset.of > 0
    with open_page(served) as page:
        shown = [each.inner_text().strip() for each in page.locator(".gallery-item").all()]
        assert shown == [preset.prompt for preset in best]
        assert page.locator("#prompt textarea").get_attribute("placeholder") == best[0].prompt
        page.fill("#duration input[type=number]", "1")
        page.get_by_text(best[-1].prompt, exact=True).click()
        wait_until_made(page)
        expect(page.locator(".made .facts").first).to_contain_text(best[-1].prompt)
        page.wait_for_function("() => document.querySelector('#player-1 [data-scheduled]')")


class Stubborn:
    """A model that refuses, slowly enough for two requests to meet; or that goes on until it is stopped."""

    lm = SimpleNamespace(codebook_size=64)
    codec = SimpleNamespace(sample_rate=16000)
    guidance_scale = 3.0
    top_k = 250

    def __init__(self, *, endless: bool = False) -> None:
        self.endless = endless
        self.lock = threading.Lock()
        self.calls = self.begun = 0
        self.met = False
        self.cancelled = threading.Event()

    def count_samples(self, duration: float) -> int:
        return round(16000 * duration)

    def generate(self, prompts: str, settings: GenerationSettings, **options: Any) -> Any:
        raise NotImplementedError

    def stream(self, prompts: str, settings: GenerationSettings, **options: Any) -> Iterator[Any]:
        self.begun += 1
        self.met |= not self.lock.acquire(blocking=False)
        time.sleep(0.5)
        while self.endless:
            if options["cancel"]():
                self.cancelled.set()
                raise GenerationCancelled("stopped")
            samples = torch.zeros(settings.num_samples, 1, 160)
            codes = torch.zeros(settings.num_samples, 1, 1, dtype=torch.int64)
            yield GeneratedAudio(samples, 16000, codes, [5], [prompts])
            time.sleep(0.02)
        self.calls += 1
        if self.lock.locked():
            self.lock.release()
        raise ValueError(f"duration is {settings.duration:g}; allowed are 0.02 to 3600 seconds")


def test_an_error_is_a_sentence_of_the_page_and_requests_wait_for_each_other(
    open_page: Any, codecs: Codecs
) -> None:
    stubborn = Stubborn()
    with open_page(app.build_demo(stubborn, codecs=codecs)) as page, open_page(page.url) as other:
        page.click("#generate")
        other.click("#generate")
        for each in (page, other):
            each.wait_for_selector("text=Duration is 5; allowed are 0.02 to 3600 seconds")
            each.wait_for_selector("#stop", state="hidden")
            assert each.locator(".toast-body").count() == 0  # nothing that covers the button
        assert stubborn.calls == 2
        assert not stubborn.met
        page.click("#generate")  # it can be tried again
        page.wait_for_selector("text=allowed are", state="hidden")
        page.wait_for_selector("text=allowed are")


def test_stopping_or_leaving_ends_the_work_and_keeps_what_was_made(
    open_page: Any, codecs: Codecs, tmp_path: Path
) -> None:
    endless = Stubborn(endless=True)
    with open_page(app.build_demo(endless, codecs=codecs)) as page:
        page.click("#generate")
        page.wait_for_selector("#card-1", state="visible")
        page.wait_for_function("() => /[1-9]/.test(document.querySelector('#player-1 .time').textContent)")
        page.click("#stop")
        page.wait_for_selector("#status:has-text('Cut short, because it was stopped')")
        assert endless.cancelled.is_set()
        assert "cut short" in page.inner_text("#facts-1")
        samples = sound_of(page, tmp_path)
        assert 0 < len(samples) < 5 * 16000
        assert next(tmp_path.iterdir()).name.endswith("-cut-short.wav")
        page.wait_for_selector(f"#player-1 [data-total='{len(samples)}']", state="attached")

        endless.cancelled.clear()
        page.click("#generate")
        page.wait_for_selector("#stop", state="visible")
        page.wait_for_selector("#card-1", state="visible")
        page.goto("about:blank")
        assert endless.cancelled.wait(60)


def wait_for_queue(page: Page, size: int) -> None:
    """Wait until the server says that so many requests wait for their turn."""
    until = time.monotonic() + 60
    while (found := page.request.get(f"{page.url}gradio_api/queue/status").json()["queue_size"]) != size:
        assert time.monotonic() < until, f"{found} requests wait, not {size}"
        page.wait_for_timeout(100)


def test_stopping_works_while_the_work_waits_in_the_queue(open_page: Any, codecs: Codecs) -> None:
    endless = Stubborn(endless=True)
    with open_page(app.build_demo(endless, codecs=codecs)) as page, open_page(page.url) as other:
        page.click("#generate")
        page.wait_for_selector("#card-1", state="visible")
        for _ in range(2):
            other.click("#generate")
            other.wait_for_selector("#stop-waiting", state="visible")
            other.click("#stop-waiting")
            other.wait_for_selector("#status:has-text('Stopped before it began')")
            assert not endless.cancelled.is_set()  # the other page's goes on
            wait_for_queue(page, 0)  # what was stopped takes nobody's place
        # Leaving the page takes its work out of the queue, too.
        with other.expect_response("**/queue/join*"):
            other.click("#generate")
        wait_for_queue(page, 1)
        other.goto("about:blank")
        wait_for_queue(page, 0)
        page.click("#stop")
        page.wait_for_selector("#status:has-text('Cut short')")
        # It begins only where the server has not heard of that yet, and then ends at once.
        page.click("#generate")
        page.click("#stop")  # is there once it has begun, with or without any sound yet
        ended = [
            f"#status:has-text('{text}')" for text in ("Cut short", "Stopped before there was any sound")
        ]
        page.wait_for_selector(", ".join(ended))


def test_a_sound_that_is_asked_for_while_another_is_still_being_stopped_is_made(
    open_page: Any, codecs: Codecs
) -> None:
    """Stop appears and answers at once, and what the server says of it late disturbs nothing."""
    endless = Stubborn(endless=True)
    held: list[tuple[Route, APIResponse]] = []
    told: list[Route] = []
    with open_page(app.build_demo(endless, codecs=codecs)) as page, open_page(page.url) as other:
        page.click("#generate")
        page.wait_for_selector("#card-1", state="visible")
        other.route("**/cancel", lambda route: held.append((route, route.fetch())))
        other.click("#generate")
        other.click("#stop-waiting")
        expect(other.locator("#status")).to_contain_text("Stopped before it began.")  # nobody was asked
        other.wait_for_timeout(300)
        other.click("#generate")
        expect(other.locator("#status")).to_contain_text("Waiting for its turn …")
        wait_for_requests(other, held)
        page.route("**/run/**", lambda route: told.append(route))
        page.click("#stop")
        expect(page.locator("#stop")).to_have_text("Stopping …")
        assert not endless.cancelled.is_set()  # nobody was asked
        wait_for_requests(other, told)[0].continue_()
        other.wait_for_selector("#card-1", state="visible")
        for route, response in held:
            route.fulfill(response=response)
        other.wait_for_timeout(500)
        assert other.is_visible("#stop")
        assert other.inner_text("#stop") == "Stop"
        other.click("#stop")
        other.wait_for_selector("#status:has-text('Cut short')")
        assert endless.begun == 2


def test_a_job_of_a_program_is_cancelled(codecs: Codecs) -> None:
    endless = Stubborn(endless=True)
    demo = app.build_demo(endless, codecs=codecs)
    try:
        client = Client(app.serve(demo, open_browser=False, block=False), verbose=False)
        job = client.submit("rain", api_name="/generate")
        until_processing(job)
        job.cancel()
        assert endless.cancelled.wait(60)
    finally:
        demo.close(verbose=False)


def test_programs_call_one_function_by_the_names_that_python_has(
    served: str, tiny_model: AudioGen, tmp_path: Path
) -> None:
    client = Client(served, verbose=False, download_files=tmp_path)
    endpoint = client.view_api(return_format="dict", print_info=False)["named_endpoints"]
    about = endpoint["/generate"]
    names = [each["parameter_name"] for each in about["parameters"]]
    assert names == [
        name for name in inspect.signature(SoundApi.generate).parameters if name not in ("self", "request")
    ]
    assert {*names} - {"prompt", "continue_from"} <= {field.name for field in fields(GenerationSettings)}
    assert [each["parameter_name"] for each in about["parameters"] if not each["parameter_has_default"]] == [
        "prompt"
    ]
    assert [each["label"] for each in about["returns"]] == ["sound", "seed", "details"]
    # Compress and the other tabs document their own; of the Make tab there is nothing else.
    assert not {"/make", "/ask", "/keep_it", "/stop"} & {*endpoint}

    def ask(**changes: Any) -> np.ndarray:
        chosen = {"prompt": "rain", "duration": 0.5, "seed": 42} | changes
        sound, seed, details = client.predict(**chosen, api_name="/generate")
        samples, rate = soundfile.read(sound)
        assert rate == tiny_model.codec.sample_rate == details["sample_rate"]
        assert seed == chosen["seed"]
        assert details["duration"] == pytest.approx(len(samples) / rate)
        return samples

    plain = ask()
    np.testing.assert_allclose(
        plain, tiny_model.generate("rain", 0.5, seed=42).samples[0, 0].numpy(), atol=2e-4
    )
    np.testing.assert_array_equal(ask(), plain)
    for changes in (
        {"seed": 43},
        {"negative_prompt": "wind"},
        {"guidance_scale": 1.5},
        {"temperature": 0.5},
        {"top_k": 2},
        {"top_p": 0.1},
    ):
        assert not np.array_equal(ask(**changes), plain), changes
    sound, seed, details = client.predict("", duration=0.5, api_name="/generate")
    assert Path(sound).is_file()
    assert isinstance(seed, int)
    assert "the prompt is empty" in details["warnings"][0]
    *_, details = client.predict("rain " * 300, duration=0.5, api_name="/generate")
    assert any("too long" in warning for warning in details["warnings"])

    rate = 44100
    tone = 0.5 * torch.sin(2 * torch.pi * 440 * torch.arange(rate) / rate).expand(2, -1)
    longer = ask(continue_from=handle_file(write_audio(tmp_path / "tone.wav", tone, rate)), duration=1.0)
    assert len(longer) == pytest.approx(2 * rate_of(tiny_model), abs=400)

    (tmp_path / "words.wav").write_text("this is no sound")
    write_audio(tmp_path / "long.wav", torch.zeros(31 * 8000), 8000)
    # One bound, which the documentation says and which can be kept.
    assert f"seconds, at most {MAX_DURATION:g};" in str(SoundApi.generate.__doc__)
    assert MAX_DURATION <= MAX_SECONDS / 10
    for changes, message in (
        ({"continue_from": handle_file(tmp_path / "words.wav")}, "cannot read sound from words.wav"),
        (
            {"continue_from": handle_file(tmp_path / "long.wav")},
            "long.wav lasts 31 s; here at most 30 s are allowed",
        ),
        ({"negative_prompt": "wind", "guidance_scale": 1.0}, "guidance_scale is 1"),
        ({"duration": -1}, r"^duration is -1; allowed are 0 to 60 \(seconds, "),
        ({"duration": 3600}, r"^duration is 3600; allowed are 0 to 60 \(seconds, "),
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
    best, cut_short = make_sounds(tiny_model, "rain", replace(once, candidates=4), **common)
    assert not cut_short
    assert not heard
    every = tiny_model.generate("rain", 0.4, num_samples=4, seed=1)
    assert best.scores == [pytest.approx(float(every.samples.square().mean(dim=(1, 2)).max()))]

    single, _ = make_sounds(tiny_model, "rain", once, **common)
    assert torch.equal(torch.cat(heard, dim=-1), single.samples)
    torch.testing.assert_close(
        single.samples, tiny_model.generate("rain", 0.4, seed=1).samples, atol=1e-4, rtol=0
    )
    assert torch.equal(single.codes, tiny_model.generate("rain", 0.4, seed=1).codes)
