"""How many processes share the tests: see tests/conftest.py."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any

import pytest

from tests.conftest import MOST_WORKERS, ROOT, pytest_xdist_auto_num_workers

DEFAULT = "not slow and not network and not gpu"
TESTS = str(ROOT / "tests")
FILE = str(ROOT / "tests" / "test_processes.py")


@pytest.mark.parametrize(
    ("words", "expression", "capture", "cores", "expected"),
    [
        ([TESTS], DEFAULT, "fd", 2, 2),
        ([f"{TESTS}/gen", FILE], DEFAULT, "fd", 4, 4),
        ([TESTS], DEFAULT, "fd", 64, MOST_WORKERS),
        ([TESTS], DEFAULT, "fd", 1, 0),
        ([FILE], DEFAULT, "fd", 2, 0),
        ([f"{FILE}::test_x", FILE], DEFAULT, "fd", 2, 0),
        ([TESTS], DEFAULT, "no", 2, 0),
        ([TESTS], "slow", "fd", 2, 0),
    ],
)
def test_whole_folders_are_shared_among_the_cores(
    words: list[str],
    expression: str,
    capture: str,
    cores: int,
    expected: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(cores)), raising=False)
    config: Any = SimpleNamespace(args=words, option=SimpleNamespace(markexpr=expression, capture=capture))
    assert pytest_xdist_auto_num_workers(config) == expected
