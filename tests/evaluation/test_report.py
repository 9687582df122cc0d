"""Reports on disk."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from soundloom.evaluation.report import check_report, markdown_table, write_report


def test_reports_are_whole_json_without_nan(tmp_path: Path) -> None:
    target = tmp_path / "report.json"
    write_report(target, {"a": math.nan, "b": [1.5, math.inf], "c": {"d": "é"}})
    assert json.loads(target.read_text()) == {"a": None, "b": [1.5, None], "c": {"d": "é"}}
    assert [file.name for file in tmp_path.iterdir()] == ["report.json"]
    with pytest.raises(TypeError):
        write_report(target, {"a": object()})
    assert "é" in target.read_text()
    with pytest.raises(FileExistsError, match="--force"):
        check_report(target)
    assert check_report(target, force=True) == target
    with pytest.raises(FileNotFoundError, match="mkdir"):
        check_report(tmp_path / "no" / "x.json")
    with pytest.raises(IsADirectoryError, match=r"report\.json"):
        check_report(tmp_path)
    assert markdown_table(["a", "b"], [["x", "10"]]).splitlines()[0] == "| a   |   b |"
