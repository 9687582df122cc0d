"""The Edit tab: a part of a sound is chosen and filled anew, looped, extended, varied or shaped."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from playwright.sync_api import Page, Route, expect

from soundloom.core.audio import write_audio
from soundloom.core.loop_points import LoopPoints, read_loop_points
from soundloom.core.pictures import Spectrogram
from soundloom.demo.checked_upload import LAST
from soundloom.demo.sound_edits import SoundEdits
from soundloom.demo.spectrogram_images import RegionPicture
from soundloom.demo.stoppable import Stoppable
from soundloom.demo.temporary_files import Shelf
from soundloom.gen.pipeline import AudioGen
from tests.demo.waiting import wait_for_requests

WaitForSound = Callable[[Page, str], float]


@pytest.fixture
def street(tmp_path: Path) -> Path:
    samples = 0.4 * torch.rand(2, 44100, generator=torch.Generator().manual_seed(0)) - 0.2
    return write_audio(tmp_path / "street.wav", samples, 22050, subtype="PCM_24")


@pytest.mark.parametrize("width", [1280, 390])
def test_a_part_is_chosen_and_filled_anew(
    served: str, open_page: Any, wait_for_sound: WaitForSound, street: Path, tmp_path: Path, width: int
) -> None:
    complaints: list[str] = []
    with open_page(served, width) as page:
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.get_by_role("tab", name="Edit").click()
        page.set_input_files("#to-edit input[type=file]", street)
        page.wait_for_selector("#to-edit-spectrogram img")
        ends = ["#edit-start input[type=number]", "#edit-end input[type=number]"]
        page.wait_for_function("() => document.querySelector('#edit-end input[type=number]').max === '2'")
        assert [page.input_value(end) for end in ends] == ["0.67", "1.33"]  # the middle third
        # A click moves the edge that is nearer to it.
        box = page.locator("#to-edit-spectrogram img").bounding_box()
        assert box is not None
        page.mouse.click(box["x"] + 0.9 * box["width"], box["y"] + box["height"] / 2)
        page.wait_for_function("() => document.querySelector('#edit-end input[type=number]').value > 1.6")
        assert page.input_value(ends[0]) == "0.67"
        page.fill(ends[1], "1.5")
        page.press(ends[1], "Enter")
        page.fill("#edit-prompt textarea", "a dog")
        page.fill("#edit-seed textarea, #edit-seed input", "3")
        page.click("#edit")
        assert wait_for_sound(page, "edited") == pytest.approx(2.0, abs=0.01)
        page.wait_for_function("() => document.querySelector('#edited-status')?.innerText.includes('seed 3')")
        with page.expect_download() as expected:
            page.click("#get-edited")
        expected.value.save_as(tmp_path / "edited.wav")
        before, after = (soundfile.read(file)[0] for file in (street, tmp_path / "edited.wav"))
        changed = (before != after).any(axis=1).nonzero()[0] / 22050
        assert changed.min() == pytest.approx(0.67, abs=0.01)
        assert changed.max() == pytest.approx(1.5, abs=0.01)
        assert soundfile.info(tmp_path / "edited.wav").subtype == "PCM_24"

        page.click("#edit-further")
        page.get_by_label("Shape a part", exact=True).check()
        page.wait_for_selector("#edit-gain")
        assert not page.is_visible("#edit-prompt")
        assert page.evaluate("document.documentElement.scrollWidth") <= width  # nothing sticks out
        assert not complaints


def test_edit_cannot_be_pressed_before_the_part_is_that_of_the_sound(
    served: str, open_page: Any, wait_for_sound: WaitForSound, street: Path
) -> None:
    """However slow the server is: its answers to the upload and to the click are held back."""
    held: list[Route] = []
    start, end = "#edit-start input[type=number]", "#edit-end input[type=number]"
    with open_page(served) as page:
        page.get_by_role("tab", name="Edit").click()
        expect(page.locator("#edit")).to_be_enabled()
        page.route("**/queue/join*", lambda route: held.append(route))
        page.set_input_files("#to-edit input[type=file]", street)
        expect(page.locator("#edit")).to_be_disabled()
        page.press("#edit-prompt textarea", "Enter")
        assert page.input_value(end) == "1"
        expect(page.locator("#edit")).to_be_disabled()
        assert len(wait_for_requests(page, held)) == 1, "Enter has edited something"
        held.pop().continue_()
        page.unroute("**/queue/join*")
        expect(page.locator("#edit")).to_be_enabled()
        assert [page.input_value(each) for each in (start, end)] == ["0.67", "1.33"]

        picture = page.locator("#to-edit-spectrogram img")
        picture.wait_for()
        page.route("**/queue/join*", lambda route: held.append(route))
        box = picture.bounding_box()
        assert box is not None
        picture.click(position={"x": 0.9 * box["width"], "y": box["height"] / 2})
        expect(page.locator("#edit")).to_be_disabled()
        for route in wait_for_requests(page, held):
            route.continue_()
        page.unroute("**/queue/join*")
        expect(page.locator("#edit")).to_be_enabled()
        assert float(page.input_value(end)) > 1.6
        page.press("#edit-prompt textarea", "Enter")
        wait_for_sound(page, "edited")


def test_what_is_no_sound_is_said_at_the_upload(served: str, open_page: Any, tmp_path: Path) -> None:
    words = tmp_path / "words.wav"
    words.write_text("this is no sound")
    with open_page(served) as page:
        page.get_by_role("tab", name="Edit").click()
        page.set_input_files("#to-edit input[type=file]", words)
        page.get_by_text("cannot read sound from words.wav").wait_for()
        page.wait_for_selector("#to-edit input[type=file]", state="attached")
        page.click("#edit")
        page.locator("#edit-wrong").get_by_text("There is no sound yet", exact=False).wait_for()
        page.wait_for_selector("#edit")
        page.get_by_role("button", name=LAST).locator("visible=true").click()
        page.get_by_text("No sound has been made yet: make one in the tab Make").wait_for()
        assert page.locator(".toast-body").count() == 0  # nothing that covers the button
        # What Gradio itself says covers none, either.
        page.route("**/queue/join*", lambda route: route.fulfill(status=503, json={"detail": "too many"}))
        page.click("#edit")
        toast = page.locator(".toast-wrap")
        toast.locator(".toast-body").wait_for()
        heading = "document.querySelector('.toast-title')"
        assert "did not work" in page.evaluate(f"getComputedStyle({heading}, '::before').content")
        assert page.evaluate(f"getComputedStyle({heading}).fontSize") == "0px"
        page.wait_for_selector("#edit")
        said, button = toast.bounding_box(), page.locator("#edit").bounding_box()
        assert said is not None
        assert button is not None
        assert said["x"] + said["width"] <= button["x"]


@pytest.fixture(scope="module")
def client(served: str, tmp_path_factory: pytest.TempPathFactory) -> Client:
    return Client(served, verbose=False, download_files=tmp_path_factory.mktemp("downloads"))


def test_each_edit_is_a_function_for_programs(client: Client, street: Path) -> None:
    sound = handle_file(street)
    before = soundfile.read(street)[0]

    def edited(result: Any) -> np.ndarray:
        file, seed = result
        assert seed == 3
        return soundfile.read(file)[0]

    inpainted = edited(client.predict(sound, 0.5, 1.0, prompt="rain", seed=3, api_name="/inpaint"))
    assert np.array_equal(inpainted[:11025], before[:11025])
    assert not np.array_equal(inpainted, before)
    file, _ = client.predict(sound, seconds=0.4, seed=3, api_name="/loop")
    assert read_loop_points(Path(file)) == LoopPoints(0, 44099)
    longer = edited(client.predict(sound, seconds=1.0, seed=3, api_name="/extend"))
    assert longer.shape == (66150, 2)
    assert np.array_equal(longer[:44100], before)
    assert edited(client.predict(sound, seed=3, api_name="/variation")).shape == before.shape
    shaped, _ = soundfile.read(client.predict(sound, 0.5, 1.0, gain=-60, api_name="/shape"))
    assert not shaped[12000:21000].any()
    assert np.array_equal(shaped[:11025], before[:11025])
    _, first = client.predict(sound, 0.5, 1.0, api_name="/inpaint")
    _, second = client.predict(sound, 0.5, 1.0, api_name="/inpaint")
    assert first != second  # without a seed it is a new one


def test_what_programs_get_is_named_and_told(client: Client) -> None:
    told = client.view_api(return_format="dict", print_info=False)["named_endpoints"]
    of_inpaint = told["/inpaint"]
    assert [each["parameter_name"] for each in of_inpaint["parameters"]] == [
        "sound",
        "start",
        "end",
        "prompt",
        "seed",
    ]
    assert [each["label"] for each in of_inpaint["returns"]] == ["edited", "seed"]
    assert "every sample outside of it stays" in of_inpaint["description"]
    mine = {"/inpaint", "/loop", "/extend", "/variation", "/shape", "/compress", "/decompress"}
    mine |= {"/compare_codecs", "/encode", "/mute", "/shuffle", "/swap", "/interpolate"}
    assert mine <= set(told)


def test_bad_regions_are_one_sentence(client: Client, street: Path) -> None:
    def refused(message: str, *numbers: float, name: str) -> None:
        with pytest.raises(AppError, match=f"(?i){message}") as error:
            client.predict(handle_file(street), *numbers, api_name=name)
        assert "/tmp" not in str(error.value)

    refused("the region 1..0.5 s is empty", 1.0, 0.5, name="/inpaint")
    refused("the region 1..9 s is outside", 1.0, 9.0, name="/inpaint")
    refused("strength is 2.0", 2.0, name="/variation")
    refused("seconds is 99.0; allowed are 0 to 30", 99.0, name="/extend")
    refused("the region 1..9 s is no part", 1.0, 9.0, -6.0, name="/shape")
    refused("nothing is set, so nothing would change", 0.5, 1.0, name="/shape")


def test_places_in_the_picture() -> None:
    view = RegionPicture(Spectrogram(torch.rand(16000) - 0.5, 8000))
    assert view.seconds == 2.0
    plain, marked = (np.asarray(view.marked(regions)) for regions in ([], [(0.5, 1.0)]))
    columns = (plain != marked).any(axis=(0, 2)).nonzero()[0]
    assert view.time_at(float(columns.min() + 1)) == pytest.approx(0.5, abs=0.01)
    assert view.time_at(float(columns.max() - 1)) == pytest.approx(1.0, abs=0.01)
    assert (view.time_at(-5.0), view.time_at(1e6)) == (0.0, 2.0)
    assert type(view.time_at(400)) is float  # numpy's becomes a string on its way to the page
    assert plain.shape[-1] == 4  # without a background
    assert plain[0, 0, 3] == 0


def test_the_model_is_found_behind_what_serves_it(tiny_model: AudioGen) -> None:
    behind = SimpleNamespace(model=SimpleNamespace(model=tiny_model))
    for model in (tiny_model, behind):
        assert SoundEdits(model, Shelf(), Stoppable()).editor is tiny_model
