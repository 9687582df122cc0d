"""The wheel: it builds without network and holds everything that the source tree has to offer."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import entry_points
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PARTS = ("cli", "codecs", "demo", "gen", "recipes")
LEFT_OUT = (
    ".*",
    "runs",
    "data",
    "outputs",
    "build",
    "dist",
    "*.egg-info",
    "__pycache__",
    "tests",
    "benchmarks",
)


def offered() -> set[str]:
    """Names that the wheel must hold: modules, recipes, tables, bundled models."""
    wanted = set(ROOT.glob("*.py"))
    for part in PARTS:
        wanted |= {
            path for path in (ROOT / part).rglob("*") if path.suffix in (".py", ".yaml", ".csv", ".json")
        }
        wanted |= {path for path in (ROOT / part / "models").rglob("*") if path.is_file()}
    names = (path.relative_to(ROOT).as_posix() for path in wanted if "__pycache__" not in path.parts)
    return {f"soundloom/{name}" for name in names} | {"soundloom/py.typed"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    shutil.copytree(ROOT, folder / "source", ignore=shutil.ignore_patterns(*LEFT_OUT))
    command = [
        sys.executable,
        "-m",
        "build",
        "--wheel",
        "--no-isolation",
        "--outdir",
        folder,
        folder / "source",
    ]
    result = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("installed")
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "-q",
        "--no-index",
        "--no-deps",
        "--target",
        target,
        wheel,
    ]
    subprocess.run([str(word) for word in command], check=True, capture_output=True)
    return target


def test_the_wheel_holds_every_module_recipe_and_model(wheel: Path) -> None:
    inside = {name for name in zipfile.ZipFile(wheel).namelist() if not name.endswith("/")}
    assert offered() - inside == set()
    surplus = {name for name in inside - offered() if ".dist-info/" not in name}
    assert surplus == set()
    assert any(name.endswith("licenses/LICENSE") for name in inside)


def test_the_installed_wheel_works_from_an_empty_folder(installed: Path, tmp_path: Path) -> None:
    code = (
        "import soundloom, soundloom.cli, soundloom.gen.pipeline, soundloom.recipes.foley as foley, pathlib\n"
        "print(soundloom.__file__)\n"
        "assert len(foley.CLASSES) >= 24\n"
        "assert list(pathlib.Path(soundloom.__file__).parent.glob('recipes/*.yaml'))\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    assert Path(result.stdout.strip()) == installed / "soundloom" / "__init__.py"


def test_every_folder_with_code_is_a_listed_package() -> None:
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    found = {"soundloom"}
    for part in PARTS:
        folders = {path.parent for path in (ROOT / part).rglob("*.py")}
        found |= {"soundloom." + ".".join(folder.relative_to(ROOT).parts) for folder in folders}
    assert sorted(found) == sorted(listed)
    for name in listed:
        assert (ROOT / Path(*name.split(".")[1:]) / "__init__.py").is_file(), f"{name} has no __init__.py"


def test_both_commands_are_installed() -> None:
    ours = {
        entry.name: entry.value
        for entry in entry_points(group="console_scripts")
        if "soundloom" in entry.value
    }
    assert ours == {"soundloom": "soundloom.cli:main", "lightning": "soundloom.cli:lightning"}
