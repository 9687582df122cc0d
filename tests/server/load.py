"""Many clients at once: each checks that it got its own sound, to the bit."""

from __future__ import annotations

import io
import random
import threading
import time
from dataclasses import dataclass, field
from typing import Any

import httpx
import soundfile

from soundloom.core.audio_blocks import to_pcm
from soundloom.gen.generated_audio import join_chunks
from soundloom.gen.pipeline import AudioGen
from tests.server.running_server import GENERATIONS, RunningServer

PROMPTS = ("a dog barks", "rain", "", "an owl hoots, then thunder", "three knocks on a door")


@dataclass
class Tally:
    """What happened: counts by kind, and sounds that were another's."""

    counts: dict[str, int] = field(default_factory=dict)
    wrong: list[dict[str, Any]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, kind: str) -> None:
        with self.lock:
            self.counts[kind] = self.counts.get(kind, 0) + 1


class Expected:
    """The sounds that Python makes alone, as 16 bit; made once, before the load."""

    def __init__(self, model: AudioGen, number: int, longest: float) -> None:
        chance = random.Random(0)
        self.requests: list[dict[str, Any]] = []
        self.sounds: list[bytes] = []
        for index in range(number):
            settings: dict[str, Any] = {"duration": round(chance.uniform(0.2, longest), 1), "seed": index}
            prompt, stream = PROMPTS[index % len(PROMPTS)], index % 2 == 1
            chunks = model.stream(prompt, **settings) if stream else [model.generate(prompt, **settings)]
            self.sounds.append(to_pcm(join_chunks(list(chunks)).samples[0]))
            self.requests.append({"prompt": prompt, "stream": stream, **settings})


def client(server: RunningServer, expected: Expected, seconds: float, number: int, tally: Tally) -> None:
    """One client: asks, checks, goes away in the middle now and then, comes again when the queue is full."""
    chance, until = random.Random(number), time.monotonic() + seconds
    with server.client() as http:
        while time.monotonic() < until:
            index = chance.randrange(len(expected.requests))
            request = expected.requests[index]
            if chance.random() < 0.15:
                _leave(http, request, chance.uniform(0.0, 0.3))
                tally.add("left")
                continue
            answer = http.post(GENERATIONS, json=request)
            if answer.status_code == 429:
                assert int(answer.headers["retry-after"]) >= 1
                tally.add("full")
                time.sleep(chance.uniform(0.05, 0.3))
                continue
            assert answer.status_code == 200, answer.text
            samples, _ = soundfile.read(io.BytesIO(answer.content), dtype="int16")
            tally.add("sounds")
            if samples.tobytes() != expected.sounds[index]:
                tally.wrong.append(request)


def _leave(http: httpx.Client, request: dict[str, Any], patience: float) -> None:
    """Ask for a long sound, and go away before it is there."""
    try:
        with http.stream("POST", GENERATIONS, json=request | {"duration": 20.0}, timeout=patience) as answer:
            next(answer.iter_raw(), b"")
    except (httpx.TimeoutException, httpx.RemoteProtocolError):
        pass


def run_load(server: RunningServer, expected: Expected, *, clients: int, seconds: float) -> Tally:
    """Let so many clients ask for so many seconds; what one of them raises is raised."""
    tally, errors = Tally(), []

    def guarded(number: int) -> None:
        try:
            client(server, expected, seconds, number, tally)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return tally
