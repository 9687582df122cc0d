"""Use the demo's page as many people at once, and check that everybody gets their own sounds.

    python benchmarks/demo_users.py                                      # 50 users for 3 minutes
    python benchmarks/demo_users.py --users 8 --minutes 1 --json users.json

Starts `soundloom demo` on this machine. Every user is a page: it makes sounds one after the other, each with
a prompt and a seed of its own, listens while they are made, now and then stops or leaves, and downloads what
was made. Of each file the tags are read, which hold prompt and seed, and what was heard is compared with it
sample by sample.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import soundfile
from gradio_client.utils import apply_diff
from machine import describe_machine

from soundloom.core.sound_tags import read_tags
from soundloom.gen.origin import Record

API = "/gradio_api"
WORDS = ("dog", "rain", "clock", "siren", "wind", "engine", "bird", "door")
PATIENCE = 300.0  # seconds that a request may take


@dataclass
class Seen:
    """What happened to all users."""

    made: int = 0
    stopped: int = 0
    left: int = 0
    unfinished: int = 0
    heard: int = 0
    refused: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    memory: list[tuple[float, int]] = field(default_factory=list)


class PageShape:
    """Which function makes sounds, what it takes and gives: from the page's configuration."""

    def __init__(self, config: dict[str, Any]) -> None:
        names = {each["id"]: each["props"].get("elem_id") for each in config["components"]}
        values = {each["id"]: each["props"].get("value") for each in config["components"]}
        ids = {name: number for number, name in names.items() if name}
        self.function = next(
            each
            for each in config["dependencies"]
            if each["backend_fn"] and ids["ticket"] in each["inputs"] and ids["player-1"] in each["outputs"]
        )
        self.stop = next(
            each
            for each in config["dependencies"]
            if each["backend_fn"]
            and each["inputs"] == [ids["ticket"]]
            and [ids["stop"], "click"] in each["targets"]
        )
        self.inputs = [(names[number], values[number]) for number in self.function["inputs"]]
        self.player = ids["player-1"]
        self.player_place = self.function["outputs"].index(ids["player-1"])
        self.download_place = self.function["outputs"].index(ids["download-1"])

    def data(self, **chosen: Any) -> list[Any]:
        """Values of the controls, by their names on the page where they are not what it shows at first."""
        return [chosen.get((name or "").replace("-", "_"), value) for name, value in self.inputs]


class User:
    """Somebody with the page open."""

    def __init__(
        self, number: int, http: httpx.AsyncClient, shape: PageShape, seen: Seen, seconds: float
    ) -> None:
        self.number, self.http, self.shape, self.seen, self.seconds = number, http, shape, seen, seconds
        self.random = random.Random(number)

    async def use(self, minutes: float) -> None:
        """Make sounds until it is time to go; then the page is closed, whatever it waits for."""
        count = 0
        try:
            async with asyncio.timeout(60 * minutes):
                await asyncio.sleep(self.random.uniform(0, 5))
                while True:
                    count += 1
                    await self._make(1000 * self.number + count)
                    await asyncio.sleep(self.random.uniform(0.5, 3))
        except TimeoutError:
            self.seen.unfinished += 1

    async def _make(self, seed: int) -> None:
        prompt = f"{self.random.choice(WORDS)} of user {self.number}"
        session, key = f"user{self.number}x{seed}", f"{self.number}-{seed}-{self.random.random()}"
        begun = time.monotonic()
        body = {
            "data": self.shape.data(ticket=key, prompt=prompt, seed=seed, duration=self.seconds),
            "fn_index": self.shape.function["id"],
            "session_hash": session,
        }
        answer = await self.http.post(f"{API}/queue/join", json=body)
        if answer.status_code != 200:
            self.seen.refused.append(f"{answer.status_code}: {answer.text[:100]}")
            return
        fate = self.random.choices(("wait", "stop", "leave"), (8, 1, 1))[0]
        patience = self.random.uniform(1, 20)
        listening: asyncio.Task[bytes] | None = None
        state: dict[int, Any] = {}
        complete = False
        try:
            async with asyncio.timeout(patience if fate == "leave" else None):
                async with self.http.stream(
                    "GET", f"{API}/queue/data", params={"session_hash": session}
                ) as events:
                    stopped = fate != "stop"
                    async for line in events.aiter_lines():
                        if not stopped and time.monotonic() - begun > patience:
                            stopped = True
                            await self._call_off(session, key)
                        if not line.startswith("data:"):
                            continue
                        message = json.loads(line[5:])
                        if message["msg"] == "process_generating":
                            self._take_over(state, message["output"]["data"])
                            if listening is None and (name := self._player(state)):
                                listening = asyncio.create_task(self._listen(session, name))
                        if message["msg"] == "process_completed":
                            complete = True
                            break
        except TimeoutError:
            self.seen.left += 1
            return
        finally:
            if listening and not complete:
                listening.cancel()
        self.seen.waits.append(time.monotonic() - begun)
        await self._check(state, prompt, seed, await listening if listening else b"")

    def _take_over(self, state: dict[int, Any], data: list[Any]) -> None:
        """What the page shows after an answer: the first is whole, the others say what changed."""
        for place, value in enumerate(data):
            state[place] = apply_diff(state[place], value) if place in state else value

    def _player(self, state: dict[int, Any]) -> str | None:
        update = state.get(self.shape.player_place)
        value = update.get("value") if isinstance(update, dict) else update
        return str(value[0]) if value else None

    async def _call_off(self, session: str, key: str) -> None:
        body = {"data": [key], "fn_index": self.shape.stop["id"], "session_hash": session}
        await self.http.post(f"{API}/run/predict", json=body)
        self.seen.stopped += 1

    async def _listen(self, session: str, name: str) -> bytes:
        """Samples of a sound as the page's player gets them."""
        heard = b""
        while True:
            body = {
                "data": [name, len(heard) // 2],
                "fn_name": "listen",
                "component_id": self.shape.player,
                "session_hash": session,
            }
            answer = (await self.http.post(f"{API}/component_server", json=body)).json()
            heard += base64.b64decode(answer["samples"])
            if answer["done"]:
                return heard
            if not answer["samples"]:
                await asyncio.sleep(0.15)

    async def _check(self, state: dict[int, Any], prompt: str, seed: int, heard: bytes) -> None:
        update = state.get(self.shape.download_place)
        value = update.get("value", update) if isinstance(update, dict) else update
        if not isinstance(value, dict) or not value.get("path"):
            return  # stopped before there was any sound
        answer = await self.http.get(f"{API}/file={value['path']}")
        with tempfile.NamedTemporaryFile(suffix=".wav") as file:
            Path(file.name).write_bytes(answer.content)
            origin = Record.read(read_tags(file.name), prompt)
            samples = soundfile.read(file.name, dtype="int16")[0]
        told = (origin.prompt, origin.seed) if origin else None
        if told != (prompt, seed):
            self.seen.wrong.append(f"asked for {(prompt, seed)}, got {told}")
        if heard:
            self.seen.heard += 1
            if not np.array_equal(np.frombuffer(heard, "<i2"), samples):
                self.seen.wrong.append(f"{prompt}: what was heard is not the file")
        self.seen.made += 1


def resident(process: int) -> int:
    """MB of memory that a process has (Linux)."""
    for line in Path(f"/proc/{process}/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) // 1024
    return 0


async def use_demo(address: str, process: int, users: int, minutes: float, seconds: float) -> Seen:
    """Let users use the demo at an address."""
    seen = Seen()
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=address, timeout=PATIENCE, limits=limits) as http:
        shape = PageShape((await http.get("/config")).json())
        began = time.monotonic()
        everybody = [User(number, http, shape, seen, seconds).use(minutes) for number in range(1, users + 1)]
        work = asyncio.gather(*everybody)
        while not work.done():
            seen.memory.append((round(time.monotonic() - began, 1), resident(process)))
            await asyncio.wait([work], timeout=5)
        await work
    return seen


def summary(seen: Seen) -> dict[str, Any]:
    """Figures of a run."""
    waits, memory = sorted(seen.waits) or [0.0], [size for _, size in seen.memory] or [0]
    return {
        "sounds": seen.made,
        "compared_with_what_was_heard": seen.heard,
        "stopped": seen.stopped,
        "left": seen.left,
        "unfinished": seen.unfinished,
        "refused": len(seen.refused),
        "wrong": seen.wrong,
        "wait_median": round(statistics.median(waits), 1),
        "wait_longest": round(waits[-1], 1),
        "memory_mb": {
            "first": memory[0],
            "half": memory[len(memory) // 2],
            "last": memory[-1],
            "most": max(memory),
        },
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Start the demo, let users use it, print what happened."""
    parser = argparse.ArgumentParser(description="Many users of the demo's page at once.")
    parser.add_argument("--users", type=int, default=50, help="default 50")
    parser.add_argument("--minutes", type=float, default=3.0, help="default 3")
    parser.add_argument("--seconds", type=float, default=1.0, help="of each sound (default 1)")
    parser.add_argument("--port", type=int, default=7899, help="default 7899")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures to this file")
    options = parser.parse_args(arguments)
    program = "from soundloom.cli import main; raise SystemExit(main())"
    command = [sys.executable, "-c", program, "demo", "--no-browser", "--port", str(options.port)]
    demo = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ)
    try:
        assert demo.stdout is not None
        for line in demo.stdout:
            if "listening on" in line:
                break
        address = f"http://127.0.0.1:{options.port}"
        seen = asyncio.run(use_demo(address, demo.pid, options.users, options.minutes, options.seconds))
    finally:
        demo.terminate()
        demo.wait()
    found = {
        "machine": describe_machine("cpu"),
        "users": options.users,
        "minutes": options.minutes,
        "seconds": options.seconds,
    } | summary(seen)
    print(json.dumps(found, indent=2))
    if options.json is not None:
        options.json.write_text(
            json.dumps(found | {"memory": seen.memory}, indent=2) + "\n", encoding="utf-8"
        )
    if seen.wrong:
        sys.exit(1)


if __name__ == "__main__":
    main()
