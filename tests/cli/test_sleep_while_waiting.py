"""Commands let waiting threads sleep, unless the user has decided or torch is there already."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from soundloom.cli.sleep_while_waiting import sleep_while_waiting

NAMES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME", "KMP_LIBRARY")


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.setenv(name, "")  # so that it is taken back at the end
        monkeypatch.delenv(name)
    monkeypatch.delitem(sys.modules, "torch")


def test_waiting_threads_sleep() -> None:
    sleep_while_waiting()
    assert os.environ["OMP_WAIT_POLICY"] == "PASSIVE"


@pytest.mark.parametrize("name", NAMES)
def test_what_the_user_has_set_stays(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "1")
    sleep_while_waiting()
    assert {key: os.environ[key] for key in NAMES if key in os.environ} == {name: "1"}


def test_too_late_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", sys)
    sleep_while_waiting()
    assert "OMP_WAIT_POLICY" not in os.environ


@pytest.mark.parametrize(
    "begin",
    [
        "from soundloom.cli import main; main(['info', 'nothing'])",
        "from soundloom.cli import lightning; lightning(['fit', '--help'])",
        "import runpy; sys.argv[1:] = ['--help']; runpy.run_module('soundloom.app', run_name='__main__')",
    ],
    ids=["soundloom", "lightning", "app"],
)
def test_it_is_said_before_torch_is_imported(begin: str) -> None:
    """An import hook sees what the environment says when torch is looked for; nothing is imported then."""
    program = f"""
import os, sys
class Spy:
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            print("policy", os.environ.get("OMP_WAIT_POLICY"))
            sys.stdout.flush()
            os._exit(0)
sys.meta_path.insert(0, Spy())
try:
    {begin}
except SystemExit:
    pass
print("no torch, policy", os.environ.get("OMP_WAIT_POLICY"))
"""
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert "policy PASSIVE" in found.stdout, found.stdout + found.stderr


def test_the_library_changes_no_environment() -> None:
    program = (
        "import os\nimport soundloom.gen, soundloom.core.threads\nassert 'OMP_WAIT_POLICY' not in os.environ"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
