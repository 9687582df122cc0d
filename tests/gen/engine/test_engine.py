"""An engine gives every request what it would get alone, whoever joins or leaves, and keeps its bounds."""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch

from soundloom.gen.engine.asynchronous import stream_chunks, wait_for_result
from soundloom.gen.engine.engine import Engine, EngineClosedError, QueueFullError
from soundloom.gen.engine.generation_handle import GenerationHandle
from soundloom.gen.generated_audio import GeneratedAudio, join_chunks
from soundloom.gen.generation import GenerationCancelled
from soundloom.gen.model.shared_step import SharedStep
from soundloom.gen.pipeline import AudioGen

RATE = 16000
TIMEOUT = 60.0
SINE = 0.5 * torch.sin(2 * math.pi * 440 * torch.arange(int(0.3 * RATE)) / RATE).unsqueeze(0)
REQUESTS: list[dict[str, Any]] = [
    {"prompts": "a dog barks"},
    {"prompts": "", "duration": 0.9},
    {"prompts": "rain", "temperature": 0.7, "top_k": 20, "duration": 1.3},
    {"prompts": "a bell", "top_p": 0.9, "negative_prompt": "wind", "guidance_scale": 2.0},
    {"prompts": "an owl", "guidance_scale": (4.0, 1.0), "duration": 1.1},
    {"prompts": "a horn", "temperature": 0.0},
    {"prompts": "a siren", "continue_from": (SINE, RATE), "duration": 1.0},
    {"prompts": ["a cat", "heavy rain falls on a roof"], "num_samples": 2, "duration": 0.5},
    {"prompts": "thunder", "guidance_scale": 1.0},  # one row: rounded differently, but the same codes
]


@pytest.fixture(scope="module")
def model(tiny_model: AudioGen) -> AudioGen:
    """The tiny model with windows of 0.8 s, so that some sounds take several."""
    return AudioGen(
        tiny_model.lm, tiny_model.text_encoder, tiny_model.codec, max_seconds=0.8, extend_stride=0.4
    )


def alone(model: AudioGen, index: int) -> GeneratedAudio:
    return model.generate(**{"duration": 0.6, "seed": index} | REQUESTS[index])


def submit(engine: Engine, index: int, **options: Any) -> GenerationHandle:
    return engine.submit(**{"duration": 0.6, "seed": index} | REQUESTS[index] | options)


def guided(index: int) -> bool:
    return REQUESTS[index].get("guidance_scale") != 1.0


def wait_until(condition: Callable[[], bool]) -> None:
    done = threading.Event()
    for _ in range(int(TIMEOUT / 0.01)):
        if condition():
            return
        done.wait(0.01)
    raise AssertionError("it did not happen in time")


@pytest.mark.parametrize("stream", [False, True])
def test_everybody_gets_what_he_would_get_alone(model: AudioGen, stream: bool) -> None:
    with Engine(model, max_batch=5) as engine:
        handles = [submit(engine, index, stream=stream) for index in range(len(REQUESTS))]
        found = [handle.result(TIMEOUT) for handle in handles]
        assert engine.load.running == engine.load.waiting == engine.load.seconds == 0
    for index, sound in enumerate(found):
        expected = alone(model, index)
        assert torch.equal(sound.codes, expected.codes)
        assert sound.seeds == expected.seeds
        assert sound.prompts == expected.prompts
        if stream:
            options = {"duration": 0.6, "seed": index} | REQUESTS[index]
            expected = join_chunks(list(model.stream(options.pop("prompts"), **options)))
        assert torch.equal(sound.samples, expected.samples)
        assert handles[index].status == "done"
        done, total = handles[index].progress
        assert done == total > 0


def test_who_joins_and_leaves_on_the_way_changes_nothing(model: AudioGen) -> None:
    """Others come while the first is at certain frames, and one of them leaves again."""
    expected = alone(model, 2)
    joined: list[GenerationHandle] = []

    with Engine(model) as engine:

        def watch(done: int, total: int) -> None:
            if done in (5, 11, 30) and len(joined) < 3:
                joined.append(submit(engine, len(joined), duration=2.0))
            if done == 20 and len(joined) == 2:
                joined[0].cancel()

        assert torch.equal(submit(engine, 2, progress=watch).result(TIMEOUT).samples, expected.samples)
        assert len(joined) == 3
        with pytest.raises(GenerationCancelled):
            joined[0].result(TIMEOUT)
        late = model.generate(**{"seed": 2} | REQUESTS[2] | {"duration": 2.0})
        assert torch.equal(joined[2].result(TIMEOUT).samples, late.samples)


def test_chunks_come_while_the_sound_is_made(model: AudioGen) -> None:
    with Engine(model) as engine:
        handle = engine.submit("rain", 4.0, seed=1, stream=True)
        first = next(iter(handle))
        assert not handle.ended
        assert 0 < first.duration < 1
        chunks = list(handle)
        assert torch.equal(chunks[0].samples, first.samples)
        assert join_chunks(chunks).duration == pytest.approx(4.0)


def test_the_engine_is_used_like_the_model(model: AudioGen) -> None:
    with Engine(model) as engine:
        assert torch.equal(
            engine.generate("rain", 0.5, seed=3).samples, model.generate("rain", 0.5, seed=3).samples
        )
        chunks = engine.stream("rain", 3.0, seed=3)
        assert next(chunks).sample_rate == RATE
        chunks.close()  # leaving the stream ends the work
        wait_until(lambda: engine.load.running == 0)
        best = engine.generate(
            "rain", 0.5, seed=3, candidates=3, rerank=lambda audio, *_: torch.arange(len(audio))
        )
        assert best.scores == [2.0]
        assert engine.count_samples(0.5) == RATE // 2


def test_cancelling_gives_the_place_to_the_next(model: AudioGen) -> None:
    with Engine(model, max_batch=1, max_queue=2) as engine:
        running = engine.submit("rain", 20.0, seed=0)
        waiting = engine.submit("wind", 20.0, seed=0)
        last = submit(engine, 0)
        wait_until(lambda: running.progress[0] > 0)
        assert waiting.status == "waiting"
        waiting.cancel()  # at once: it does nothing yet
        assert waiting.ended
        assert engine.load.waiting == 1
        running.cancel()
        assert torch.equal(last.result(TIMEOUT).samples, alone(model, 0).samples)
        for handle in (running, waiting):
            with pytest.raises(GenerationCancelled, match="cancelled before the sound was complete"):
                handle.result(TIMEOUT)
            assert handle.status == "cancelled"
        running.cancel()  # a second time does nothing


def test_a_callback_may_cancel_too(model: AudioGen) -> None:
    stop = threading.Event()
    with Engine(model, max_batch=1) as engine:
        running = engine.submit("rain", 20.0, cancel=stop.is_set)
        waiting = engine.submit("rain", 20.0, cancel=stop.is_set)
        stop.set()
        for handle in (running, waiting):
            with pytest.raises(GenerationCancelled):
                handle.result(TIMEOUT)


def test_a_full_queue_says_when_to_come_again(model: AudioGen) -> None:
    with Engine(model, max_batch=1, max_queue=1, max_total_seconds=60) as engine:
        running = engine.submit("rain", 25.0)
        wait_until(lambda: running.progress[0] > 2)
        engine.submit("rain", 25.0)
        with pytest.raises(
            QueueFullError, match="queue is full: 2 sounds are being made or wait, of at most 2"
        ) as full:
            engine.submit("rain", 1.0)
        assert 1 <= full.value.retry_after <= 60
        running.cancel()


def test_the_seconds_of_all_sounds_are_bounded(model: AudioGen) -> None:
    with Engine(model, max_total_seconds=40) as engine:
        running = engine.submit("rain", 25.0)
        with pytest.raises(QueueFullError, match="25 s of sound are being made or wait, of at most 40 s"):
            engine.submit("rain", 20.0)
        assert engine.generate("rain", 0.1).duration == 0.1
        running.cancel()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"duration": 31}, "duration is 31 s; at most 30 s are made here at once"),
        ({"prompts": ["rain"] * 5}, "5 sounds are asked for at once .* at most 4 are made here"),
        ({"num_samples": 2, "candidates": 3, "rerank": len}, "6 sounds are asked for"),
        ({"guidance_scale": math.nan}, "guidance_scale is nan; allowed are 0 to 100"),
        ({"candidates": 2}, "candidates is 2, but rerank is None"),
        ({"candidates": 2, "rerank": len, "stream": True}, "candidates is 2, but stream has no whole sounds"),
        ({"top_k": 9999}, "top_k is 9999"),
        ({"loop": True}, "loop is not for an engine"),
        ({"stream": True, "chunk_seconds": 0}, "chunk_seconds is 0"),
    ],
)
def test_what_is_impossible_is_refused_at_once(
    model: AudioGen, options: dict[str, Any], message: str
) -> None:
    with Engine(model, max_batch=4, max_queue=0) as engine:
        with pytest.raises(ValueError, match=message):
            engine.submit(**{"prompts": "rain", "duration": 0.5} | options)
        assert engine.load.running == 0
        assert engine.generate(["rain"] * 4, 0.1).samples.shape[0] == 4  # it holds no place


def test_one_failure_is_one_request(model: AudioGen) -> None:
    def broken(*_: Any) -> Any:
        raise KeyError("broken")

    with Engine(model) as engine:
        good = submit(engine, 0)
        bad = [
            submit(engine, 1, progress=broken),
            submit(engine, 2, guidance_scale=broken),
            submit(engine, 3, cancel=broken),
            submit(engine, 4, rerank=broken),
        ]
        for handle in bad:
            with pytest.raises(KeyError, match="broken"):
                handle.result(TIMEOUT)
            assert handle.status == "failed"
        assert torch.equal(good.result(TIMEOUT).samples, alone(model, 0).samples)
        assert engine.load.running == 0


def test_a_step_that_fails_ends_those_that_took_part(
    model: AudioGen, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Engine(model) as engine:
        with monkeypatch.context() as patch:
            patch.setattr(SharedStep, "__call__", lambda *_: (_ for _ in ()).throw(MemoryError("no memory")))
            with pytest.raises(MemoryError, match="no memory"):
                submit(engine, 0).result(TIMEOUT)
        assert torch.equal(submit(engine, 0).result(TIMEOUT).samples, alone(model, 0).samples)


def test_memory_is_given_back(model: AudioGen, monkeypatch: pytest.MonkeyPatch) -> None:
    states = []
    real = type(model.lm).start

    def start(*args: Any, **options: Any) -> Any:
        states.append(real(*args, **options))
        return states[-1]

    monkeypatch.setattr(type(model.lm), "start", start)
    with Engine(model, max_batch=2) as engine:
        most = 0

        def count(*_: Any) -> None:
            nonlocal most
            most = max(most, sum(bool(state.cache.memory) for state in states))

        handles = [submit(engine, 0, progress=count) for _ in range(6)]
        for handle in handles:
            handle.result(TIMEOUT)
        assert len(states) == 6
        assert most == 2
        assert not any(state.cache.memory for state in states)


def test_clients_take_turns(model: AudioGen) -> None:
    order: list[str] = []

    def first_frame(name: str) -> Callable[[int, int], None]:
        return lambda *_: None if name in order else order.append(name)

    with Engine(model, max_batch=1) as engine:
        hold = engine.submit("rain", 20.0)
        wait_until(lambda: hold.progress[0] > 0)
        handles = [
            engine.submit("rain", 0.1, client=name[0], progress=first_frame(name))
            for name in ("a1", "a2", "a3", "b1", "c1", "b2")
        ]
        hold.cancel()
        for handle in handles:
            handle.result(TIMEOUT)
    assert order == ["a1", "b1", "c1", "a2", "b2", "a3"]


def test_closing_ends_everything(model: AudioGen) -> None:
    engine = Engine(model, max_batch=1)
    handles = [engine.submit("rain", 20.0), engine.submit("wind", 20.0)]
    assert engine.alive
    engine.close()
    engine.close()
    assert not engine.alive
    for handle in handles:
        with pytest.raises(EngineClosedError, match="closed before the sound was complete"):
            handle.result(TIMEOUT)
    with pytest.raises(EngineClosedError, match="make another one"):
        engine.submit("rain")


def test_waiting_has_an_end(model: AudioGen) -> None:
    with Engine(model) as engine:
        handle = engine.submit("rain", 20.0)
        with pytest.raises(TimeoutError, match=r"not complete after 0.01 s \(\d+ of 1000 frames\)"):
            handle.result(0.01)
        handle.cancel()


def test_an_event_loop_waits_for_sounds(model: AudioGen) -> None:
    async def ask(engine: Engine) -> None:
        whole, streamed, dropped = (
            submit(engine, 0),
            submit(engine, 1, stream=True),
            engine.submit("rain", 20.0),
        )
        waiting = asyncio.ensure_future(wait_for_result(dropped))
        chunks = [chunk async for chunk in stream_chunks(streamed)]
        assert len(chunks) > 1
        assert torch.equal(join_chunks(chunks).codes, alone(model, 1).codes)
        assert torch.equal((await wait_for_result(whole)).samples, alone(model, 0).samples)
        waiting.cancel()  # as when a client goes away
        with pytest.raises(asyncio.CancelledError):
            await waiting
        with pytest.raises(GenerationCancelled):
            await asyncio.to_thread(dropped.result, TIMEOUT)

    with Engine(model) as engine:
        asyncio.run(ask(engine))


def test_many_threads_at_once(model: AudioGen) -> None:
    found: dict[int, GeneratedAudio] = {}

    def ask(number: int) -> None:
        found[number] = submit(engine, number % len(REQUESTS), client=str(number)).result(TIMEOUT)

    with Engine(model, max_batch=6) as engine:
        threads = [threading.Thread(target=ask, args=(number,)) for number in range(18)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for number, sound in found.items():
        expected = alone(model, number % len(REQUESTS))
        assert torch.equal(sound.codes, expected.codes)
        if guided(number % len(REQUESTS)):
            assert torch.equal(sound.samples, expected.samples)
    assert len(found) == 18
