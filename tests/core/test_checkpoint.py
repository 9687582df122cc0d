"""Checkpoints: shards and their index, JSON configurations, what torch.save wrote."""

from __future__ import annotations

import functools
import io
import json
import zipfile
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
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


@functools.cache  # the old format holds addresses in memory, and has as many digits as they
def saved(*, zipped: bool) -> bytes:
    """A small checkpoint, as torch writes it."""
    stream = io.BytesIO()
    state = {"state_dict": {"weight": torch.arange(3.0), "bias": torch.zeros(2)}, "epoch": 3}
    torch.save(state, stream, _use_new_zipfile_serialization=zipped)
    return stream.getvalue()


def with_pickle(pickled: bytes) -> bytes:
    """A checkpoint of the zip format, undamaged as a zip, whose pickle is this one."""
    stream = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(saved(zipped=True))) as whole,
        zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as changed,
    ):
        for name in whole.namelist():
            changed.writestr(name, pickled if name.endswith("data.pkl") else whole.read(name))
    return stream.getvalue()


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A checkpoint of either format, or only its pickle, cut off and with other bytes here and there."""
    kind = draw(st.sampled_from(["zip", "old", "pickle"]))
    data = bytearray(saved(zipped=kind != "old"))
    if kind == "pickle":
        with zipfile.ZipFile(io.BytesIO(data)) as whole:
            [name] = [each for each in whole.namelist() if each.endswith("data.pkl")]
            data = bytearray(whole.read(name))
    for _ in range(draw(st.integers(0, 3))):
        data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
    data = data[: draw(st.integers(0, len(data)))]
    return with_pickle(bytes(data)) if kind == "pickle" else bytes(data)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(b"0")  # takes from an empty stack: IndexError
@example(b"K\x01K\x02s.")  # sets an item of a number: TypeError
@example(b"K\x01}b.")  # gives a number a state
@given(
    st.one_of(
        st.binary(max_size=64),
        st.binary(max_size=32).map(lambda end: with_pickle(b"\x80\x02" + end)),
        damaged(),
    )
)
def test_a_damaged_checkpoint_is_a_model_error_and_no_other(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "damaged.ckpt"
    file.write_bytes(data)
    try:
        read_torch(file)  # some changes leave it a checkpoint
    except ModelError as error:
        assert str(error).startswith(f"{file} is truncated or damaged")
