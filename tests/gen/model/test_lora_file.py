"""LoRA files: what comes back is what was written, they are small, and bad ones are refused by name."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from soundloom.core.errors import ModelError
from soundloom.gen.model.lm import AudioLM
from soundloom.gen.model.lora import LoRASettings, add_lora
from soundloom.gen.model.lora_file import METADATA, LoRAWeights, base_fingerprint
from soundloom.gen.model.schemes import quantized_layers

Change = Callable[[dict[str, Tensor], dict[str, Any]], None]
LAYER = "lm.transformer.layers.0.linear1"


def small(**changed: Any) -> AudioLM:
    torch.manual_seed(0)
    sizes: dict[str, Any] = {"num_codebooks": 2, "codebook_size": 16, "dim": 16, "text_dim": 8}
    return AudioLM(**(sizes | {"num_layers": 2, "num_heads": 2} | changed)).eval()


@pytest.fixture(scope="module")
def adapter() -> LoRAWeights:
    lm = small()
    add_lora(lm, LoRASettings(rank=3, alpha=4.5, targets=["linear1", "query"]))
    return LoRAWeights.of(lm, "small")


@pytest.fixture
def file(adapter: LoRAWeights, tmp_path: Path) -> Path:
    return adapter.save(tmp_path / "a.safetensors", license="mit")


def rewritten(file: Path, change: Change) -> Path:
    """The file with other tensors or metadata, as somebody might make it."""
    with safe_open(file, framework="pt") as opened:
        metadata = opened.metadata()
    tensors, config = load_file(file), json.loads(metadata[METADATA])
    both = {**metadata, METADATA: config}
    change(tensors, both)
    both = {key: value if isinstance(value, str) else json.dumps(value) for key, value in both.items()}
    save_file(tensors, file, metadata=both)
    return file


def test_it_comes_back(adapter: LoRAWeights, file: Path) -> None:
    found = LoRAWeights.load(file)
    assert (found.rank, found.alpha, found.base, found.base_model) == (3, 4.5, adapter.base, "small")
    assert found.layers.keys() == adapter.layers.keys()
    for name, pair in adapter.layers.items():
        for mine, theirs in zip(found.layers[name], pair, strict=True):
            torch.testing.assert_close(mine, theirs, rtol=1e-3, atol=1e-4)


def test_others_can_read_it(file: Path) -> None:
    with safe_open(file, framework="pt") as opened:
        metadata, names = opened.metadata(), set(opened.keys())
    assert json.loads(metadata[METADATA])["lm.r"] == 3
    assert json.loads(metadata[METADATA])["lm.lora_alpha"] == 4.5
    assert {"soundloom_version", "base_fingerprint", "base_model", "license", "format"} <= metadata.keys()
    assert {f"{LAYER}.lora_A.weight", f"{LAYER}.lora_B.weight"} <= names


def test_the_fingerprint_is_of_the_base_alone() -> None:
    lm = small()
    plain = base_fingerprint(lm)
    add_lora(lm, LoRASettings(rank=2))
    assert base_fingerprint(lm) == plain
    assert base_fingerprint(lm.to(torch.bfloat16)) == plain
    assert base_fingerprint(small(num_layers=3)) != plain
    # What it is of is rounded by no scheme.
    assert not {"embedding", "transformer.out_norm"} & quantized_layers(small(), "int4").keys()


def test_an_existing_file_stays_unless_it_may_go(adapter: LoRAWeights, file: Path) -> None:
    with pytest.raises(FileExistsError, match="--force"):
        adapter.save(file)
    adapter.save(file, force=True)
    with pytest.raises(ModelError, match=r"does not end in .safetensors"):
        adapter.save(file.with_suffix(".bin"))


def test_a_model_without_lora_has_none() -> None:
    with pytest.raises(ModelError, match="not trained with LoRA"):
        LoRAWeights.of(small())


def _set(key: str, value: Any) -> Change:
    return lambda tensors, metadata: metadata[METADATA].update({key: value})


def _tensor(name: str, value: Tensor) -> Change:
    return lambda tensors, metadata: tensors.update({name: value})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_set("lm.r", 4), "says that the rank is 4"),
        (_set("lm.r", 0), "rank is 0, which has to be 1 or more"),
        (_set("lm.r", "3"), "rank is 3, which"),
        (_set("lm.lora_alpha", -1), "alpha is -1, which has to be more than 0"),
        (_set("lm.lora_alpha", None), "alpha is None"),
        (_set("lm.lora_alpha", float("nan")), "alpha is nan"),
        (_set("lm.lora_alpha", 1e300), r"alpha is 1e\+300, which has to be more than 0, at most 1e\+06"),
        (_set("lm.lora_alpha", 10**400), "alpha is 1000"),
        (lambda tensors, metadata: metadata.pop(METADATA), "says nothing of LoRA"),
        (lambda tensors, metadata: metadata.update({METADATA: "[1]"}), "no JSON object"),
        (lambda tensors, metadata: metadata.update({METADATA: "{"}), "Expecting"),
        (lambda tensors, metadata: metadata.update({METADATA: "[" * 100_000}), "no LoRA adapter"),
        (lambda tensors, metadata: metadata.pop("base_fingerprint"), "which model it was trained on"),
        (lambda tensors, metadata: tensors.pop(f"{LAYER}.lora_A.weight"), "only one of the two"),
        (lambda tensors, metadata: tensors.clear(), "nothing"),
        (_tensor("lm.embedding.weight", torch.ones(2)), "'lm.embedding.weight', which is none of"),
        (_tensor("unet.x.lora_A.weight", torch.ones(3, 2)), "it is for 'unet'"),
        (_tensor(f"{LAYER}.lora_A.weight", torch.full((3, 16), torch.nan)), "NaN or infinite"),
        (_tensor(f"{LAYER}.lora_B.weight", torch.ones(64)), "says that the rank is 3"),
    ],
)
def test_what_makes_no_sense_is_refused(change: Change, message: str, file: Path) -> None:
    with pytest.raises(ModelError, match=message) as caught:
        LoRAWeights.load(rewritten(file, change))
    assert "a.safetensors" in str(caught.value)


def test_damage_is_noticed(file: Path) -> None:
    whole = file.read_bytes()
    for damaged in (whole[:-10], whole[:40], b"", b"\xff" * 200):
        file.write_bytes(damaged)
        with pytest.raises(ModelError, match="truncated or damaged"):
            LoRAWeights.load(file)


@given(data=st.data())
def test_any_changed_byte_loads_or_is_refused(data: st.DataObject, tmp_path_factory: Any) -> None:
    folder = tmp_path_factory.getbasetemp() / "changed"
    folder.mkdir(exist_ok=True)
    path = folder / "a.safetensors"
    if not path.exists():
        lm = small()
        add_lora(lm, LoRASettings(rank=1, targets=["query"]))
        LoRAWeights.of(lm, "small").save(path)
    content = bytearray(path.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    changed = folder / "b.safetensors"
    changed.write_bytes(content)
    try:
        LoRAWeights.load(changed).check_fits(small(), "b")
    except ModelError as error:
        assert "LoRA" in str(error) or "damaged" in str(error)


class _RunsCode:
    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("ran"),))


@pytest.mark.parametrize("name", ["a.bin", "a.pt", "a.safetensors"])
def test_pickles_are_not_opened(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / name
    path.write_bytes(pickle.dumps(_RunsCode()))
    with pytest.raises(ModelError, match="pickles|truncated or damaged"):
        LoRAWeights.load(path)
    assert not (tmp_path / "ran").exists()
