"""The tab Look inside: codes and embeddings are shown, changed and heard."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from playwright.sync_api import Page, expect

from soundloom.codecs.base import Codec
from soundloom.core.audio import write_audio
from soundloom.core.errors import ArgumentError
from soundloom.demo.codecs import Codecs
from soundloom.demo.inside import BETWEEN, MUTE, SHUFFLE, SWAP, Coded, Inside, changed
from soundloom.demo.stoppable import Stoppable
from soundloom.demo.temporary_files import Shelf

WaitForSound = Callable[[Page, str], float]


@pytest.fixture
def sounds(tmp_path: Path) -> list[Path]:
    files = []
    for number, length in enumerate((16000, 12000)):
        samples = 0.4 * torch.rand(1, length, generator=torch.Generator().manual_seed(number)) - 0.2
        files.append(write_audio(tmp_path / f"{number}.wav", samples, 16000))
    return files


@pytest.mark.parametrize("width", [1280, 390])
def test_codes_are_shown_and_a_codebook_is_muted(
    served: str, open_page: Any, wait_for_sound: WaitForSound, sounds: list[Path], width: int
) -> None:
    complaints: list[str] = []
    with open_page(served, width) as page:
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.get_by_role("tab", name="Look inside").click()
        page.set_input_files("#to-look-into input[type=file]", sounds[0])
        page.wait_for_selector("#to-look-into audio, #to-look-into .waveform-container", state="attached")
        page.click("#look-inside")
        page.wait_for_function("() => document.querySelector('#inside-spectrogram img')?.naturalWidth > 0")
        page.get_by_label("codebook 1", exact=True).check()
        page.click("#hear-inside")
        assert wait_for_sound(page, "changed") == pytest.approx(1.0, abs=0.01)
        assert page.get_by_text("Mute: 1, 3").is_visible()
        # What needs a second sound says so before it is pressed.
        page.get_by_label(SWAP).check()
        page.wait_for_selector("#second-missing", state="visible")
        expect(page.locator("#hear-inside")).to_be_disabled()
        page.set_input_files("#second-sound input[type=file]", sounds[1])
        page.wait_for_selector("#second-missing", state="hidden")
        expect(page.locator("#hear-inside")).to_be_enabled()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert not complaints


def test_programs_change_what_is_inside(
    served: str, codecs: Codecs, sounds: list[Path], tmp_path: Path
) -> None:
    client = Client(served, verbose=False, download_files=tmp_path)
    first, second = map(handle_file, sounds)
    found = client.predict(first, api_name="/encode")
    assert (found["kind"], found["shape"]) == ("codes", [3, 800])
    samples = torch.from_numpy(soundfile.read(sounds[0], dtype="float32")[0])[None, None]
    assert torch.equal(torch.tensor(found["values"]), codecs.get("tiny").encode(samples)[0])
    lengths = {}
    for name, given in {"mute": [first], "shuffle": [first], "swap": [first, second]}.items():
        file = client.predict(*given, "tiny", [1, 2], api_name=f"/{name}")
        lengths[name] = soundfile.info(file).frames
    assert lengths == {"mute": 16000, "shuffle": 16000, "swap": 12000}
    with pytest.raises(AppError, match="(?i)there is no part 9; they are 1 to 3"):
        client.predict(first, "tiny", [9], api_name="/mute")
    with pytest.raises(AppError, match="(?i)between codes there is nothing"):
        client.predict(first, second, "tiny", api_name="/interpolate")


@pytest.fixture(scope="module")
def latents() -> Coded:
    codecs = Codecs()
    model: Any = codecs.get("music2latent2")
    samples = 0.4 * torch.rand(1, 1, 40000, generator=torch.Generator().manual_seed(0)) - 0.2
    return Coded(model, model.encode(samples, discrete=False), 40000)


def test_embeddings_are_muted_shuffled_swapped_and_between(latents: Coded) -> None:
    assert latents.latents
    assert latents.parts == 8
    other = Coded(latents.codec, -latents.frames, 35000)
    plain = latents.decoded(latents.frames)
    for change in (MUTE, SHUFFLE):
        found = changed(latents, change, [0, 3], None, 0.5)
        assert found.shape == plain.shape
        assert not torch.equal(found, plain)
    swapped = changed(latents, SWAP, list(range(8)), other, 0.5)
    torch.testing.assert_close(swapped, latents.decoded(-latents.frames)[:, :35000])
    torch.testing.assert_close(changed(latents, BETWEEN, [], other, 0.0), plain[:, :35000], atol=1e-3, rtol=0)
    assert np.asarray(latents.picture()).shape[-1] == 4


def test_what_cannot_be_is_one_sentence(latents: Coded, codecs: Codecs, tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="nothing is chosen"):
        changed(latents, MUTE, [], None, 0.5)
    with pytest.raises(ArgumentError, match="there is no part 9"):
        changed(latents, MUTE, [8], None, 0.5)
    with pytest.raises(ArgumentError, match="change is 'x'"):
        changed(latents, "x", [1], None, 0.5)
    codec: Codec = codecs.get("tiny")
    inside = Inside(codecs, Shelf(), Stoppable())
    long = write_audio(tmp_path / "long.wav", torch.zeros(1, 11 * 16000), 16000)
    with pytest.raises(ValueError, match="at most 10 s are allowed"):
        inside.coded(str(long), codec.name)
