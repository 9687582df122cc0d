"""The Space and the image: what the hub and Docker read of them, and that the demo starts from them."""

from __future__ import annotations

import importlib.util
import io
import json
import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
import urllib.request
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile
import yaml
from packaging.requirements import Requirement
from starlette.testclient import TestClient

from soundloom.cli.entry import build_parser

ROOT = Path(__file__).resolve().parents[1]
SPACE, DOCKERFILE = ROOT / "deploy" / "space", ROOT / "deploy" / "Dockerfile"
COLORS = {"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def front_matter() -> dict[str, Any]:
    found = re.match(r"---\n(.*?)\n---\n", (SPACE / "README.md").read_text(), re.DOTALL)
    assert found
    return yaml.safe_load(found[1])


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions: name and arguments, lines that go on joined."""
    lines = [line for line in DOCKERFILE.read_text().splitlines() if not line.startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ").splitlines()
    return [(name, rest.strip()) for name, _, rest in (line.partition(" ") for line in joined) if name]


def test_the_hub_can_read_the_space() -> None:
    data = front_matter()
    assert data["sdk"] == "gradio"
    assert {data["colorFrom"], data["colorTo"]} <= COLORS
    assert (SPACE / data["app_file"]).is_file()
    assert len(data["short_description"]) <= 60
    assert data["license"] == "apache-2.0"
    [gradio] = [one for one in map(Requirement, PROJECT["dependencies"]) if one.name == "gradio"]
    assert data["sdk_version"] in gradio.specifier
    assert re.fullmatch(r"3\.1[1-9]", data["python_version"])


def test_the_space_asks_for_what_the_package_asks_for() -> None:
    lines = (SPACE / "requirements.txt").read_text().splitlines()
    asked = [line for line in lines if line and not line.startswith(("#", "-"))]
    assert asked == [line for line in PROJECT["dependencies"] if not line.startswith("gradio")]


def test_the_words_of_space_and_image_are_options_of_the_command() -> None:
    words = re.search(r"WORDS = (\[.*\])", (SPACE / "app.py").read_text())
    assert words
    said = dict(instructions())
    assert json.loads(said["ENTRYPOINT"]) == ["soundloom"]
    for given in (json.loads(words[1]), json.loads(said["CMD"])):
        options = build_parser().parse_args(given)
        assert (options.command, options.host, options.port) == ("demo", "0.0.0.0", 7860)


def test_the_image_runs_as_a_user_without_rights() -> None:
    steps = instructions()
    users = [rest for name, rest in steps if name == "USER"]
    assert users
    assert not {"root", "0"} & set(users)
    last = max(index for index, (name, _) in enumerate(steps) if name == "USER")
    assert not {"RUN", "COPY", "ADD"} & {name for name, _ in steps[last:]}
    assert any("--uid 1000 user" in rest for name, rest in steps if name == "RUN")
    assert "ADD" not in dict(steps)


def test_the_linter_has_nothing_against_the_image() -> None:
    places = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    linter = shutil.which("hadolint", path=places)
    assert linter, 'hadolint is missing: pip install -e ".[test]"'
    done = subprocess.run([linter, "--no-color", DOCKERFILE], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


def test_all_of_the_package_gets_into_the_image() -> None:
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    wanted = {name.split(".")[1] for name in packages if "." in name}
    wanted |= {path.name for path in ROOT.glob("*.py")}
    wanted |= {"pyproject.toml", "py.typed", "README.md", "LICENSE"}
    assert kept == wanted


@pytest.mark.slow
def test_the_space_starts(tmp_path: Path) -> None:
    """The package beside app.py, as docs/hub.md says, with nothing else on the path."""
    for file in SPACE.iterdir():
        shutil.copy(file, tmp_path)
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    ignored = shutil.ignore_patterns("__pycache__")
    for name in sorted({name.split(".")[1] for name in packages if "." in name}):
        shutil.copytree(ROOT / name, tmp_path / "soundloom" / name, ignore=ignored)
    shutil.copy(ROOT / "__init__.py", tmp_path / "soundloom")
    app = (tmp_path / "app.py").read_text().replace('"7860"', '"7869"')
    (tmp_path / "app.py").write_text(app)
    environment = dict(os.environ)
    environment.pop("PYTHONPATH", None)
    with (tmp_path / "log").open("w") as log:
        running = subprocess.Popen(
            [sys.executable, "app.py"], cwd=tmp_path, env=environment, stdout=log, stderr=log
        )
        try:
            page = ""
            for _ in range(600):
                try:
                    page = urllib.request.urlopen("http://127.0.0.1:7869", timeout=5).read().decode()
                    break
                except OSError:
                    assert running.poll() is None, (tmp_path / "log").read_text()
                    time.sleep(0.3)
            assert "soundloom" in page
        finally:
            running.terminate()
            running.wait(30)


def replicas() -> ModuleType:
    spec = importlib.util.spec_from_file_location("replicas", ROOT / "deploy" / "ray_serve" / "replicas.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_replica_makes_sounds() -> None:
    with TestClient(replicas().build_replica(max_batch=2), base_url="http://127.0.0.1") as client:
        assert client.get("/v1/models").json()["data"][0]["id"] == "foley"
        asked = {"prompt": "a dog barks", "duration": 0.1, "seed": 7}
        made = [client.post("/v1/audio/generations", json=asked) for _ in range(2)]
        assert made[0].headers["x-seed"] == "7"
        samples = [soundfile.read(io.BytesIO(one.content))[0] for one in made]
        assert len(samples[0]) == 1280
        assert np.array_equal(*samples)


def test_a_replica_may_need_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    module = replicas()
    with pytest.raises(ValueError, match="NO_SUCH_KEY holds no key"):
        module.build_replica(keys="NO_SUCH_KEY")
    monkeypatch.setenv("REPLICA_KEY", "secret")
    client = TestClient(module.build_replica(keys="REPLICA_KEY"), base_url="http://127.0.0.1")
    assert client.get("/v1/models").status_code == 401
    allowed = {"Authorization": "Bearer secret"}
    assert client.get("/v1/models", headers=allowed).status_code == 200


def test_ray_gets_the_replicas_and_what_they_are_built_of(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a stand-in for Ray, which is not needed for tests."""
    module, asked = replicas(), SimpleNamespace()

    def deployment(**options: Any) -> Any:
        asked.options = options
        return lambda built: SimpleNamespace(bind=lambda: built)

    def ingress(build: Any) -> Any:
        asked.build = build
        return lambda kind: kind

    serve = SimpleNamespace(deployment=deployment, ingress=ingress)
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(serve=serve))
    monkeypatch.setattr(module, "build_replica", lambda **chosen: chosen)
    module.application({"replicas": "2", "cpus": "0.5", "model": "foley", "max_batch": "4"})
    assert asked.options["num_replicas"] == 2
    assert asked.options["ray_actor_options"] == {"num_cpus": 0.5}
    assert asked.build() == {"model": "foley", "max_batch": "4"}
