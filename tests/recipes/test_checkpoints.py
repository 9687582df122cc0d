"""A run has its folder for itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from soundloom.recipes.checkpoints import check_folder_is_free


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A folder as a run leaves it."""
    for name in ("checkpoints/last.ckpt", "checkpoints/step=2.ckpt", "model/config.json"):
        path = tmp_path / "run" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}")
    return tmp_path / "run"


def check(root: Path, ckpt_path: str | Path | None = None, model: Path | None = None) -> None:
    check_folder_is_free(root, [root / "checkpoints"], model or root / "model", ckpt_path)


def test_a_free_folder_and_the_run_s_own_checkpoints_are_let_through(run: Path, tmp_path: Path) -> None:
    free = tmp_path / "free"
    check(free)
    check(free, "last")  # there is none: Lightning says so, and nothing is lost
    check(free, run / "checkpoints" / "last.ckpt")
    check(run, "last")
    check(run, run / "checkpoints" / "step=2.ckpt")


def test_what_would_replace_another_run_is_refused(run: Path, tmp_path: Path) -> None:
    (tmp_path / "run-2").mkdir()
    with pytest.raises(FileExistsError, match=r"2 checkpoints in .* a model in .*run-3; or move"):
        check(run)
    foreign = tmp_path / "other.ckpt"
    foreign.write_text("")
    with pytest.raises(FileExistsError, match="earlier run"):
        check(run, foreign)
    for path in (run / "checkpoints").iterdir():
        path.unlink()
    with pytest.raises(FileExistsError, match=r"earlier run \(a model in"):
        check(run, "last")  # none is left, so it would begin anew over the model


def test_a_model_elsewhere_is_not_replaced_either(run: Path, tmp_path: Path) -> None:
    with pytest.raises(FileExistsError, match=r"--model.export_to .*free-2/model") as refused:
        check(tmp_path / "free", model=run / "model")
    assert "checkpoints" not in str(refused.value).partition("To go on")[0]
