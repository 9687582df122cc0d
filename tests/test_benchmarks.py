"""The scripts in benchmarks/ find what they import; they are run from there, not from the package."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"


@pytest.mark.parametrize("script", sorted(file.name for file in BENCHMARKS.glob("*.py")))
def test_a_benchmark_imports_what_there_is(script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    before = set(sys.modules)
    found = runpy.run_path(str(BENCHMARKS / script))
    assert "main" in found or script in ("foley_searches.py", "machine.py")
    for name in {"foley_searches", "machine"} & (set(sys.modules) - before):
        del sys.modules[name]
