"""What holds for every test: no network, few threads, the tiny AudioGen of the fixtures."""

from __future__ import annotations

import os

# One of several processes that share the tests uses one thread; so do the processes that it starts.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when torch is imported
os.environ["HF_HUB_OFFLINE"] = "1"  # read when huggingface_hub is imported
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import ipaddress
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import torch

from soundloom.gen.pipeline import AudioGen

ROOT = Path(__file__).resolve().parents[1]
TINY = ROOT / "tests" / "fixtures" / "audiogen_tiny"

torch.set_num_threads(min(torch.get_num_threads(), 2))

# A busy machine is no defect, and a run that fails should fail again.
hypothesis.settings.register_profile("soundloom", deadline=None, derandomize=True)
hypothesis.settings.load_profile("soundloom")


MOST_WORKERS = 8  # each takes one to two gigabytes


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Processes of a run that does not say `-n`: one a core; 0, that is just this one, for a few tests.

    Starting them takes longer than the tests of a file, and what is printed (`-s`) does not come out of them.
    Tests outside of the default run measure memory and start processes of their own.
    """
    files = all(Path(word.split("::")[0]).is_file() for word in config.args)
    if files or config.option.capture == "no" or not config.option.markexpr.startswith("not slow"):
        return 0
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, MOST_WORKERS) if cores > 1 else 0


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuse names of tests that hold an address: processes that share tests must call them the same."""
    moving = [item.nodeid for item in items if " at 0x" in item.nodeid]
    if moving:
        raise pytest.UsageError(f"{moving[0]} is called differently in every process; give it `ids=`")


class NetworkBlocked(OSError):
    """A test tried to leave this machine."""


def check_loopback(address: Any) -> None:
    """Raise NetworkBlocked unless a socket address is on this machine."""
    if not isinstance(address, tuple):  # a Unix socket
        return
    host = address[0]
    try:
        local = host in ("localhost", "") or ipaddress.ip_address(host).is_loopback
    except ValueError:
        local = False
    if not local:
        raise NetworkBlocked(f"a test tried to connect to {address}: mark it `network` if it must")


@pytest.fixture(autouse=True)
def no_network(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let sockets connect to this machine only, except in tests that are marked `network`."""
    if request.node.get_closest_marker("network"):
        return
    for name in ("connect", "connect_ex"):
        real = getattr(socket.socket, name)

        def guarded(self: socket.socket, address: Any, _real: Any = real) -> Any:
            check_loopback(address)
            return _real(self, address)

        monkeypatch.setattr(socket.socket, name, guarded)


@pytest.fixture(scope="session", autouse=True)
def cache_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Keep what is converted once out of the user's cache."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOUNDLOOM_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="session")
def tiny_model() -> Iterator[AudioGen]:
    """An AudioGen of random weights that generates in no time."""
    yield AudioGen.from_pretrained(TINY, text_encoder=TINY / "t5")
