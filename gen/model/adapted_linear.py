"""A linear layer with the low-rank parts of LoRA adapters beside it, at the strengths that were chosen.

The adapters of a layer are one pair of small matrices, however many there are: their A below each other,
their B, times alpha / rank and strength, beside each other. The layer itself stays as it is, in whatever
precision, so strengths change at no cost, quantized layers take adapters too, and without any the model is
what it was.

Letters: R ranks of all adapters together, I inputs, O outputs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

from .quantized_linear import QuantizedLinear

# Of one layer, an adapter's matrices and the factor of their product: A `[r, I]`, B `[O, r]`.
LowRank = tuple[Tensor, Tensor, float]


class AdaptedLinear(nn.Module):
    """Takes the place of a Linear or quantized module; for inference only.

    Args:
        base: the module, which is used as it is.
        parts: of each adapter.
    """

    def __init__(self, base: nn.Module, parts: Sequence[LowRank]) -> None:
        super().__init__()
        assert isinstance(base, nn.Linear | QuantizedLinear)
        self.base, self.in_features, self.out_features = base, base.in_features, base.out_features
        # Quantized layers round what comes in, so there not even the last digit may depend on other rows.
        dtype = torch.float64 if isinstance(base, QuantizedLinear) else base.weight.dtype
        device = base.weight.device
        down = torch.cat([a.float() for a, _, _ in parts])  # [R, I]
        up = torch.cat([factor * b.float() for _, b, factor in parts], dim=1)  # [O, R]
        self.lora_down = nn.Parameter(down.to(device, dtype), requires_grad=False)
        self.lora_up = nn.Parameter(up.to(device, dtype), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        """`[..., I]` -> `[..., O]`."""
        y: Tensor = self.base(x)
        return y + self.added(x).to(y.dtype)

    def added(self, x: Tensor) -> Tensor:
        """What the adapters add: `[..., I]` -> `[..., O]`, in their own type."""
        return x.to(self.lora_down.dtype) @ self.lora_down.t() @ self.lora_up.t()


def set_adapters(model: nn.Module, layers: Mapping[str, Sequence[LowRank]]) -> None:
    """Give a model these adapters, by the dotted names of its layers, in place of those that it has."""
    remove_adapters(model)
    for name, parts in layers.items():
        _replace(model, name, AdaptedLinear(model.get_submodule(name), parts))


def remove_adapters(model: nn.Module) -> None:
    """Give a model its own layers back."""
    for name, layer in list(adapted_layers(model)):
        _replace(model, name, layer.base)


def adapted_layers(model: nn.Module) -> Iterator[tuple[str, AdaptedLinear]]:
    """Dotted names and modules of the layers with adapters."""
    for name, module in model.named_modules():
        if isinstance(module, AdaptedLinear):
            yield name, module


def _replace(model: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, child = name.rpartition(".")
    setattr(model.get_submodule(parent), child, module)
