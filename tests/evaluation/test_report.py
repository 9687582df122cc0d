"""Reports on disk."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from soundloom.evaluation.report import markdown_table, write_report


def test_reports_are_whole_json_without_nan(tmp_path: Path) -> None:
    target = tmp_path / "report.json"
    write_report(target, {"a": math.nan, "b": [1.5, math.inf], "c": {"d": "é"}})
    assert json.loads(target.read_text()) == {"a": None, "b": [1.5, None], "c": {"d": "é"}}
    assert [file.name for file in tmp_path.iterdir()] == ["report.json"]
    with pytest.raises(TypeError):
        write_report(target, {"a": object()})
    assert "é" in target.read_text()
    assert markdown_table(["a", "b"], [["x", "10"]]).splitlines()[0] == "| a   |   b |"
