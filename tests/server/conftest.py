"""One server of the tiny model for all tests that leave it as it was."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from soundloom.gen.engine.engine import Engine
from soundloom.gen.pipeline import AudioGen
from tests.server.running_server import RunningServer, running


@pytest.fixture(scope="module")
def server(tiny_model: AudioGen) -> Iterator[RunningServer]:
    with Engine(tiny_model, max_batch=4, max_queue=4, max_seconds=30) as engine, running(engine) as found:
        yield found
