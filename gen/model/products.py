"""Products of activations with quantized matrices on a CPU, by torch's own kernels.

A step of a large model reads every weight once and does little else, so fewer bytes are a faster step. Each
class here holds one matrix, packed as its kernel wants it, and multiplies rows of activations with it. Of two
or more rows, the result of one does not depend on the others.

Letters: R rows, I inputs, O outputs of a matrix `[O, I]`, G inputs that share a scale.
"""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor

from ...core.errors import ModelError
from ...core.int8_storage import LEVELS
from ...core.processor import has_vnni

GROUP = 32  # G of int4
_ZERO = 128  # the byte that stands for 0 in int8 activations
# Weights from which rounding the activations, too, costs less than it saves (measured: about 500,000).
_DYNAMIC_SIZE = 1 << 20


class Product(Protocol):
    """One matrix and its kernel.

    Attributes:
        weight: as the kernel wants it.
    """

    weight: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """`[R, I]`, contiguous, of any floating type -> `[R, O]`, in the type that the kernel gives."""


class Float32Product:
    """float32 weights; on CPUs summed in float64, so that not even the last digit depends on the other rows.

    For what runs once a prompt: later products round to so few digits that the last one of float32 can show.

    Args:
        weight: float32 `[O, I]`.
    """

    def __init__(self, weight: Tensor) -> None:
        self.weight = weight

    def __call__(self, x: Tensor) -> Tensor:
        if x.device.type != "cpu":
            return torch.mm(x.float(), self.weight.t())
        return torch.mm(x.double(), self.weight.double().t()).float()


class Bfloat16Product:
    """bfloat16 weights and activations, on every device.

    Args:
        weight: bfloat16 `[O, I]`.
    """

    def __init__(self, weight: Tensor) -> None:
        self.weight = weight

    def __call__(self, x: Tensor) -> Tensor:
        return torch.mm(x.to(torch.bfloat16), self.weight.t())


class Int8Product:
    """int8 weights, activations rounded to 8 bits row by row; the sums are exact 32-bit integers.

    Args:
        weight: int8 `[O, I]`.
        scale: float32 `[O]`.
    """

    def __init__(self, weight: Tensor, scale: Tensor) -> None:
        self.weight, self.scale = torch.ops.onednn.qlinear_prepack(weight, None), scale
        self._zero = torch.tensor(float(_ZERO))
        zeros = torch.zeros(len(scale), dtype=torch.int32)
        # Scale and zero point of x; the weights', no bias; unit scale, no zero point, no activation. The
        # scale of x follows later: kernels for few and for many rows multiply two in another order (AMX).
        self._arguments: tuple[Any, ...] = (1.0, _ZERO, self.weight, scale, zeros, None)
        self._arguments += (1.0, 0, torch.float32, "none", [], "")

    def __call__(self, x: Tensor) -> Tensor:
        x = x.float()
        largest = x.abs().amax(-1, keepdim=True).clamp_min_(1e-12)  # [R, 1]
        levels = torch.addcmul(self._zero, x, LEVELS / largest).round_().to(torch.uint8)
        return torch.ops.onednn.qlinear_pointwise.default(levels, *self._arguments).mul_(largest / LEVELS)


class Int8WeightProduct:
    """int8 weights, bfloat16 activations: less work around the product, for small matrices and older CPUs.

    Args:
        weight: int8 `[O, I]`, I a multiple of 16.
        scale: float32 `[O]`.
    """

    def __init__(self, weight: Tensor, scale: Tensor) -> None:
        self.weight, self.scale = weight, scale
        # The kernel would take scales in bfloat16 only.
        self._unit = torch.ones(len(scale), dtype=torch.bfloat16)

    def __call__(self, x: Tensor) -> Tensor:
        return torch._weight_int8pack_mm(x.to(torch.bfloat16), self.weight, self._unit) * self.scale


class Int4Product:
    """4-bit weights, a scale and an offset for every G inputs of an output; bfloat16 activations.

    Args:
        weight: uint8 `[O, I / 2]`, as `pack_nibbles` gives it; O a multiple of 16, I one of G.
        scale: bfloat16 `[I / G, O, 2]`: scale, and value of level 8.
    """

    def __init__(self, weight: Tensor, scale: Tensor) -> None:
        self.weight = torch.ops.aten._convert_weight_to_int4pack_for_cpu(unpack_nibbles(weight).int(), 1)
        self.scale = scale.contiguous()

    def __call__(self, x: Tensor) -> Tensor:
        return torch.ops.aten._weight_int4pack_mm_for_cpu.default(
            x.to(torch.bfloat16), self.weight, GROUP, self.scale
        )


def int8_product(weight: Tensor, scale: Tensor) -> Product:
    """The kernel for an int8 matrix `[O, I]` with scales `[O]`: its size and the kind of CPU decide."""
    able = torch.backends.mkldnn.is_available() and torch.cpu.get_capabilities()["architecture"] == "x86_64"
    able = able and has_vnni()
    narrow = weight.shape[1] % 16 != 0
    if able and (narrow or weight.numel() >= _DYNAMIC_SIZE):
        return Int8Product(weight, scale)
    if narrow:
        return Bfloat16Product((weight * scale[:, None]).to(torch.bfloat16))
    return Int8WeightProduct(weight, scale)


def check_kernels(scheme: str) -> None:
    """Try the kernels of a scheme on a small matrix.

    Raises:
        ModelError: this build of torch lacks one.
    """
    try:
        x, scale = torch.ones(1, GROUP), torch.ones(16)
        if scheme == "int8":
            weight = torch.ones(16, GROUP, dtype=torch.int8)
            int8_product(weight, scale)(x)
            Int8WeightProduct(weight, scale)(x)
        elif scheme == "int4":
            weight = torch.zeros(16, GROUP // 2, dtype=torch.uint8)
            Int4Product(weight, torch.ones(1, 16, 2, dtype=torch.bfloat16))(x)
    except (RuntimeError, AttributeError) as error:
        raise ModelError(
            f"torch {torch.__version__} has no {scheme} kernels for this processor; use quantization='bf16', "
            "or None for float32"
        ) from error


def int4_groups(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Round float32 rows `[O, I]` to 16 levels between the ends of each group: see `Int4Product`."""
    groups = rows.unflatten(1, (-1, GROUP))  # [O, I / G, G]
    low, high = groups.amin(-1, keepdim=True), groups.amax(-1, keepdim=True)
    # As the kernel reads them, so that the levels are rounded for what they will stand for.
    scale = ((high - low) / 15).to(torch.bfloat16).float()
    offset = (low + 8 * scale).to(torch.bfloat16).float()
    levels = torch.round((groups - offset) / torch.where(scale > 0, scale, 1.0)) + 8
    levels = levels.clamp_(0, 15).to(torch.uint8).flatten(1)  # [O, I]
    both = torch.cat([scale, offset], dim=-1).transpose(0, 1)  # [I / G, O, 2]
    return pack_nibbles(levels), both.to(torch.bfloat16).contiguous()


def pack_nibbles(levels: Tensor) -> Tensor:
    """Two of `[O, I]` in each byte, the first in the low half: uint8 `[O, I / 2]`."""
    return levels[:, 0::2] | (levels[:, 1::2] << 4)


def unpack_nibbles(packed: Tensor) -> Tensor:
    """Undo `pack_nibbles`: uint8 `[O, I]`."""
    return torch.stack([packed & 15, packed >> 4], dim=-1).flatten(1)


def int4_values(packed: Tensor, scale: Tensor) -> Tensor:
    """What int4 weights stand for: float32 `[O, I]`."""
    levels = unpack_nibbles(packed).float().unflatten(1, (-1, GROUP))  # [O, I / G, G]
    scale, offset = scale.float().transpose(0, 1)[..., None].unbind(2)  # each [O, I / G, 1]
    return ((levels - 8) * scale + offset).flatten(1)
