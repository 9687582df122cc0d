"""Every error of the package is a SoundloomError, and still the built-in error that it was."""

from __future__ import annotations

import ast
import importlib
import inspect
from pathlib import Path

import pytest
import torch

import soundloom
from soundloom import ArgumentError, AudioError, AudioGen, ModelError, SoundloomError, load_codec
from soundloom.core.errors import ModelAccessError, ModelFolderError, ModelNotFoundError

ROOT = Path(__file__).resolve().parents[2]


def error_classes() -> list[tuple[str, str]]:
    """Module and name of every public class of the package that derives from an exception."""
    found = []
    files = [
        path
        for part in ("cli", "codecs", "core", "demo", "evaluation", "gen", "recipes")
        for path in (ROOT / part).rglob("*.py")
    ]
    for path in (*ROOT.glob("*.py"), *files):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                bases = [base.id for base in node.bases if isinstance(base, ast.Name)]
                if any(base.endswith(("Error", "Exception")) for base in bases):
                    module = ".".join(("soundloom", *path.relative_to(ROOT).with_suffix("").parts))
                    found.append((module, node.name))
    return found


def test_every_error_class_is_one() -> None:
    classes = [getattr(importlib.import_module(module), name) for module, name in error_classes()]
    assert {AudioError, ArgumentError, ModelError} <= set(classes)
    for kind in classes:
        assert issubclass(kind, SoundloomError), kind
        assert inspect.getdoc(kind), kind


@pytest.mark.parametrize(
    ("kind", "builtin"),
    [
        (ArgumentError, ValueError),
        (ModelError, ValueError),
        (ModelError, OSError),
        (ModelNotFoundError, FileNotFoundError),
        (ModelNotFoundError, ValueError),
        (ModelFolderError, NotADirectoryError),
        (ModelAccessError, PermissionError),
        (AudioError, ValueError),
    ],
)
def test_what_caught_them_before_still_does(kind: type[SoundloomError], builtin: type[Exception]) -> None:
    with pytest.raises(builtin, match="the message") as raised:
        raise kind("the message")
    assert str(raised.value) == "the message"


def test_what_users_get_wrong_is_one(tmp_path: Path, tiny_model: AudioGen) -> None:
    with pytest.raises(SoundloomError, match="fooley"):
        AudioGen.from_pretrained("fooley")
    with pytest.raises(SoundloomError, match="seanet"):
        load_codec("seanet-16kh")
    with pytest.raises(SoundloomError, match="holds no codec"):
        load_codec(tmp_path)
    (tmp_path / "config.json").write_text("{", encoding="utf-8")
    with pytest.raises(SoundloomError, match=r"config\.json"):
        AudioGen.from_pretrained(tmp_path)
    with pytest.raises(SoundloomError, match="duration"):
        tiny_model.generate("a dog", duration=-1)
    with pytest.raises(SoundloomError, match="temperature"):
        tiny_model.generate("a dog", temperature=float("nan"))
    (tmp_path / "a.wav").write_bytes(b"no sound")
    with pytest.raises(SoundloomError, match=r"a\.wav"):
        soundloom.read_audio(tmp_path / "a.wav")
    with pytest.raises(SoundloomError, match="samples"):
        load_codec().compress(torch.zeros(0), 16000)
