"""The cache of converted checkpoints: made once, whole or not at all, again when the source changes."""

from __future__ import annotations

import errno
import os
import shutil
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from soundloom.core import cache
from soundloom.core.cache import CACHE_VARIABLE, cache_root, converted, file_key
from soundloom.core.checkpoint import read_weights, write_shards, write_weights
from soundloom.gen.model.lm import AudioLM
from soundloom.gen.pipeline import AudioGen
from soundloom.gen.published import PUBLISHED_FILE, load_published_lm

TINY = Path(__file__).resolve().parents[1] / "fixtures" / "audiogen_tiny"


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


def write_model(folder: Path, value: float = 1.0) -> None:
    write_weights({"a": torch.full((3,), value)}, folder)
    (folder / "config.json").write_text("{}")


def test_the_cache_is_in_hugging_faces_home_unless_named(
    own_cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert cache_root() == own_cache
    monkeypatch.delenv(CACHE_VARIABLE)
    monkeypatch.setattr("huggingface_hub.constants.HF_HOME", str(tmp_path / "hf"))
    assert cache_root() == tmp_path / "hf" / "soundloom"


def test_the_key_follows_the_content_of_hub_files_and_the_stamp_of_others(tmp_path: Path) -> None:
    blob = tmp_path / "blobs" / ("a" * 64)
    blob.parent.mkdir()
    blob.write_bytes(b"1")
    link = tmp_path / "state_dict.bin"
    link.symlink_to(blob)
    first = file_key(link)
    os.utime(blob, (1, 1))
    assert file_key(link) == first
    link.unlink()
    link.symlink_to(blob.rename(blob.with_name("b" * 64)))
    assert file_key(link) != first
    plain = tmp_path / "plain.bin"
    plain.write_bytes(b"1")
    first = file_key(plain)
    assert file_key(plain) == first
    os.utime(plain, ns=(1, 1))
    second = file_key(plain)
    plain.write_bytes(b"22")
    os.utime(plain, ns=(1, 1))
    assert len({first, second, file_key(plain)}) == 3


def test_a_checkpoint_is_read_once_and_again_when_it_changes(
    tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(TINY, folder)
    prompt = {"prompts": "a dog", "duration": 0.2, "seed": 1}
    first = AudioGen.from_pretrained(folder, text_encoder=TINY / "t5").generate(**prompt)
    assert sorted(path.name.rpartition("-")[0] for path in own_cache.iterdir()) == ["codec", "lm-float32"]
    with monkeypatch.context() as patch:
        patch.setattr(torch, "load", lambda *_, **__: pytest.fail("the checkpoint was read again"))
        second = AudioGen.from_pretrained(folder, text_encoder=TINY / "t5").generate(**prompt)
    assert torch.equal(first.samples, second.samples)
    package = torch.load(folder / PUBLISHED_FILE, weights_only=True)
    package["best_state"]["out_norm.bias"] += 1.0
    torch.save(package, folder / PUBLISHED_FILE)
    third = AudioGen.from_pretrained(folder, text_encoder=TINY / "t5")
    assert torch.equal(third.lm.transformer.out_norm.bias, package["best_state"]["out_norm.bias"].float())


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="looks into Linux' /proc")
def test_weights_are_memory_mapped_from_the_cache_and_may_be_trained(own_cache: Path) -> None:
    lm = load_published_lm(TINY).lm
    places = []
    for line in Path("/proc/self/maps").read_text().splitlines():
        if str(own_cache) in line:
            start, end = (int(number, 16) for number in line.split()[0].split("-"))
            places.append(range(start, end))
    for name, parameter in lm.named_parameters():
        assert any(parameter.data_ptr() in place for place in places), name
        assert parameter.requires_grad
    with torch.no_grad():
        lm.transformer.out_norm.bias.add_(1.0)  # changes this process' copy only
    again = load_published_lm(TINY).lm
    assert torch.equal(again.transformer.out_norm.bias + 1.0, lm.transformer.out_norm.bias)


def test_each_type_has_its_own_folder(own_cache: Path) -> None:
    for dtype in (torch.float32, torch.bfloat16):
        assert load_published_lm(TINY, dtype).lm.dtype == dtype
    assert len(list(own_cache.iterdir())) == 2


def test_a_damaged_folder_is_made_again(
    tmp_path: Path, own_cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    expected = load_published_lm(TINY).lm.state_dict()
    expected = {name: value.clone() for name, value in expected.items()}
    shard = max(own_cache.glob("lm-*/*.safetensors"))
    content = shard.read_bytes()
    shard.unlink()  # before writing: the mapped file itself must stay as it is
    shard.write_bytes(content[:-10])
    found = load_published_lm(TINY).lm.state_dict()
    assert "damaged" in caplog.text
    assert all(torch.equal(found[name], value) for name, value in expected.items())


def test_a_failed_or_killed_build_leaves_nothing_that_looks_complete(tmp_path: Path, own_cache: Path) -> None:
    source = tmp_path / "source.bin"
    source.write_bytes(b"x")

    def fail(target: Path) -> None:
        write_model(target)
        raise ValueError("odd source")

    with pytest.raises(ValueError, match="odd source"):
        converted(source, "part", fail)
    assert list(own_cache.iterdir()) == []
    written: list[Path] = []

    def keep(target: Path) -> None:
        shutil.copytree(target, target.with_name(target.name.replace(".part", "-killed.part")))
        written.append(target.with_name(target.name.replace(".part", "-killed.part")))
        raise ValueError("odd source")

    for _ in range(2):
        with pytest.raises(ValueError, match="odd source"):
            converted(source, "part", keep)
    left, fresh = written
    os.utime(left, (1, 1))
    folder = converted(source, "part", write_model)
    assert sorted(own_cache.iterdir()) == sorted([folder, fresh])


def test_of_two_builds_at_once_both_get_a_whole_folder(tmp_path: Path, own_cache: Path) -> None:
    source = tmp_path / "source.bin"
    source.write_bytes(b"x")

    def slow(target: Path) -> None:
        write_model(target, 1.0)
        converted(source, "part", lambda other: write_model(other, 2.0))  # another process is faster

    folder = converted(source, "part", slow)
    assert float(read_weights(folder)["a"][0]) == 2.0
    assert list(own_cache.iterdir()) == [folder]


@pytest.mark.parametrize("kind", ["a file in its place", "a full disk"])
def test_an_unwritable_cache_says_what_to_set(tmp_path: Path, own_cache: Path, kind: str) -> None:
    source = tmp_path / "source.bin"
    source.write_bytes(b"x")

    def build(target: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(target))

    if kind == "a file in its place":
        own_cache.write_text("")
    with pytest.raises(OSError, match=CACHE_VARIABLE) as caught:
        converted(source, "part", build)
    assert str(own_cache) in str(caught.value)


def test_an_unreadable_source_is_not_blamed_on_the_cache(tmp_path: Path) -> None:
    source = tmp_path / "source.bin"
    source.write_bytes(b"x")

    def build(target: Path) -> None:
        raise OSError(f"{source} is not a readable checkpoint")

    with pytest.raises(OSError, match="not a readable checkpoint") as caught:
        converted(source, "part", build)
    assert CACHE_VARIABLE not in str(caught.value)


def test_writing_shards_holds_one_shard_at_a_time(tmp_path: Path) -> None:
    alive: list[weakref.ref[Tensor]] = []
    most = 0

    def tensors() -> Iterator[tuple[str, Tensor]]:
        nonlocal most
        for index in range(20):
            value = torch.full((100,), float(index))
            alive.append(weakref.ref(value))
            most = max(most, sum(each() is not None for each in alive))
            yield f"t{index}", value

    files = write_shards(tensors(), tmp_path, shard_bytes=1000)
    assert len(files) == 10
    assert most <= 4  # two in the shard, one on its way, one being made
    found = read_weights(tmp_path)
    assert [float(found[f"t{index}"][0]) for index in range(20)] == list(range(20))


def test_a_model_of_several_shards_is_read_back_in_any_type(tmp_path: Path) -> None:
    torch.manual_seed(0)
    lm = AudioLM(codebook_size=8, dim=16, num_layers=2, num_heads=2, text_dim=4).eval()
    state = lm.state_dict()
    assert len(write_shards(state.items(), tmp_path, shard_bytes=4000)) > 2
    lm.save_config(tmp_path)
    for mapped in (False, True):
        loaded = AudioLM.from_pretrained(tmp_path, mapped=mapped)
        assert all(torch.equal(value, state[name]) for name, value in loaded.state_dict().items())
        half = AudioLM.from_pretrained(tmp_path, mapped=mapped, torch_dtype=torch.bfloat16)
        assert half.dtype == torch.bfloat16


def test_saving_over_the_folder_it_was_loaded_from_keeps_the_weights(tmp_path: Path) -> None:
    torch.manual_seed(0)
    AudioLM(codebook_size=8, dim=16, num_layers=2, num_heads=2, text_dim=4).save_pretrained(tmp_path)
    lm = AudioLM.from_pretrained(tmp_path)
    before = {name: value.clone() for name, value in lm.state_dict().items()}
    lm.save_pretrained(tmp_path)
    after = AudioLM.from_pretrained(tmp_path).state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())


def test_the_variable_may_point_into_the_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    monkeypatch.setenv(CACHE_VARIABLE, "~/weights")
    assert cache.cache_root() == Path("/home/someone/weights")
