"""The interface as programs use it: sounds, streams, refusals in sentences, clients that go away."""

from __future__ import annotations

import asyncio
import io
import json
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import soundfile
import torch

from soundloom.core.audio import read_audio
from soundloom.core.audio_blocks import to_pcm
from soundloom.core.loop_points import LoopPoints, read_loop_points
from soundloom.gen.engine.engine import Engine
from soundloom.gen.generated_audio import join_chunks
from soundloom.gen.pipeline import AudioGen
from soundloom.gen.settings import OPTIONS
from soundloom.server.generation_request import MAX_PROMPT, GenerationRequest
from soundloom.server.http_api import build_api
from soundloom.server.reference_page import reference_page
from tests.server.running_server import GENERATIONS, RunningServer, running

LONG = {"prompt": "rain", "duration": 30.0}


def pcm(answer: httpx.Response) -> bytes:
    """The samples of a wav or flac, 16 bit."""
    samples, rate = soundfile.read(io.BytesIO(answer.content), dtype="int16")
    assert rate == 16000
    return np.asarray(samples, "<i2").tobytes()


@pytest.mark.parametrize("kind", ["wav", "flac", "pcm"])
def test_a_sound_is_what_python_makes(
    server: RunningServer, tiny_model: AudioGen, tmp_path: Path, kind: str
) -> None:
    answer = server.make(prompt="a dog", duration=0.5, seed=7, top_k=20, response_format=kind)
    assert answer.status_code == 200
    expected = tiny_model.generate("a dog", 0.5, seed=7, top_k=20)
    if kind == "pcm":
        assert answer.content == to_pcm(expected.samples[0])
    else:
        # Tags tell the time, so the files are the same but for them.
        written = expected.save(tmp_path / f"sound.{kind}")
        assert torch.equal(read_audio(answer.content)[0], read_audio(written)[0])
    assert answer.headers["content-type"].startswith(f"audio/{kind}")
    assert answer.headers["x-seed"] == "7"
    assert answer.headers["x-sample-rate"] == "16000"


def test_settings_are_those_of_python(server: RunningServer, tiny_model: AudioGen) -> None:
    settings = {"negative_prompt": "wind", "temperature": 0.8, "top_p": 0.9, "duration": 0.4, "seed": 1}
    answer = server.make(prompt="rain", guidance_scale=[4, 2], **settings)
    expected = tiny_model.generate("rain", guidance_scale=(4.0, 2.0), **settings)
    assert pcm(answer) == to_pcm(expected.samples[0])
    left_out = {"num_samples", "reference_padding"}  # an answer is one sound, whatever else is in the batch
    assert set(OPTIONS) - left_out <= set(GenerationRequest.model_fields)
    for name, field in GenerationRequest.model_fields.items():
        if name in OPTIONS:
            assert field.default == OPTIONS[name].default
            assert field.description == OPTIONS[name].help


@pytest.mark.parametrize("kind", ["wav", "flac"])
def test_a_loop_is_what_python_makes(
    server: RunningServer, tiny_model: AudioGen, tmp_path: Path, kind: str
) -> None:
    answer = server.make(prompt="rain", duration=0.6, seed=4, loop=True, response_format=kind)
    assert answer.status_code == 200, answer.text
    expected = tiny_model.generate("rain", 0.6, seed=4, loop=True)
    written = expected.save(tmp_path / f"sound.{kind}")
    assert torch.equal(read_audio(answer.content)[0], read_audio(written)[0])
    assert pcm(answer) != pcm(server.make(prompt="rain", duration=0.6, seed=4))
    if kind == "wav":
        (tmp_path / "loop.wav").write_bytes(answer.content)
        assert read_loop_points(tmp_path / "loop.wav") == LoopPoints(0, expected.samples.shape[-1] - 1)
    assert answer.headers["x-seed"] == "4"


@pytest.mark.parametrize("loop", [False, True])
def test_the_prompt_changes_on_the_way_as_in_python(
    server: RunningServer, tiny_model: AudioGen, loop: bool
) -> None:
    changing: list[tuple[float, str]] = [(0, "rain"), (0.5, "a dog")]
    settings = {"duration": 0.8, "seed": 4, "guidance_scale": 2.0, "loop": loop}
    answer = server.make(prompts_at=changing, **settings)
    assert answer.status_code == 200, answer.text
    assert pcm(answer) == to_pcm(tiny_model.generate(prompts_at=changing, **settings).samples[0])
    assert pcm(answer) != pcm(server.make(prompts_at=[(0, "rain")], **settings))


def test_a_loop_of_which_nobody_waits_ends(server: RunningServer) -> None:
    with server.client(timeout=0.7) as client, pytest.raises(httpx.ReadTimeout):
        client.post(GENERATIONS, json=LONG | {"loop": True})
    # The next one has to wait for it.
    assert server.make(prompt="rain", duration=0.2, loop=True).status_code == 200
    server.wait_until_idle()


def test_a_random_seed_is_told_and_makes_the_sound_again(server: RunningServer) -> None:
    first = server.make(prompt="rain", duration=0.3)
    again = server.make(prompt="rain", duration=0.3, seed=int(first.headers["x-seed"]))
    assert pcm(first) == pcm(again)  # the files' tags tell the time
    assert pcm(server.make(prompt="rain", duration=0.3)) != pcm(first)


@pytest.mark.parametrize("kind", ["wav", "pcm"])
def test_a_stream_comes_while_the_sound_is_made(
    server: RunningServer, tiny_model: AudioGen, kind: str
) -> None:
    settings = {"duration": 2.0, "seed": 3}
    with (
        server.client() as client,
        client.stream(
            "POST", GENERATIONS, json={"prompt": "rain", "stream": True, "response_format": kind} | settings
        ) as answer,
    ):
        assert answer.status_code == 200
        parts = answer.iter_raw()
        body = next(parts)
        assert server.engine.load.running == 1
        body += b"".join(parts)
    expected = join_chunks(list(tiny_model.stream("rain", **settings)))
    header = 44 if kind == "wav" else 0
    assert body[header:] == to_pcm(expected.samples[0])
    if kind == "wav":
        assert len(soundfile.read(io.BytesIO(body))[0]) == 2 * 16000


def test_the_best_of_several(tiny_model: AudioGen) -> None:
    def scorer() -> Any:
        return lambda audio, *_: torch.tensor([0.1, 0.9, 0.5])

    with Engine(tiny_model) as engine:
        api = build_api(engine, scorer=scorer)
        transport = httpx.ASGITransport(api)

        async def ask() -> httpx.Response:
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
                return await client.post(GENERATIONS, json={"candidates": 3, "seed": 1, "duration": 0.2})

        answer = asyncio.run(ask())
    best = tiny_model.generate("", 0.2, seed=1, num_samples=3)
    assert pcm(answer) == to_pcm(best.samples[1])
    assert int(answer.headers["x-seed"]) == best.seeds[1]


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ('{"prompt":', 422, "the body is no JSON (Expecting value, at character 10)"),
        ("", 422, "the body must be a JSON object, such as"),
        ("[1]", 422, "the body must be a JSON object, such as"),
        ('{"promt": "a dog"}', 422, "there is no field 'promt'; did you mean prompt?"),
        ('{"zzz": 1}', 422, "there is no field 'zzz'; there are prompt, prompts_at, model"),
        ('{"prompt": 3}', 422, "prompt is 3; it should be a valid string"),
        ('{"duration": "5"}', 422, "duration is '5'; it should be a valid number"),
        ('{"duration": true}', 422, "duration is True; it should be a valid number"),
        ('{"duration": 31}', 422, "duration is 31 s; at most 30 s are made here at once"),
        ('{"duration": 1e999}', 422, "duration is inf; allowed are 0 to 3600"),
        ('{"guidance_scale": NaN}', 422, "guidance_scale is nan; allowed are 0 to 100"),
        ('{"guidance_scale": "3"}', 422, "guidance_scale is '3'; it must be a number, or two"),
        ('{"guidance_scale": [1, 2, 3]}', 422, "a pair is its value at the start and at the end"),
        ('{"negative_prompt": "a", "guidance_scale": 1}', 422, "a negative prompt needs more than 1"),
        ('{"seed": -1}', 422, "seed is -1; it must be an integer from 0"),
        ('{"seed": 1.5}', 422, "seed is 1.5; it should be a valid integer"),
        ('{"top_k": 65}', 422, "top_k is 65; it must be an integer from 0 to 64"),
        ('{"candidates": 5}', 422, "5 sounds are asked for at once"),
        ('{"candidates": 5, "loop": true}', 422, "5 sounds are asked for at once"),
        ('{"loop": "yes"}', 422, "loop is 'yes'; it should be a valid boolean"),
        ('{"loop": true, "duration": 31}', 422, "duration is 31 s; at most 30 s are made here at once"),
        ('{"loop": true, "duration": 0.021}', 422, "a loop needs at least 3 frames"),
        ('{"loop": true, "stream": true}', 422, "loop is True, but stream has no whole sounds"),
        ('{"prompts_at": []}', 422, "prompts_at is empty; give at least one (seconds, prompt)"),
        ('{"prompts_at": "rain"}', 422, "prompts_at is 'rain'; it should be a valid list"),
        ('{"prompts_at": [[0]]}', 422, "prompts_at holds [0.0]; every entry must be (seconds, prompt)"),
        ('{"prompts_at": [["a", "b"]]}', 422, "its first part must be a number of seconds"),
        ('{"prompts_at": [[0, 5]]}', 422, "its second part must be a prompt, a string"),
        ('{"prompts_at": [[1, "rain"]]}', 422, "the first prompt, 'rain', begins at 1 s; it must begin at 0"),
        ('{"prompts_at": [[0, "a"], [9, "b"]]}', 422, "the prompt 'b' begins at 9 s, but the sound lasts"),
        ('{"prompts_at": [[0, "a"], [0, "b"]]}', 422, "the prompt 'b' begins at 0 s, not after 'a'"),
        ('{"prompts_at": [[0, "a"]], "prompt": "b"}', 422, "prompt is 'b' beside prompts_at; give the one"),
        ('{"prompts_at": [[0, "a"]], "stream": true}', 422, "stream is true, but a sound whose prompt"),
        (json.dumps({"prompts_at": [[0, "a"]] * 33}), 422, "prompts_at has 33 prompts; at most 32"),
        (json.dumps({"prompts_at": [[0, "a" * 3000]]}), 422, "prompts_at has 3000 characters; at most 2000"),
        ('{"candidates": 2, "stream": true}', 422, "candidates is 2, but stream has no whole sounds"),
        ('{"response_format": "mp3"}', 422, "response_format is 'mp3'; it should be 'wav', 'flac' or 'pcm'"),
        (
            '{"response_format": "flac", "stream": true}',
            422,
            "response_format is 'flac', which is not",
        ),
        ('{"model": "nope"}', 404, "there is no model 'nope' here; use foley"),
        (json.dumps({"prompt": "a" * 10_000}), 422, "prompt has 10000 characters; at most 2000 are taken"),
        (json.dumps({"prompt": "a" * 70_000}), 413, "the body is too long; at most 65536 bytes are taken"),
    ],
)
def test_what_is_impossible_gets_a_sentence(
    server: RunningServer, body: str, status: int, message: str
) -> None:
    with server.client() as client:
        answer = client.post(GENERATIONS, content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == status
    error = answer.json()["error"]
    assert message in error["message"]
    assert error["field"] in {None, *GenerationRequest.model_fields, "promt", "zzz"}
    if body.startswith('{"prompts_at": ') and body.endswith("]}"):  # nothing else is in it
        assert error["field"] == "prompts_at"
    assert server.engine.load.running == 0


def test_a_long_prompt_is_taken_up_to_the_limit(server: RunningServer) -> None:
    assert server.make(prompt="a " * (MAX_PROMPT // 2), duration=0.1).status_code == 200


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_goes_away_gives_its_place_away(server: RunningServer, stream: bool) -> None:
    started = time.perf_counter()
    with server.client(timeout=0.7) as client:
        try:
            with client.stream("POST", GENERATIONS, json=LONG | {"stream": stream}) as answer:
                next(answer.iter_raw())  # of the stream; the whole sound takes too long to come
                assert stream
        except httpx.ReadTimeout:
            assert not stream or time.perf_counter() - started > 0.7
    server.wait_until_idle()
    assert server.make(prompt="rain", duration=0.1).status_code == 200


def test_a_full_queue_says_when_to_come_again(tiny_model: AudioGen) -> None:
    with Engine(tiny_model, max_batch=1, max_queue=1) as engine, running(engine) as server:
        handles = [engine.submit("rain", 30.0), engine.submit("rain", 30.0)]
        answer = server.make(prompt="rain", duration=1)
        assert answer.status_code == 429
        assert int(answer.headers["retry-after"]) >= 1
        assert "the queue is full: 2 sounds are being made or wait" in answer.json()["error"]["message"]
        for handle in handles:
            handle.cancel()
        assert server.make(prompt="rain", duration=0.1).status_code == 200


def test_an_engine_that_has_stopped_is_seen(tiny_model: AudioGen) -> None:
    with Engine(tiny_model) as engine, running(engine) as server, server.client() as client:
        assert client.get("/health").json()["status"] == "ok"
        engine.close()
        assert client.get("/health").status_code == 503
        assert server.make(prompt="rain").status_code == 503


def test_models_health_and_what_is_not_there(server: RunningServer) -> None:
    with server.client() as client:
        (model,) = client.get("/v1/models").json()["data"]
        assert model["id"] == "foley"
        assert model["sample_rate"] == 16000
        assert model["max_duration"] == 30
        health = client.get("/health").json()
        assert (health["status"], health["running"], health["waiting"]) == ("ok", 0, 0)
        for path in ("/v1/nothing", "/nothing"):
            answer = client.get(path)
            assert answer.status_code == 404
            assert path in answer.json()["error"]["message"]


def test_the_page_of_the_interface_needs_nothing_from_elsewhere(server: RunningServer) -> None:
    with server.client() as client:
        openapi = client.get("/openapi.json").json()
        page = client.get("/docs").text
    assert page == reference_page(openapi)
    for name in GenerationRequest.model_fields:
        assert f"<code>{name}</code>" in page
    assert "http://" not in page.replace("http://127.0.0.1:8000", "")
    assert "https://" not in page
    assert "<script" not in page
    for example in openapi["components"]["schemas"]["GenerationRequest"]["examples"]:
        GenerationRequest(**example).settings()


def test_stopping_waits_for_sounds_but_not_for_pages(tiny_model: AudioGen) -> None:
    answers: list[httpx.Response] = []
    with Engine(tiny_model) as engine, running(engine) as server, server.client() as page:
        page.get("/health")  # its connection stays open
        thread = threading.Thread(
            target=lambda: answers.append(server.make(prompt="rain", duration=1, seed=1))
        )
        thread.start()
        while not engine.load.running:
            time.sleep(0.01)
        server.server.should_exit = True
        thread.join()
        server.thread.join(10)
        assert not server.thread.is_alive()
    assert pcm(answers[0]) == to_pcm(tiny_model.generate("rain", 1.0, seed=1).samples[0])
