"""Nobody gets another's sound, places come back, memory stays: many clients, some of whom go away."""

from __future__ import annotations

import gc
import threading
from pathlib import Path

import pytest

from soundloom.gen.engine.engine import Engine
from soundloom.gen.pipeline import AudioGen
from tests.server.load import Expected, Tally, run_load
from tests.server.running_server import RunningServer, running


def check(server: RunningServer, tally: Tally) -> None:
    """Everybody got his own sound, and everything is free again."""
    assert tally.wrong == []
    assert tally.counts["sounds"] > 0
    assert tally.counts["left"] > 0
    server.wait_until_idle()
    load = server.engine.load
    assert (load.running, load.waiting, load.seconds) == (0, 0, 0.0)


def test_a_dozen_clients(tiny_model: AudioGen) -> None:
    expected = Expected(tiny_model, 10, longest=0.8)
    with Engine(tiny_model, max_batch=4, max_queue=4) as engine, running(engine) as server:
        tally = run_load(server, expected, clients=12, seconds=3.0)
        check(server, tally)
        assert tally.counts["full"] > 0


def resident() -> int:
    """MiB of memory of this process."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) // 1024 for line in lines if line.startswith("VmRSS"))


@pytest.mark.slow
def test_fifty_clients_for_three_minutes() -> None:
    """With the model that ships; memory after the first quarter is that of the end."""
    model = AudioGen.from_pretrained()
    expected = Expected(model, 24, longest=2.0)
    with Engine(model, max_batch=8, max_queue=32) as engine, running(engine) as server:
        warm = run_load(server, expected, clients=50, seconds=45.0)
        check(server, warm)
        gc.collect()
        before, threads = resident(), threading.active_count()
        tally = run_load(server, expected, clients=50, seconds=135.0)
        check(server, tally)
        gc.collect()
        assert resident() < before + 64
        assert threading.active_count() <= threads + 2
        print(f"warm {warm.counts}, then {tally.counts}; {before} MiB, then {resident()} MiB")
