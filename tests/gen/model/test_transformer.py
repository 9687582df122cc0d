"""The transformer: causality, cache, cross attention masks, positions, initialisation."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from soundloom.gen.model.transformer import Transformer, sinusoidal_positions

DIM, HEADS, LAYERS = 32, 4, 3


def make(bias: bool = False, dropout: float = 0.0) -> Transformer:
    torch.manual_seed(0)
    model = Transformer(
        dim=DIM,
        num_layers=LAYERS,
        num_heads=HEADS,
        ffn_dim=64,
        dropout=dropout,
        bias_attention=bias,
        bias_ffn=bias,
    )
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return model.eval()


@pytest.fixture
def inputs() -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(1)
    mask = torch.tensor([[True] * 5, [True] * 3 + [False] * 2])
    return torch.randn(2, 9, DIM), torch.randn(2, 5, DIM) * mask.unsqueeze(-1), mask


@torch.no_grad()
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("chunks", [[1] * 9, [4, 5], [1, 3, 1, 4], [9]])
def test_cached_equals_uncached(inputs: tuple[Tensor, Tensor, Tensor], chunks: list[int], bias: bool) -> None:
    x, states, mask = inputs
    model = make(bias)
    condition = model.condition(states, mask)
    whole = model(x, condition)
    cache = model.new_cache(2, 9)
    for _ in range(2):  # the second round runs on a cache that is full of old values
        parts = [model(part, condition, cache) for part in x.split(chunks, dim=1)]
        torch.testing.assert_close(torch.cat(parts, dim=1), whole, rtol=1e-5, atol=1e-5)
        cache.reset()


@torch.no_grad()
def test_future_does_not_change_the_past(inputs: tuple[Tensor, Tensor, Tensor]) -> None:
    x, states, mask = inputs
    model = make()
    condition = model.condition(states, mask)
    before = model(x, condition)
    changed = x.clone()
    changed[:, 5:] = torch.randn(2, 4, DIM)
    after = model(changed, condition)
    assert torch.equal(before[:, :5], after[:, :5])
    assert not torch.allclose(before[:, 5:], after[:, 5:])


@torch.no_grad()
def test_masked_padding_does_nothing_and_open_padding_does(inputs: tuple[Tensor, Tensor, Tensor]) -> None:
    x, states, mask = inputs
    model = make()
    alone = model(x[1:], model.condition(states[1:, :3], None))
    masked = model(x, model.condition(states, mask))
    torch.testing.assert_close(masked[1:], alone, rtol=1e-5, atol=1e-5)
    attended = model(x, model.condition(states, None))
    assert not torch.allclose(attended[1:], alone, atol=1e-3)


@torch.no_grad()
@pytest.mark.parametrize("bias", [False, True])
def test_a_row_without_condition_equals_an_all_zero_one_of_any_length(
    inputs: tuple[Tensor, Tensor, Tensor], bias: bool
) -> None:
    x, _, _ = inputs
    model = make(bias)
    empty = model(x, model.condition(torch.zeros(2, 5, DIM), torch.zeros(2, 5, dtype=torch.bool)))
    zero = model(x, model.condition(torch.zeros(2, 1, DIM), None))
    assert bool(torch.isfinite(empty).all())
    torch.testing.assert_close(empty, zero, rtol=1e-5, atol=1e-5)


def plain_attention(x: Tensor, memory: Tensor, weights: tuple[Tensor, ...], causal: bool) -> Tensor:
    """Attention written out head by head, step by step."""
    query, key, value, out = weights
    size = DIM // HEADS
    q, k, v = x @ query.T, memory @ key.T, memory @ value.T
    result = torch.zeros_like(x)
    for head in range(HEADS):
        part = slice(head * size, (head + 1) * size)
        for step in range(len(x)):
            end = step + 1 if causal else len(memory)
            scores = torch.stack([q[step, part] @ k[j, part] for j in range(end)]) / math.sqrt(size)
            result[step, part] = scores.softmax(0) @ v[:end, part]
    return result @ out.T


@torch.no_grad()
def test_a_layer_equals_its_formula(inputs: tuple[Tensor, Tensor, Tensor]) -> None:
    x, states, _ = inputs
    model = make()
    layer = model.layers[0]
    condition = model.condition(states[:1], None)
    found = layer(x[:1], 0, condition)[0]
    packed = layer.self_attention.in_proj.weight.chunk(3)
    cross = (layer.cross_attention.query.weight, *layer.cross_attention.key_value.weight.chunk(2))
    norm: Callable[[Tensor], Tensor] = layer.norm1
    y = x[0]
    y = y + plain_attention(norm(y), norm(y), (*packed, layer.self_attention.out_proj.weight), True)
    y = y + plain_attention(
        layer.norm_cross(y), states[0], (*cross, layer.cross_attention.out_proj.weight), False
    )
    hidden = layer.norm2(y) @ layer.linear1.weight.T
    y = y + (0.5 * hidden * (1 + torch.erf(hidden / math.sqrt(2)))) @ layer.linear2.weight.T
    torch.testing.assert_close(found, y, rtol=1e-4, atol=1e-4)


def test_positions_are_cosines_then_sines_with_the_reference_exponent() -> None:
    found = sinusoidal_positions(5, 8, dtype=torch.float32, device=torch.device("cpu"))
    for step in range(5):
        phases = [step / 10000 ** (i / 3) for i in range(4)]
        expected = [math.cos(p) for p in phases] + [math.sin(p) for p in phases]
        assert found[step].tolist() == pytest.approx(expected, abs=1e-6)


def test_a_full_cache_says_so(inputs: tuple[Tensor, Tensor, Tensor]) -> None:
    x, states, mask = inputs
    model = make()
    cache = model.new_cache(2, 8)
    with pytest.raises(ValueError, match="0 of 8 steps, 9 more do not fit"):
        model(x, model.condition(states, mask), cache)
    cache.close()
    with pytest.raises(ValueError, match="0 of 0 steps"):
        model(x[:, :1], model.condition(states, mask), cache)


def test_initialisation_is_the_papers() -> None:
    torch.manual_seed(0)
    model = Transformer(dim=256, num_layers=2, num_heads=4, ffn_dim=1024)
    model.reset_parameters()
    for index, layer in enumerate(model.layers):
        for linear in (layer.linear1, layer.linear2, layer.cross_attention.out_proj):
            std = 1 / math.sqrt(linear.in_features * 2 * (index + 1))
            # A normal cut at three sigma keeps 98.7 % of its deviation.
            assert linear.weight.std().item() == pytest.approx(0.987 * std, rel=0.02)
            assert linear.weight.abs().max().item() <= 3 * std
        bound = 1 / math.sqrt(256)
        assert layer.self_attention.in_proj.weight.abs().max().item() == pytest.approx(bound, rel=0.01)


def test_dropout_acts_in_training_only(inputs: tuple[Tensor, Tensor, Tensor]) -> None:
    x, states, mask = inputs
    model = make(dropout=0.5)
    condition = model.condition(states, mask)
    assert torch.equal(model(x, condition), model(x, condition))
    model.train()
    assert not torch.equal(model(x, condition), model(x, condition))


def test_attention_in_bfloat16_is_computed_in_float32_where_there_is_a_gradient(
    inputs: tuple[Tensor, Tensor, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    x, states, mask = inputs
    model, seen = make(), []
    original = torch.nn.functional.scaled_dot_product_attention

    def watched(query: Tensor, *args: Tensor, **settings: object) -> Tensor:
        seen.append(query.dtype)
        return original(query, *args, **settings)  # type: ignore[arg-type]

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", watched)
    with torch.no_grad():
        expected = model(x, model.condition(states, mask))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            model(x, model.condition(states, mask))
    assert set(seen[2 * LAYERS :]) == {torch.bfloat16}
    seen.clear()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = model(x, model.condition(states, mask))
    assert set(seen) == {torch.float32}
    found.float().sum().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in model.parameters())
    assert (found.float() - expected).norm() < 0.05 * expected.norm()
    half = make().bfloat16()  # its mask is bfloat16, too
    half(x.bfloat16(), half.condition(states.bfloat16(), mask)).float().sum().backward()


def test_impossible_sizes_are_named() -> None:
    with pytest.raises(ValueError, match=r"dim is 30.*num_heads \(4\)"):
        Transformer(dim=30, num_layers=1, num_heads=4, ffn_dim=8)
