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
PARTS = ("cli", "codecs", "core", "demo", "evaluation", "gen", "recipes", "server")
LEFT_OUT = (
    ".*",
    "runs",
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
    wanted = set(ROOT.glob("*.py")) - {ROOT / "setup.py"}  # which installs the rest
    for part in PARTS:
        wanted |= {
            path
            for path in (ROOT / part).rglob("*")
            if path.suffix in (".py", ".yaml", ".csv", ".json", ".js")
        }
        wanted |= {path for path in (ROOT / part / "models").rglob("*") if path.is_file()}
    names = (path.relative_to(ROOT).as_posix() for path in wanted if "__pycache__" not in path.parts)
    return {f"soundloom/{name}" for name in names} | {"soundloom/py.typed"}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what is installed."""
    folder = tmp_path_factory.mktemp("source") / "clone"
    shutil.copytree(ROOT, folder, ignore=left_out)
    return folder


def left_out(folder: str, names: list[str]) -> set[str]:
    """What of a folder is not copied; `data` is left out in the root only, where it holds sounds."""
    found = set(shutil.ignore_patterns(*LEFT_OUT)(folder, names))
    return found | {"data"} if Path(folder) == ROOT else found


@pytest.fixture(scope="module")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [
        sys.executable,
        "-m",
        "build",
        "--wheel",
        "--no-isolation",
        "--outdir",
        folder,
        source,
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


def test_type_checkers_find_the_editable_install(source: Path, tmp_path: Path) -> None:
    """mypy --strict on a user's program, in an environment that has only `pip install -e`."""
    user = tmp_path / "user"
    python = user / ("Scripts" if os.name == "nt" else "bin") / "python"
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "MYPYPATH")}

    def run(*words: str | Path) -> str:
        result = subprocess.run(
            [str(word) for word in words], cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
        return result.stdout.strip()

    run(sys.executable, "-m", "venv", "--without-pip", user)
    # setuptools builds here; the new environment has nothing but what this puts there
    pip = (sys.executable, "-m", "pip", "--python", python, "install", "-q", "--no-index", "--no-deps")
    packages = run(sys.executable, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))")
    site = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"))
    (site / "shared.pth").write_text(packages + "\n", encoding="utf-8")  # setuptools, to build with
    run(*pip, "--no-build-isolation", "-e", source)
    (site / "shared.pth").unlink()
    found = run(python, "-c", "import soundloom; print(soundloom.__file__)")
    assert Path(found).resolve() == (source / "__init__.py").resolve()
    assert "load_codec" in run(python, "-c", "import soundloom; print(dir(soundloom))")

    script = shutil.copy(ROOT / "tests" / "user_script.py", tmp_path / "script.py")
    mypy = (sys.executable, "-m", "mypy", "--strict", "--python-executable", python, "--cache-dir", tmp_path)
    run(*mypy, script)
    wrong = tmp_path / "wrong.py"
    wrong.write_text(
        "import soundloom\n\nsoundloom.load_codec(name=3)\nsoundloom.nothing\n", encoding="utf-8"
    )
    result = subprocess.run(
        [str(word) for word in (*mypy, wrong)], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert result.returncode == 1, "mypy saw no types"
    assert 'wrong.py:3: error: Argument "name"' in result.stdout
