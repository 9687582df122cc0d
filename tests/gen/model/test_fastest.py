"""`quantization="auto"`: what is fastest is measured once, remembered, and measured again where need be."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from soundloom.gen.model import fastest
from soundloom.gen.model.fastest import CANDIDATES, FILE, fastest_scheme, machine_key, measure
from soundloom.gen.model.lm import AudioLM
from soundloom.gen.model.schemes import is_quantized


def model(layers: int = 1) -> AudioLM:
    with torch.device("meta"):
        return AudioLM(num_codebooks=1, codebook_size=8, dim=32, num_layers=layers, num_heads=1, text_dim=4)


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A cache of its own; how often was measured. int8 is the fastest."""
    monkeypatch.setenv("SOUNDLOOM_CACHE", str(tmp_path / "cache"))
    calls: list[int] = []

    def measured(lm: AudioLM) -> dict[str | None, float]:
        calls.append(1)
        return {None: 1.0, "bf16": 0.8, "int8": 0.5}

    monkeypatch.setattr(fastest, "measure", measured)
    return calls


def test_it_measures_once_and_remembers(asked: list[int], tmp_path: Path) -> None:
    assert [fastest_scheme(model()) for _ in range(3)] == ["int8"] * 3
    assert len(asked) == 1
    assert json.loads((tmp_path / "cache" / FILE).read_text(encoding="utf-8")) == {
        machine_key(model()): "int8"
    }
    assert fastest_scheme(model(layers=40)) == "int8"  # of another size
    assert len(asked) == 2
    assert len(json.loads((tmp_path / "cache" / FILE).read_text(encoding="utf-8"))) == 2


@pytest.mark.parametrize("content", ["{", "[]", '{"KEY": "int9"}', '{"KEY": 3}'])
def test_what_is_damaged_is_measured_again(content: str, asked: list[int], tmp_path: Path) -> None:
    file = tmp_path / "cache" / FILE
    file.parent.mkdir()
    file.write_text(content.replace("KEY", machine_key(model())), encoding="utf-8")
    assert fastest_scheme(model()) == "int8"
    assert fastest_scheme(model()) == "int8"
    assert len(asked) == 1


def test_a_little_faster_is_not_worth_less_exact(monkeypatch: pytest.MonkeyPatch, asked: list[int]) -> None:
    monkeypatch.setattr(fastest, "measure", lambda lm: {None: 1.0, "bf16": 0.95, "int8": 0.91})
    assert fastest_scheme(model()) is None
    assert fastest_scheme(model()) is None  # float32 is remembered as well


def test_a_cache_that_cannot_be_written_is_said(
    asked: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SOUNDLOOM_CACHE", str(tmp_path / "file"))
    assert fastest_scheme(model()) == "int8"
    assert "cannot remember the fastest quantization" in caplog.text


def test_the_key_tells_processor_torch_and_size() -> None:
    key = machine_key(model())
    assert f"torch {torch.__version__}" in key
    assert "1 threads" in key
    assert key == machine_key(model())
    assert key != machine_key(model(layers=40))


def test_every_candidate_is_really_measured() -> None:
    seconds = measure(model(layers=2))
    assert set(seconds) == set(CANDIDATES)
    assert min(seconds.values()) > 0


def test_auto_loads_what_was_chosen(asked: list[int], tmp_path: Path) -> None:
    torch.manual_seed(0)
    lm = AudioLM(num_codebooks=1, codebook_size=8, dim=32, num_layers=1, num_heads=1, text_dim=4)
    lm.save_pretrained(tmp_path / "lm")
    assert is_quantized(AudioLM.from_pretrained(tmp_path / "lm", quantization="auto"))
    assert not is_quantized(AudioLM.from_pretrained(tmp_path / "lm"))
