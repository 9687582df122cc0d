"""What `import soundloom` offers, and what it costs."""

from __future__ import annotations

import importlib
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import soundloom


@pytest.mark.parametrize("name", ["soundloom", "soundloom.codecs", "soundloom.gen"])
def test_every_name_is_there_and_listed(name: str) -> None:
    module = importlib.import_module(name)
    assert module.__all__ == sorted(set(module.__all__))
    assert set(module.__all__) <= set(dir(module))
    for exported in module.__all__:
        assert getattr(module, exported).__module__.startswith("soundloom"), exported
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = module.nothing


def test_the_parts_are_reached_from_the_top() -> None:
    code = (
        "import sys, soundloom\n"
        "assert not {'torch', 'numpy', 'diffusers', 'lightning', 'gradio'} & set(sys.modules)\n"
        "assert {'load_codec', 'AudioGen', 'codecs', 'gen'} <= set(dir(soundloom))\n"
        "assert soundloom.load_codec is soundloom.codecs.load_codec\n"
        "from soundloom import *\n"
        "assert AudioGen is soundloom.gen.AudioGen\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=300)


def test_one_version_is_named_everywhere() -> None:
    assert soundloom.__version__ == tomllib.loads(read("pyproject.toml"))["project"]["version"]
    assert f"\nversion: {soundloom.__version__}\n" in read("CITATION.cff")
    assert f"## [{soundloom.__version__}]" in read("CHANGELOG.md") or "\n## Unreleased\n" in read(
        "CHANGELOG.md"
    )


def read(name: str) -> str:
    return (Path(__file__).resolve().parents[1] / name).read_text(encoding="utf-8")
