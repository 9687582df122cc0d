"""AudioLM: teacher forcing, step-wise decoding, text masks, initialisation, saving."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from soundloom.core.checkpoint import BUNDLED_MODELS
from soundloom.gen.model.lm import AudioLM

SETTINGS: dict[str, Any] = {
    "num_codebooks": 3,
    "codebook_size": 20,
    "dim": 32,
    "num_layers": 2,
    "num_heads": 4,
    "text_dim": 10,
}


def make(**changed: Any) -> AudioLM:
    torch.manual_seed(0)
    return AudioLM(**(SETTINGS | changed)).eval()


@pytest.fixture
def batch() -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(1)
    mask = torch.tensor([[True] * 4, [True, True, False, False]])
    return torch.randint(0, 20, (2, 3, 12)), torch.randn(2, 4, 10), mask


@torch.no_grad()
@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"delays": [0, 2, 5]},
        {"pattern": "parallel"},
        {"pattern": "flattened"},
        {"bias_attention": True, "bias_ffn": True, "bias_heads": True},
    ],
    ids=lambda changed: "-".join(map(str, changed)) or "default",
)
def test_steps_predict_what_teacher_forcing_predicts(
    batch: tuple[Tensor, Tensor, Tensor], changed: dict[str, Any]
) -> None:
    codes, states, mask = batch
    lm = make(**changed)
    expected = lm(codes, states, mask)
    frames = codes.shape[-1]
    steps = lm.pattern.teacher_steps(frames)
    sequence = lm.pattern.build(codes, special=lm.special_token)
    state = lm.start(states, mask, steps)
    outputs = [lm.step(sequence[:, :, s : s + 1], state) for s in range(steps)]
    aligned, valid = lm.pattern.align(torch.stack(outputs, dim=1), frames)
    assert torch.equal(valid.expand_as(expected.mask), expected.mask)
    torch.testing.assert_close(aligned, expected.logits, rtol=1e-4, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("pattern", ["delay", "parallel", "flattened"])
def test_a_prediction_does_not_depend_on_later_codes(
    batch: tuple[Tensor, Tensor, Tensor], pattern: str
) -> None:
    codes, states, mask = batch
    lm = make(pattern=pattern)
    before = lm(codes, states, mask)
    k, t = 1, 6
    changed = codes.clone()
    changed[:, k, t] = (changed[:, k, t] + 1) % 20
    after = lm(changed, states, mask)
    same = (before.logits == after.logits).all(dim=-1).all(dim=0)
    for codebook in range(3):
        for frame in range(12):
            if not bool(before.mask[0, codebook, frame]):
                continue
            earlier = lm.pattern.step_of(codebook, frame) <= lm.pattern.step_of(k, t)
            assert bool(same[codebook, frame]) == earlier


@torch.no_grad()
def test_a_prompt_gives_the_same_alone_and_beside_a_longer_one(batch: tuple[Tensor, Tensor, Tensor]) -> None:
    codes, states, mask = batch
    lm = make()
    together = lm(codes, states, mask).logits[1]
    alone = lm(codes[1:], states[1:, :2], None).logits[0]
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)
    padded = lm(codes, states, mask, attend_padding=True).logits[1]
    assert not torch.allclose(padded, alone, atol=1e-3)


@torch.no_grad()
def test_whatever_stands_in_padded_states_does_not_matter(batch: tuple[Tensor, Tensor, Tensor]) -> None:
    codes, states, mask = batch
    lm = make()
    expected = lm(codes, states, mask).logits
    dirty = states.masked_fill(~mask.unsqueeze(-1), math.nan)
    assert torch.equal(lm(codes, dirty, mask).logits, expected)


@torch.no_grad()
def test_states_without_any_position_mean_no_prompt(batch: tuple[Tensor, Tensor, Tensor]) -> None:
    codes, states, mask = batch
    lm = make()
    empty = lm(codes, states[:, :0], mask[:, :0]).logits
    torch.testing.assert_close(empty, lm(codes, states, torch.zeros_like(mask)).logits)


@torch.no_grad()
def test_one_set_of_tokens_serves_both_halves_of_a_guided_batch(batch: tuple[Tensor, Tensor, Tensor]) -> None:
    codes, states, mask = batch
    lm = make()
    both = lm.start(torch.cat([states, states * 0]), torch.cat([mask, mask & False]), 5)
    tokens = codes[:, :, :3]
    guided = lm.step(tokens, both)
    torch.testing.assert_close(guided[:2], lm.step(tokens, lm.start(states, mask, 5)))
    both.reset()
    assert torch.equal(lm.step(tokens, both), guided)
    both.close()
    with pytest.raises(ValueError, match="do not fit"):
        lm.step(tokens, both)


def test_text_of_the_wrong_width_is_named(batch: tuple[Tensor, Tensor, Tensor]) -> None:
    codes, states, mask = batch
    with pytest.raises(ValueError, match=r"\[2, 4, 9\].*\[B, L, 10\]"):
        make()(codes, states[..., :9], mask)


def test_initialisation_and_first_loss() -> None:
    lm = make(dim=256, codebook_size=500)
    for weight in (lm.embedding.weight, lm.heads.weight):
        assert weight.std().item() == pytest.approx(0.987 / 16, rel=0.02)
    codes = torch.randint(0, 500, (4, 3, 30))
    output = lm(codes, torch.randn(4, 3, 10))
    loss = torch.nn.functional.cross_entropy(output.logits[output.mask], codes[output.mask]).item()
    assert loss == pytest.approx(math.log(500), abs=1.0)


def test_every_parameter_learns(batch: tuple[Tensor, Tensor, Tensor]) -> None:
    codes, states, mask = batch
    lm = make(bias_attention=True, bias_ffn=True, bias_heads=True).train()
    output = lm(codes, states, mask)
    torch.nn.functional.cross_entropy(output.logits[output.mask], codes[output.mask]).backward()
    for name, parameter in lm.named_parameters():
        assert parameter.grad is not None, name
        assert bool(parameter.grad.abs().sum() > 0), name


@torch.no_grad()
@pytest.mark.parametrize("shard", ["1GB", "20KB"])
def test_saved_and_loaded_gives_the_same(
    batch: tuple[Tensor, Tensor, Tensor], tmp_path: Path, shard: str
) -> None:
    codes, states, mask = batch
    lm = make(delays=[0, 1, 1], bias_heads=True)
    lm.save_pretrained(tmp_path, max_shard_size=shard)
    files = list(tmp_path.glob("*.safetensors"))
    assert (len(files) > 1) == (shard == "20KB")
    loaded = AudioLM.from_pretrained(tmp_path)
    assert loaded.pattern == lm.pattern
    assert not loaded.training
    assert torch.equal(loaded(codes, states, mask).logits, lm(codes, states, mask).logits)
    assert AudioLM.from_pretrained(tmp_path, torch_dtype=torch.bfloat16).dtype == torch.bfloat16


def test_missing_and_truncated_files_are_named(tmp_path: Path) -> None:
    make().save_pretrained(tmp_path, max_shard_size="20KB")
    shards = sorted(tmp_path.glob("*.safetensors"))
    content = shards[1].read_bytes()
    shards[1].write_bytes(content[:-100])
    with pytest.raises(ValueError, match=f"{shards[1].name} is truncated"):
        AudioLM.from_pretrained(tmp_path)
    shards[1].unlink()
    with pytest.raises(FileNotFoundError, match=f"{shards[1].name} is missing"):
        AudioLM.from_pretrained(tmp_path)
    (tmp_path / "config.json").write_text("{", encoding="utf-8")
    with pytest.raises(ValueError, match=r"config\.json is damaged"):
        AudioLM.from_pretrained(tmp_path)


def test_unknown_weight_storage_is_named(tmp_path: Path) -> None:
    make().save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    (tmp_path / "config.json").write_text(json.dumps(config | {"weights": "int3"}), encoding="utf-8")
    with pytest.raises(ValueError, match=r"'int3'.*'int8'"):
        AudioLM.from_pretrained(tmp_path)


def test_the_language_model_of_a_model_goes_by_the_model(tmp_path: Path) -> None:
    by_name = AudioLM.from_pretrained("foley")
    for folder in (BUNDLED_MODELS / "foley", BUNDLED_MODELS / "foley" / "lm"):
        loaded = AudioLM.from_pretrained(folder)
        assert all(torch.equal(a, b) for a, b in zip(loaded.parameters(), by_name.parameters(), strict=True))
    with pytest.raises(ValueError, match="unknown model 'fooley'.*did you mean 'foley'"):
        AudioLM.from_pretrained("fooley")
    with pytest.raises(FileNotFoundError, match=r"config\.json is missing"):
        AudioLM.from_pretrained(tmp_path)
