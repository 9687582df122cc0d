"""A Linear module whose weights are quantized: they stay small in memory, and products read fewer bytes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor, nn

from ...core.errors import ModelError
from ...core.int8_storage import int8_rows
from .products import (
    GROUP,
    Bfloat16Product,
    Float32Product,
    Int4Product,
    Product,
    int4_groups,
    int8_product,
)

# How a module's matrix is kept, by the name of its precision.
KINDS = ("float32", "bf16", "int8", "int4")
# What runs on other devices, too.
_ANYWHERE: dict[str, Callable[[Tensor], Product]] = {"float32": Float32Product, "bf16": Bfloat16Product}


def fitting_kind(kind: str, inputs: int, outputs: int) -> str:
    """The precision of a matrix `[outputs, inputs]` where `kind` is wanted: int4 takes certain sizes only."""
    return "int8" if kind == "int4" and (inputs % GROUP or outputs % 16) else kind


def quantize_matrix(weight: Tensor, kind: str) -> tuple[Tensor, Tensor | None]:
    """Round a matrix `[O, I]` of any floating type; see `Bfloat16Product`, `int8_rows` and `int4_groups`.

    Returns:
        What is stored of it, and the scales that belong to that; None for floats.
    """
    if kind in _ANYWHERE:
        return weight.to(torch.float32 if kind == "float32" else torch.bfloat16), None
    return (int8_rows if kind == "int8" else int4_groups)(weight.float())


@dataclass
class RowProduct:
    """A quantized module's product on rows `[R, I]`, as forward and single steps take it.

    Attributes:
        product: the matrix.
        bias: float32 `[O]` or None.
        dtype: of the result; None: as the kernel gives it.
    """

    product: Product
    bias: Tensor | None
    dtype: torch.dtype | None

    def __call__(self, x: Tensor) -> Tensor:
        y = self.product(x)
        if self.bias is not None:
            y = y + self.bias
        return y if self.dtype is None else y.to(self.dtype)

    def add_to(self, skip: Tensor, x: Tensor) -> Tensor:
        """`skip` plus the module's output, in the type of `skip`."""
        y = skip + self.product(x)
        return y if self.bias is None else y + self.bias


class QuantizedLinear(nn.Module):
    """Takes the place of an `nn.Linear`; for inference only. It has no weights until `set_weight`.

    Args:
        inputs, outputs: I and O.
        bias: whether there is one; it is float32.
        kind: one of KINDS.
        dtype: of the result; None: as the kernel gives it, float32 or bfloat16.
    """

    weight: nn.Parameter
    bias: nn.Parameter | None

    def __init__(
        self, inputs: int, outputs: int, *, bias: bool, kind: str, dtype: torch.dtype | None = None
    ) -> None:
        super().__init__()
        self.in_features, self.out_features, self.kind, self.dtype = inputs, outputs, kind, dtype
        # Packed, as the kernel wants it: of any shape and type.
        self.weight = nn.Parameter(torch.empty(0, device="meta"), requires_grad=False)
        empty = nn.Parameter(torch.empty(outputs, device="meta"), requires_grad=False) if bias else None
        self.register_parameter("bias", empty)
        self._product: Product | None = None

    def set_weight(self, weight: Tensor, scale: Tensor | None) -> None:
        """Pack a matrix that `quantize_matrix` gave; errors as of its kernels for shapes that do not fit."""
        product: Product
        if self.kind in _ANYWHERE:
            product = _ANYWHERE[self.kind](weight)
        else:
            assert scale is not None
            product = (int8_product if self.kind == "int8" else Int4Product)(weight, scale)
        self._product, self.weight = product, nn.Parameter(product.weight, requires_grad=False)

    def rows(self) -> RowProduct:
        """The product, for rows."""
        assert self._product is not None
        return RowProduct(self._product, None if self.bias is None else self.bias.detach(), self.dtype)

    def forward(self, x: Tensor) -> Tensor:
        """`[..., I]` -> `[..., O]`."""
        flat = x.reshape(-1, self.in_features).contiguous()
        return self.rows()(flat).view(*x.shape[:-1], self.out_features)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Follow the model to another device where the kernel can; types stay.

        Raises:
            ModelError: it cannot.
        """
        device = fn(torch.empty(0)).device
        if device.type != "cpu" and self.kind not in _ANYWHERE:
            raise ModelError(
                f"{self.kind} weights run on the CPU only, not on {device}; load the model with "
                "quantization='bf16' or None there"
            )
        if self.kind in _ANYWHERE and self._product is not None:
            self.set_weight(self.weight.detach().to(device), None)
        if self.bias is not None:
            self.bias = nn.Parameter(self.bias.detach().to(device), requires_grad=False)
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Copies share the weights, which never change and, packed, can't be copied."""
        copy = type(self)(
            self.in_features, self.out_features, bias=self.bias is not None, kind=self.kind, dtype=self.dtype
        )
        copy._product, copy.weight, copy.bias = self._product, self.weight, self.bias
        return copy.train(self.training)

    def extra_repr(self) -> str:
        return f"{self.in_features}, {self.out_features}, bias={self.bias is not None}, kind={self.kind}"
