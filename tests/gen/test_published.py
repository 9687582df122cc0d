"""The published format: odd configurations, odd state dicts, damaged files."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf

from soundloom.gen.model.pattern import CodePattern
from soundloom.gen.published import PUBLISHED_FILE, load_published_lm

TINY = Path(__file__).resolve().parents[1] / "fixtures" / "audiogen_tiny"


@pytest.fixture
def package() -> dict[str, Any]:
    return torch.load(TINY / PUBLISHED_FILE, weights_only=True)


def write(folder: Path, package: dict[str, Any]) -> Path:
    torch.save(package, folder / PUBLISHED_FILE)
    return folder


def change(package: dict[str, Any], key: str, value: Any, remove: bool = False) -> None:
    config = OmegaConf.create(package["xp.cfg"])
    if remove:
        parent, _, leaf = key.rpartition(".")
        del (OmegaConf.select(config, parent) if parent else config)[leaf]
    else:
        OmegaConf.update(config, key, value, force_add=True)
    package["xp.cfg"] = OmegaConf.to_yaml(config)


def logits(folder: Path) -> torch.Tensor:
    lm = load_published_lm(folder).lm
    codes = torch.arange(4 * 9).view(1, 4, 9) % 64
    with torch.inference_mode():
        return lm(codes, torch.linspace(-1, 1, 2 * 48).view(1, 2, 48)).logits


def test_what_the_configuration_says() -> None:
    published = load_published_lm(TINY)
    assert published.text_encoder == "t5-tiny"
    assert published.max_seconds == 10.0
    assert published.guidance_scale == 3.0
    assert not published.lm.training
    assert published.lm.dtype == torch.float32
    assert load_published_lm(TINY, torch.bfloat16).lm.dtype == torch.bfloat16


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_any_stored_type_is_cast(tmp_path: Path, package: dict[str, Any], dtype: torch.dtype) -> None:
    package["best_state"] = {name: tensor.to(dtype) for name, tensor in package["best_state"].items()}
    torch.testing.assert_close(logits(write(tmp_path, package)), logits(TINY), atol=0.1, rtol=0.1)


def test_attention_tensors_one_level_deeper(tmp_path: Path, package: dict[str, Any]) -> None:
    state = package["best_state"]
    for name in list(state):
        for part in ("self_attn.", "cross_attention."):
            if part in name:
                state[name.replace(part, part + "mha.")] = state.pop(name)
    assert torch.equal(logits(write(tmp_path, package)), logits(TINY))


def test_biases_are_read_where_there_are_any(tmp_path: Path, package: dict[str, Any]) -> None:
    state = package["best_state"]
    for index in range(3):
        stem = f"transformer.layers.{index}."
        for part in ("self_attn", "cross_attention"):
            state[f"{stem}{part}.in_proj_bias"] = torch.arange(192.0) / 192
            state[f"{stem}{part}.out_proj.bias"] = torch.full((64,), 0.1)
        state[f"{stem}linear1.bias"] = torch.full((256,), 0.2)
        state[f"{stem}linear2.bias"] = torch.full((64,), 0.3)
    for k in range(4):
        state[f"linears.{k}.bias"] = torch.full((64,), float(k))
    lm = load_published_lm(write(tmp_path, package)).lm
    cross: Any = lm.transformer.layers[1].cross_attention
    assert torch.equal(cross.query.bias, torch.arange(64.0) / 192)
    assert torch.equal(cross.key_value.bias, torch.arange(64.0, 192.0) / 192)
    assert lm.heads.bias is not None
    assert torch.equal(lm.heads.bias, torch.arange(4.0).repeat_interleave(64))


@pytest.mark.parametrize(
    ("key", "value", "pattern"),
    [
        ("codebooks_pattern.delay.delays", [0, 0, 2, 5], CodePattern((0, 0, 2, 5))),
        ("codebooks_pattern.modeling", "parallel", CodePattern.parallel(4)),
        ("codebooks_pattern.modeling", None, CodePattern((0, 1, 2, 3))),
    ],
)
def test_patterns(
    tmp_path: Path, package: dict[str, Any], key: str, value: Any, pattern: CodePattern
) -> None:
    change(package, key, value)
    assert load_published_lm(write(tmp_path, package)).lm.pattern == pattern


@pytest.mark.parametrize(
    "key",
    [
        "codebooks_pattern",
        "fuser",
        "conditioners",
        "dataset",
        "classifier_free_guidance",
        "transformer_lm.norm",
        "lm_model",
        "transformer_lm.dim",
    ],
)
def test_absent_keys_have_defaults(tmp_path: Path, package: dict[str, Any], key: str) -> None:
    change(package, key, None, remove=True)
    assert torch.equal(logits(write(tmp_path, package)), logits(TINY))


def test_unknown_keys_missing_values_and_references(tmp_path: Path, package: dict[str, Any]) -> None:
    change(package, "something.new", {"deep": [1, "${oc.env:HOME}"]})
    change(package, "dataset.segment_duration", "${seconds}")
    change(package, "seconds", 4)
    change(package, "classifier_free_guidance.inference_coef", "???")
    published = load_published_lm(write(tmp_path, package))
    assert published.max_seconds == 4.0
    assert published.guidance_scale == 3.0


def test_unknown_settings_that_may_matter_are_listed_at_every_load(
    tmp_path: Path, package: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    change(package, "transformer_lm.swing", 3)
    change(package, "fuser.twist", ["description"])
    change(package, "transformer_lm.sleepy", None)
    change(package, "optim.swagger", 5)
    folder = write(tmp_path, package)
    for _ in range(2):
        caplog.clear()
        load_published_lm(folder)
        assert "transformer_lm.swing = 3, fuser.twist = ['description']. If" in caplog.text
        assert "sleepy" not in caplog.text
        assert "swagger" not in caplog.text
    caplog.clear()
    load_published_lm(TINY)
    assert "does not know" not in caplog.text


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("lm_model", "transformer_magnet"),
        ("transformer_lm.norm_first", False),
        ("transformer_lm.positional_embedding", "rope"),
        ("transformer_lm.activation", "relu"),
        ("transformer_lm.qk_layer_norm", True),
        ("transformer_lm.layer_scale", 0.1),
        ("transformer_lm.kv_repeat", 2),
        ("transformer_lm.past_context", 100),
        ("codebooks_pattern.modeling", "coarse_first"),
        ("codebooks_pattern.delay.flatten_first", 2),
        ("fuser.prepend", ["description"]),
        ("fuser.cross", ["wav"]),
        ("conditioners.description.model", "clap"),
        ("conditioners.description.t5.finetune", True),
        ("interleave_stereo_codebooks.use", True),
    ],
)
def test_unsupported_values_are_named(tmp_path: Path, package: dict[str, Any], key: str, value: Any) -> None:
    change(package, key, value)
    with pytest.raises(ValueError, match=f"{key.replace('.', '[.]')} is .*not supported") as caught:
        load_published_lm(write(tmp_path, package))
    assert repr(value) in str(caught.value)
    assert PUBLISHED_FILE in str(caught.value)


def drop_head(package: dict[str, Any]) -> None:
    del package["best_state"]["linears.2.weight"]


def drop_norm(package: dict[str, Any]) -> None:
    del package["best_state"]["out_norm.weight"]


def drop_heads_setting(package: dict[str, Any]) -> None:
    change(package, "transformer_lm.num_heads", None, remove=True)


def contradict_width(package: dict[str, Any]) -> None:
    change(package, "transformer_lm.dim", 128)


def contradict_heads(package: dict[str, Any]) -> None:
    change(package, "transformer_lm.num_heads", 7)


def widen_a_head(package: dict[str, Any]) -> None:
    package["best_state"]["linears.1.weight"] = torch.ones(64, 65)


def widen_a_norm(package: dict[str, Any]) -> None:
    package["best_state"]["transformer.layers.1.norm1.weight"] = torch.ones(65)


def add_scale(package: dict[str, Any]) -> None:
    package["best_state"]["transformer.layers.0.layer_scale_1.scale"] = torch.ones(64)


def add_melody(package: dict[str, Any]) -> None:
    package["best_state"]["condition_provider.conditioners.wav.output_proj.weight"] = torch.ones(64, 12)


def drop_config(package: dict[str, Any]) -> None:
    del package["xp.cfg"]


def break_config(package: dict[str, Any]) -> None:
    package["xp.cfg"] = "a: [1"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (drop_head, "4 token tables and 2 heads"),
        (drop_norm, r"out_norm\.weight"),
        (drop_heads_setting, "num_heads is missing"),
        (contradict_width, "transformer_lm.dim is 128, but the tensors say 64"),
        (contradict_heads, "num_heads is 7; it must divide the width 64"),
        (widen_a_head, "do not fit together"),
        (widen_a_norm, r"do not fit together .*layers\.1\.norm1\.weight"),
        (add_scale, "layer_scale_1"),
        (add_melody, "exactly one text condition"),
        (drop_config, "lacks the keys"),
        (break_config, "cannot be read"),
    ],
)
def test_incomplete_checkpoints_are_named(
    tmp_path: Path, package: dict[str, Any], damage: Callable[[dict[str, Any]], None], message: str
) -> None:
    damage(package)
    with pytest.raises(ValueError, match=message) as caught:
        load_published_lm(write(tmp_path, package))
    assert PUBLISHED_FILE in str(caught.value)


@pytest.mark.parametrize("keep", [0, 10, 1000, 400_000])
def test_truncated_files_are_named(tmp_path: Path, keep: int) -> None:
    (tmp_path / PUBLISHED_FILE).write_bytes((TINY / PUBLISHED_FILE).read_bytes()[:keep])
    with pytest.raises(ValueError, match=f"{PUBLISHED_FILE} is truncated"):
        load_published_lm(tmp_path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=PUBLISHED_FILE):
        load_published_lm(tmp_path)


def test_code_in_a_checkpoint_is_not_run(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "trapped",))

    torch.save({"best_state": Trap(), "xp.cfg": ""}, tmp_path / PUBLISHED_FILE)
    with pytest.raises(ValueError, match=PUBLISHED_FILE):
        load_published_lm(tmp_path)
    assert not (tmp_path / "trapped").exists()


def test_the_codec_file_is_left_alone(tmp_path: Path) -> None:
    shutil.copy(TINY / PUBLISHED_FILE, tmp_path)
    assert torch.equal(logits(tmp_path), logits(TINY))
