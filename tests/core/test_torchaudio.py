"""A torchaudio that cannot be loaded must break neither `encodec` nor transformers; one that can is used."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

BROKEN = "raise OSError('Could not load this library: _torchaudio.abi3.so')\n"
ABSENT = "raise ModuleNotFoundError(\"No module named 'torchaudio'\", name='torchaudio')\n"
WORKING = "def load(path):\n    return 'real', path\n"

WITHOUT = """
from soundloom.core._torchaudio import import_encodec
package = import_encodec()
assert import_encodec() is package
assert not [name for name in sys.modules if name.split('.')[0] == 'torchaudio'], sys.modules
assert not hasattr(package.utils.torchaudio, '__wrapped__')
try:
    package.utils.torchaudio.load('x')
except ImportError as error:
    print(error)
"""

# What a program has that imported transformers before soundloom, and with it the wrong answer.
TRANSFORMERS = """
from transformers.utils import is_torchaudio_available
assert is_torchaudio_available()
from soundloom.core._torchaudio import shield_transformers
shield_transformers()
assert not is_torchaudio_available()
from transformers import BertModel, MusicgenForCausalLM, T5EncoderModel
assert 'torchaudio' not in sys.modules
try:
    import torchaudio  # to others it is as broken as it was
except OSError as error:
    print(error)
"""

# An environment as README makes it without a GPU: torchaudio is not there, and `encodec` is.
REMOVED = """
sys.modules['torchaudio'] = None
from transformers import ClapModel, EncodecModel, MusicgenForCausalLM, T5EncoderModel
import soundloom
print(type(soundloom.load_codec('encodec-24khz', random_weights=True)).__name__)
"""

WITH = """
from soundloom.core._torchaudio import import_encodec, shield_transformers
package = import_encodec()
print(package.utils.torchaudio.load('x'), package.utils.torchaudio is sys.modules['torchaudio'])
shield_transformers()
from transformers.utils import is_torchaudio_available
print(is_torchaudio_available())
"""


def run(folder: Path, init: str, code: str) -> str:
    """Run code in a new Python that finds this torchaudio before any other; return what it prints."""
    package = folder / "torchaudio"
    package.mkdir()
    (package / "__init__.py").write_text("import torchaudio.part\n" + init)
    (package / "part.py").write_text("")
    code = f"import sys\nsys.path.insert(0, {str(folder)!r})\n{code}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.mark.parametrize("init", [BROKEN, ABSENT], ids=["broken", "absent"])
def test_encodec_without_torchaudio(init: str, tmp_path: Path) -> None:
    printed = run(tmp_path, init, WITHOUT)
    assert "torchaudio.load is not available: torchaudio cannot be loaded" in printed


def test_transformers_with_a_broken_torchaudio(tmp_path: Path) -> None:
    assert "Could not load this library" in run(tmp_path, BROKEN, TRANSFORMERS)


def test_without_torchaudio_transformers_has_its_audio_models(tmp_path: Path) -> None:
    assert run(tmp_path, BROKEN, REMOVED).split() == ["EnCodec"]


def test_readme_says_how_to_get_there() -> None:
    text = (Path(__file__).resolve().parents[2] / "README.md").read_text(encoding="utf-8")
    assert "<!-- install-cpu -->\n```sh\npip uninstall -y torchaudio\n```" in text


def test_a_torchaudio_that_loads_is_used(tmp_path: Path) -> None:
    assert run(tmp_path, WORKING, WITH) == "('real', 'x') True\nTrue\n"
