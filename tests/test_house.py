"""The house stays in order: short files and lists of parameters, names that tell files apart, no cycles."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("core", "codecs", "gen", "recipes", "evaluation", "demo", "server", "cli")
MOST_LINES = 400
MOST_PARAMETERS = 12
SHARED_NAMES = {"model", "module", "convert", "streaming"}  # each codec's folder has them


@pytest.fixture(scope="module")
def files() -> dict[str, Path]:
    """The product's files by the name that they are imported under."""
    paths = [*ROOT.glob("*.py"), *(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))]
    found = {}
    for path in paths:
        parts = ["soundloom", *path.relative_to(ROOT).with_suffix("").parts]
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@pytest.fixture(scope="module")
def trees(files: dict[str, Path]) -> dict[str, ast.Module]:
    return {name: ast.parse(path.read_bytes()) for name, path in files.items()}


def test_no_file_is_long(files: dict[str, Path]) -> None:
    lines = {name: len(path.read_text(encoding="utf-8").splitlines()) for name, path in files.items()}
    assert {name: count for name, count in lines.items() if count > MOST_LINES} == {}


def test_no_public_callable_takes_many_parameters(trees: dict[str, ast.Module]) -> None:
    many = {
        f"{module}:{node.lineno} {node.name}": count
        for module, tree in trees.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.name == "__init__" or not node.name.startswith("_"))
        and (count := number_of_parameters(node)) > MOST_PARAMETERS
    }
    assert many == {}


def number_of_parameters(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    found = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
    return len([one for one in found if one.arg not in ("self", "cls")])


def test_a_file_is_known_by_its_name(files: dict[str, Path]) -> None:
    by_name = defaultdict(list)
    for path in files.values():
        if path.stem != "__init__" and path.stem not in SHARED_NAMES:
            by_name[path.stem].append(path.relative_to(ROOT).as_posix())
    assert {name: paths for name, paths in by_name.items() if len(paths) > 1} == {}


def test_imports_have_no_cycles(files: dict[str, Path], trees: dict[str, ast.Module]) -> None:
    imports = {name: set(imported(name, files, tree)) for name, tree in trees.items()}
    assert "soundloom.gen.pipeline" in imports["soundloom.gen"], "those for the type checker count"
    assert "soundloom.core.files" in imports["soundloom.cli.draw"], "those in functions count"
    TopologicalSorter(imports).prepare()  # a CycleError names the cycle


def imported(name: str, files: dict[str, Path], tree: ast.Module) -> Iterator[str]:
    """The product's modules that a module imports, wherever in it."""
    package = name if files[name].stem == "__init__" else name.rpartition(".")[0]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in files)
        elif isinstance(node, ast.ImportFrom):
            base = package.rsplit(".", node.level - 1)[0] if node.level else ""
            base = ".".join(part for part in (base, node.module) if part)
            for alias in node.names:
                full = f"{base}.{alias.name}"
                if full in files:
                    yield full
                elif base in files:
                    yield base
