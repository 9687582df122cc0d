"""Edits over HTTP: what Python makes, one at a time, refusals in sentences, clients that go away."""

from __future__ import annotations

import asyncio
import io
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import soundfile
import torch

from soundloom.core.audio_blocks import to_pcm
from soundloom.core.loop_points import LoopPoints, read_loop_points
from soundloom.gen.engine.engine import QueueFullError
from soundloom.gen.generation import Cancel
from soundloom.gen.pipeline import AudioGen
from soundloom.server import edit_request
from soundloom.server.edit_queue import EditQueue
from soundloom.server.edit_request import EditRequest
from soundloom.server.generation_request import field_of
from soundloom.server.guard import EDITS, MAX_UPLOAD
from tests.server.running_server import RunningServer

RATE = 22050


def sound(seconds: float = 1.0, channels: int = 2, rate: int = RATE, kind: str = "WAV") -> bytes:
    found = io.BytesIO()
    noise = np.random.default_rng(0).uniform(-0.2, 0.2, (int(seconds * rate), channels))
    soundfile.write(found, noise, rate, format=kind)
    return found.getvalue()


def send(server: RunningServer, file: Any = None, **fields: Any) -> httpx.Response:
    with server.client() as client:
        return client.post(EDITS, files={"file": sound() if file is None else file}, data=fields)


def read(content: bytes) -> tuple[np.ndarray, int]:
    samples, rate = soundfile.read(io.BytesIO(content), dtype="int16", always_2d=True)
    return samples, rate


@pytest.mark.parametrize("kind", ["WAV", "FLAC"])
def test_regions_are_filled_as_in_python(server: RunningServer, tiny_model: AudioGen, kind: str) -> None:
    given = sound(kind=kind)
    answer = send(
        server, given, regions=["0.2:0.3", "0.9:"], prompt="a dog", seed=3, guidance_scale=2, top_k=20
    )
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-seed"] == "3"
    assert answer.headers["x-channels"] == "2"
    samples, rate = read(answer.content)
    before = read(given)[0]
    changed = (samples != before).any(axis=1).nonzero()[0] / rate
    assert rate == RATE
    assert set(np.floor(changed * 10)) == {2.0, 9.0}
    source = torch.from_numpy(soundfile.read(io.BytesIO(given), dtype="float32", always_2d=True)[0].T)
    expected = tiny_model.inpaint(
        (source, RATE), [(0.2, 0.3), (0.9, None)], "a dog", seed=3, guidance_scale=2.0, top_k=20
    )
    assert samples.astype("<i2").tobytes() == to_pcm(expected.samples[0])


def test_each_region_has_its_own_prompt(server: RunningServer, tiny_model: AudioGen) -> None:
    given, prompts = sound(), ["a bell", "a dog"]
    answer = send(server, given, regions=["0.9:", "0.2:0.3"], prompt=prompts, seed=3)
    assert answer.status_code == 200, answer.text
    source = torch.from_numpy(soundfile.read(io.BytesIO(given), dtype="float32", always_2d=True)[0].T)
    expected = tiny_model.inpaint((source, RATE), [(0.9, None), (0.2, 0.3)], prompts, seed=3)
    assert read(answer.content)[0].astype("<i2").tobytes() == to_pcm(expected.samples[0])


def test_variations_and_formats(server: RunningServer) -> None:
    copy, other = (send(server, vary=share, seed=1, response_format="pcm") for share in (0, 0.9))
    assert (copy.status_code, other.status_code) == (200, 200)
    assert len(copy.content) == len(other.content) == 2 * 2 * RATE
    assert copy.content != other.content
    assert copy.headers["content-type"].startswith("audio/pcm;rate=22050")


def test_loops_and_longer_sounds(server: RunningServer, tiny_model: AudioGen, tmp_path: Path) -> None:
    loop, longer = send(server, loop=0.3, seed=1), send(server, extend=0.5, prompt="rain", seed=2)
    assert (loop.status_code, longer.status_code) == (200, 200)
    before = read(sound())[0]
    assert (read(loop.content)[0][: RATE - round(0.3 * RATE)] == before[: RATE - round(0.3 * RATE)]).all()
    assert read(loop.content)[0].shape == before.shape
    file = tmp_path / "loop.wav"
    file.write_bytes(loop.content)
    assert read_loop_points(file) == LoopPoints(0, RATE - 1)
    samples = read(longer.content)[0]
    assert len(samples) == RATE + round(0.5 * RATE)
    assert (samples[:RATE] == before).all()


@pytest.mark.parametrize(
    ("message", "field"),
    [
        ("the region 5..6 s is outside of the sound", "regions"),
        ("the regions 0.2..1 s and 0.9..1.2 s overlap", "regions"),
        ("regions is 'a:b'; it must be", "regions"),
        ("seed is -1; it must be", "seed"),
        ("the sound is silent", None),
        ("the file breaks off", None),
    ],
)
def test_errors_tell_their_field(message: str, field: str | None) -> None:
    assert field_of(message, EditRequest) == field


@pytest.mark.parametrize(
    ("fields", "status", "message"),
    [
        ({}, 422, "send one of regions, such as 1.2:2.0, vary"),
        ({"regions": "0.1:0.2", "vary": 0.3}, 422, "send one of regions"),
        ({"loop": 0.3, "extend": 0.3}, 422, "send one of regions"),
        ({"loop": 0}, 422, "loop is 0; it must be a number of seconds above 0"),
        ({"loop": 99}, 422, "seconds is 99.0; allowed are 0.02 to 8"),
        ({"extend": "nan"}, 422, "extend is nan; it must be a number of seconds above 0"),
        ({"extend": 29.5}, 422, "extend is 29.5, which makes 30.5 s of it; at most 30 s are made here"),
        ({"regions": "0.5"}, 422, "regions is '0.5'; it must be START:END in seconds"),
        ({"regions": "a:b"}, 422, "regions is 'a:b'"),
        ({"regions": "0.5:9"}, 422, "0.5..9 s is outside of the sound, which lasts 1 s"),
        ({"regions": ["0.1:0.5", "0.4:0.6"]}, 422, "overlap"),
        ({"regions": ["0.1:0.2"] * 17}, 422, "regions has 17 parts; at most 16"),
        ({"regions": ["0:0.1", "0.3:0.4", "0.5:"], "prompt": ["a", "b"]}, 422, "2 prompts for 3 regions"),
        ({"regions": "0.1:0.2", "prompt": ["a", "b"]}, 422, "prompt has 2 parts; send one for all"),
        ({"vary": 0.3, "prompt": ["a", "b"]}, 422, "prompt has 2 parts"),
        ({"vary": 2}, 422, "vary is 2.0; allowed are 0 to 1"),
        ({"vary": "much"}, 422, "vary is 'much'; it should be a valid number"),
        ({"vary": "nan"}, 422, "vary is nan"),
        ({"vary": 0.3, "seed": -1}, 422, "seed is -1"),
        ({"vary": 0.3, "sede": 1}, 422, "there is no field 'sede'; did you mean seed?"),
        ({"vary": 0.3, "guidance_scale": 101}, 422, "guidance_scale is 101.0; allowed are 0 to 100"),
        ({"vary": 0.3, "prompt": "a" * 3000}, 422, "prompt has 3000 characters"),
        ({"vary": 0.3, "response_format": "mp3"}, 422, "response_format is 'mp3'"),
        ({"vary": 0.3, "model": "nope"}, 404, "there is no model 'nope' here"),
    ],
)
def test_what_is_impossible_gets_a_sentence(
    server: RunningServer, fields: dict[str, Any], status: int, message: str
) -> None:
    answer = send(server, **fields)
    assert answer.status_code == status
    assert message in answer.json()["error"]["message"]
    assert answer.json()["error"]["field"] in {None, *EditRequest.model_fields, "sede"}


@pytest.mark.parametrize(
    ("file", "message"),
    [
        (b"no sound at all", "sound"),
        (b"", ""),
        (sound(30.2, 1, 8000), "file is longer than 30 s, the most that is edited here"),
        (sound(0.01), "less than one frame of the codec"),
        ((None, "text"), "file is no file"),
    ],
)
def test_sounds_that_cannot_be_edited(server: RunningServer, file: Any, message: str) -> None:
    answer = send(server, file, vary=0.3)
    assert answer.status_code == 422
    assert message in answer.json()["error"]["message"]


def test_a_sound_of_too_many_samples_is_not_decoded(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(edit_request, "MAX_VALUES", 2 * RATE - 1)
    assert "file has 2 channels at 22050 Hz" in send(server, vary=0.3).json()["error"]["message"]


def test_bodies_are_forms_of_a_bounded_size(server: RunningServer) -> None:
    with server.client() as client:
        assert client.post(EDITS, json={"vary": 0.3}).status_code == 415
        answer = client.post(EDITS, data={"vary": 0.3}, files={"x": b"y"})
        assert answer.json()["error"]["message"].startswith(("file is missing", "there is no field 'x'"))
        answer = client.post(EDITS, files={"file": b"\0" * MAX_UPLOAD}, data={"vary": 0.3})
    assert answer.status_code == 413
    assert f"at most {MAX_UPLOAD} bytes" in answer.json()["error"]["message"]


def test_a_client_that_goes_away_ends_the_edit(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, ended = threading.Event(), threading.Event()

    def edit(self: Any, model: Any, source: Any, *, max_seconds: float, cancel: Cancel) -> Any:
        begun.set()
        while not cancel():
            time.sleep(0.01)
        ended.set()
        raise RuntimeError("cancelled")

    with monkeypatch.context() as patched:
        patched.setattr(EditRequest, "edit", edit)
        with server.client(timeout=2.0) as client, pytest.raises(httpx.ReadTimeout):
            client.post(EDITS, files={"file": sound()}, data={"vary": 0.3})
        assert begun.is_set()
        assert ended.wait(60)
        server.wait_until_idle()
    assert send(server, vary=0.3).status_code == 200


def test_one_at_a_time_and_few_wait() -> None:
    running: list[int] = []
    most: list[int] = []

    def work(cancel: Cancel) -> int:
        running.append(1)
        most.append(len(running))
        time.sleep(0.05)
        running.pop()
        return 7

    async def try_all() -> list[Any]:
        queue = EditQueue(most=3)
        found = await asyncio.gather(*(queue.run(work) for _ in range(4)), return_exceptions=True)
        assert queue.open == 0
        return found

    *done, refused = asyncio.run(try_all())
    assert done == [7, 7, 7]
    assert max(most) == 1
    assert isinstance(refused, QueueFullError)
    assert refused.retry_after >= 1
    assert "3 edits, loops and sounds with changing prompts are being made" in str(refused)


def test_the_page_shows_commands_that_work(server: RunningServer) -> None:
    with server.client() as client:
        page = client.get("/docs").text
    assert "-F file=@street.wav -F &#x27;prompt=a dog barks&#x27; -F regions=1.2:2.0 -F seed=7" in page
    for name in EditRequest.model_fields:
        assert f"<code>{name}</code>" in page
