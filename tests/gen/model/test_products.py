"""Products with quantized matrices: near the float product, the same in any batch, kernels that lack."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from soundloom.core.errors import ModelError
from soundloom.core.int8_storage import int8_rows
from soundloom.gen.model import products
from soundloom.gen.model.products import (
    Bfloat16Product,
    Float32Product,
    Int4Product,
    Int8Product,
    Int8WeightProduct,
    Product,
    check_kernels,
    int4_groups,
    int4_values,
    int8_product,
    pack_nibbles,
    unpack_nibbles,
)


def matrix(outputs: int, inputs: int, seed: int = 0) -> Tensor:
    return torch.randn(outputs, inputs, generator=torch.Generator().manual_seed(seed)) * inputs**-0.5


def built(kind: type[Any], weight: Tensor) -> Product:
    if kind is Int4Product:
        return Int4Product(*int4_groups(weight))
    if kind in (Int8Product, Int8WeightProduct):
        return kind(*int8_rows(weight))
    return kind(weight.to(torch.bfloat16 if kind is Bfloat16Product else torch.float32))


KINDS = {Float32Product: 1e-6, Bfloat16Product: 0.01, Int8Product: 0.015, Int8WeightProduct: 0.015}
KINDS[Int4Product] = 0.12


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_it_is_the_product_up_to_the_rounding_of_the_kind(kind: type[Any], dtype: torch.dtype) -> None:
    weight = matrix(48, 64)
    x = torch.randn(7, 64, generator=torch.Generator().manual_seed(1)).to(dtype)
    expected = x.float() @ weight.t()
    found = built(kind, weight)(x)
    assert found.shape == expected.shape
    error = (found.float() - expected).square().mean().sqrt() / expected.square().mean().sqrt()
    assert error < KINDS[kind]
    assert (error > KINDS[kind] / 100) or kind is Float32Product  # it is rounded, and not float32 in disguise


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_does_not_depend_on_the_rows_beside_it(kind: type[Any]) -> None:
    product, x = built(kind, matrix(96, 64)), torch.randn(33, 64) * torch.logspace(-3, 3, 33)[:, None]
    whole = product(x)
    for rows in (2, 3, 8, 17):
        assert torch.equal(product(x[:rows]), whole[:rows])


def test_integer_sums_are_exact() -> None:
    levels = torch.randint(-127, 128, (48, 40), dtype=torch.int8)
    x = torch.randint(-127, 128, (3, 40)).float()
    x[:, 0] = 127.0  # so that a level stands for 1
    found = Int8Product(levels, torch.ones(48))(x)
    assert torch.equal(found.round().long(), x.long() @ levels.long().t())


def test_rows_of_zeros_give_zeros() -> None:
    for kind in KINDS:
        assert torch.equal(built(kind, matrix(16, 32))(torch.zeros(2, 32)).float(), torch.zeros(2, 16))
    for kind in (Int8Product, Int8WeightProduct, Int4Product):
        assert torch.equal(built(kind, torch.zeros(16, 32))(torch.ones(2, 32)).float(), torch.zeros(2, 16))


@given(st.integers(1, 3), st.integers(1, 4), st.integers(0, 99), st.floats(1e-3, 1e3), st.floats(-10, 10))
def test_groups_are_at_most_half_a_step_away(
    blocks: int, groups: int, seed: int, size: float, shift: float
) -> None:
    rows = matrix(16 * blocks, 32 * groups, seed) * size + shift * size
    packed, scale = int4_groups(rows)
    assert packed.shape == (16 * blocks, 16 * groups)
    assert scale.shape == (groups, 16 * blocks, 2)
    steps = scale[..., 0].float().t().repeat_interleave(32, dim=1)
    # Half a step, and what bfloat16 takes off the ends of a group: 2^-8 of them, or of 8 steps.
    slack = 2**-8 * (rows.abs() + 16 * steps)
    assert bool(((int4_values(packed, scale) - rows).abs() <= 0.5 * steps + slack).all())
    assert torch.equal(pack_nibbles(unpack_nibbles(packed)), packed)


@given(st.integers(1, 40), st.integers(1, 50))
def test_int8_takes_every_size(outputs: int, inputs: int) -> None:
    weight, x = matrix(outputs, inputs), torch.randn(2, inputs, generator=torch.Generator().manual_seed(2))
    found, expected = int8_product(*int8_rows(weight))(x).float(), x @ weight.t()
    torch.testing.assert_close(found, expected, atol=0.05, rtol=0.05)


def test_older_processors_round_the_weights_only(monkeypatch: pytest.MonkeyPatch) -> None:
    large = torch.zeros(1024, 1024, dtype=torch.int8), torch.ones(1024)
    monkeypatch.setattr(products, "has_vnni", lambda: False)
    assert isinstance(int8_product(*large), Int8WeightProduct)
    assert isinstance(int8_product(*int8_rows(matrix(8, 20))), Bfloat16Product)


@pytest.mark.parametrize(
    ("scheme", "kernel"), [("int8", "_weight_int8pack_mm"), ("int4", "_convert_weight_to_int4pack_for_cpu")]
)
def test_a_missing_kernel_is_named(scheme: str, kernel: str, monkeypatch: pytest.MonkeyPatch) -> None:
    check_kernels(scheme)

    def lacking(*arguments: Any) -> Tensor:
        raise NotImplementedError(f"Could not run 'aten::{kernel}'")

    owner = torch if scheme == "int8" else torch.ops.aten
    monkeypatch.setattr(owner, kernel, lacking)
    with pytest.raises(ModelError, match=f"no {scheme} kernels for this processor; use quantization='bf16'"):
        check_kernels(scheme)
