"""A step written out is the transformer's own step, and is left to it where it has to be."""

from __future__ import annotations

import pytest
import torch

from soundloom.gen.model.lm import AudioLM
from soundloom.gen.model.lora import LoRASettings, add_lora
from soundloom.gen.model.step import TransformerStep


def make(bias: bool = False) -> AudioLM:
    torch.manual_seed(0)
    lm = AudioLM(
        num_codebooks=2,
        codebook_size=16,
        dim=32,
        num_layers=3,
        num_heads=4,
        text_dim=8,
        bias_attention=bias,
        bias_ffn=bias,
        bias_heads=bias,
    )
    for parameter in lm.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return lm.eval()


@torch.inference_mode()
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("rows", [1, 2, 5])
@pytest.mark.parametrize("known", [1, 4])
def test_it_is_the_transformers_own_step(bias: bool, rows: int, known: int) -> None:
    lm = make(bias)
    states, mask = torch.randn(rows, 6, 8), torch.rand(rows, 6) < 0.7
    mask[0] = False  # a row without a text
    tokens = torch.randint(0, 17, (rows, 2, 9))
    fast, slow = (lm.start(states, mask, 9) for _ in range(2))
    assert fast.single is not None
    slow.single = None
    for _ in range(2):  # the second round runs on a cache that is full of old values
        for part in tokens.split([known, *[1] * (9 - known)], dim=-1):
            torch.testing.assert_close(lm.step(part, fast), lm.step(part, slow), rtol=1e-5, atol=2e-5)
            assert fast.cache.steps == slow.cache.steps
        fast.reset()
        slow.reset()


@torch.inference_mode()
def test_a_full_cache_says_so() -> None:
    lm = make()
    state = lm.start(torch.randn(1, 2, 8), None, 1)
    lm.step(torch.zeros(1, 2, 1, dtype=torch.long), state)
    with pytest.raises(ValueError, match="1 of 1 steps, 1 more do not fit"):
        lm.step(torch.zeros(1, 2, 1, dtype=torch.long), state)


@torch.no_grad()
def test_what_is_no_plain_linear_layer_is_run_by_its_module() -> None:
    lm = make()
    plain = lm.start(torch.randn(1, 2, 8), None, 4)
    assert isinstance(plain.single, TransformerStep)
    add_lora(lm, LoRASettings(rank=2, targets=["linear1"]))
    assert lm.start(torch.randn(1, 2, 8), None, 4).single is None
    assert make().train().start(torch.randn(1, 2, 8), None, 4).single is None


@torch.no_grad()
def test_weights_that_change_in_place_are_used() -> None:
    """As averaged weights are swapped in: the step reads the parameters' own memory."""
    lm = make()
    state = lm.start(torch.randn(1, 2, 8), None, 4)
    token = torch.zeros(1, 2, 1, dtype=torch.long)
    before = lm.step(token, state)
    lm.transformer.layers[1].linear1.weight.mul_(2)
    state.reset()
    changed = lm.step(token, state)
    state.reset()
    state.single = None
    assert not torch.allclose(before, changed, atol=1e-3)
    torch.testing.assert_close(changed, lm.step(token, state), rtol=1e-5, atol=2e-5)


def test_gradients_reach_the_weights_where_they_are_wanted() -> None:
    lm = make()
    state = lm.start(torch.randn(1, 2, 8), None, 4)
    lm.step(torch.zeros(1, 2, 1, dtype=torch.long), state).sum().backward()
    assert lm.heads.weight.grad is not None
    assert lm.transformer.layers[0].linear1.weight.grad is not None
