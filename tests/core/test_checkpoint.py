"""Checkpoints: shards and their index, JSON configurations, what torch.save wrote."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from soundloom.core.checkpoint import (
    INDEX_FILE,
    SINGLE_FILE,
    read_config,
    read_json,
    read_torch,
    read_weights,
    write_weights,
)
from soundloom.core.errors import ModelError, ModelNotFoundError


def test_shards_hold_what_safetensors_itself_would_write(tmp_path: Path) -> None:
    state = {f"layer.{index}": torch.randn(50, 10) for index in range(4)} | {"turned": torch.randn(3, 5).T}
    files = write_weights(state, tmp_path / "sharded", max_shard_bytes=4100)
    assert [file.name for file in files] == [
        f"diffusion_pytorch_model-{n:05d}-of-00002.safetensors" for n in (1, 2)
    ]
    index = json.loads((tmp_path / "sharded" / INDEX_FILE).read_text())
    assert index["weight_map"].keys() == state.keys()
    for file in files:
        part = {name: state[name].contiguous() for name in load_file(file)}
        save_file(part, tmp_path / "alone.safetensors", metadata={"format": "pt"})
        assert file.read_bytes() == (tmp_path / "alone.safetensors").read_bytes()
        assert {index["weight_map"][name] for name in part} == {file.name}
    assert all(torch.equal(value, state[name]) for name, value in read_weights(tmp_path / "sharded").items())


def test_weights_of_before_are_gone(tmp_path: Path) -> None:
    state = {"a": torch.zeros(100), "b": torch.zeros(100)}
    write_weights(state, tmp_path, max_shard_bytes=450)
    (tmp_path / "notes.txt").write_text("mine")
    assert write_weights(state, tmp_path) == [tmp_path / SINGLE_FILE]
    assert sorted(path.name for path in tmp_path.iterdir()) == [SINGLE_FILE, "notes.txt"]
    assert (tmp_path / SINGLE_FILE).stat().st_mode & 0o777 == (tmp_path / "notes.txt").stat().st_mode & 0o777


def test_configurations(tmp_path: Path) -> None:
    assert read_config(tmp_path) == {}
    with pytest.raises(ModelNotFoundError, match="is missing"):
        read_json(tmp_path / "config.json")
    for text, message in (
        ("{", "not readable JSON"),
        ("[]", "not a list"),
        ("[" * 10**5, "not readable JSON"),
    ):
        (tmp_path / "config.json").write_text(text)
        with pytest.raises(ModelError, match=message):
            read_config(tmp_path)
    (tmp_path / "config.json").write_text('{"dim": 3}')
    assert read_config(tmp_path) == {"dim": 3}


class Trap:
    """What torch.load would call."""

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (Path("trapped"),))


def test_what_torch_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    state = {"weight": torch.arange(3.0)}
    for zipped in (True, False):
        torch.save(state, "state.bin", _use_new_zipfile_serialization=zipped)
        assert torch.equal(read_torch(Path("state.bin"), mapped=zipped)["weight"], state["weight"])
    whole = Path("state.bin").read_bytes()
    torch.save({"weight": Trap()}, "trap.bin")
    for name, data in (("half.bin", whole[: len(whole) // 2]), ("text.bin", b"hello"), ("none.bin", b"")):
        Path(name).write_bytes(data)
    for name in ("half.bin", "text.bin", "none.bin", "trap.bin", "missing.bin"):
        with pytest.raises(ModelError, match=f"{name} is truncated or damaged, or holds more than tensors"):
            read_torch(Path(name))
    assert not Path("trapped").exists()
