"""One decoding step of a transformer, written out: `Transformer.forward` for a single new position.

A small model's step is 26 MB of weights and 300 operators of a few microseconds. Modules, their hooks and
attribute look-ups, reshapes and separate sums took as long as reading the weights; here a step is the same
products on matrices `[B, d]`, skips summed within them. The results are those of `Transformer.forward` up to
rounding. One step can serve several decodings at once, each at its own position: see shared_step.py.

Letters: B rows, d width, H heads, L positions of the condition, P steps before this one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .adapted_linear import AdaptedLinear
from .quantized_linear import QuantizedLinear
from .transformer import Condition, KVCache, Transformer, TransformerLayer

# In place, which torch.nn.functional has no name for.
gelu_ = torch._C._nn.gelu_  # type: ignore[attr-defined]


class Projection(Protocol):
    """A linear layer of a step on rows `[B, in]`, in whatever precision its weights are."""

    def __call__(self, x: Tensor) -> Tensor:
        """`[B, in]` -> `[B, out]`."""

    def add_to(self, skip: Tensor, x: Tensor) -> Tensor:
        """`skip` plus the layer's output; `skip` may be overwritten with it."""


@dataclass
class _Linear:
    """A Linear module's weights, as products take them."""

    matrix: Tensor  # [in, out], a view
    bias: Tensor | None

    def __call__(self, x: Tensor) -> Tensor:
        return torch.mm(x, self.matrix) if self.bias is None else torch.addmm(self.bias, x, self.matrix)

    def add_to(self, skip: Tensor, x: Tensor) -> Tensor:
        return (skip if self.bias is None else skip.add_(self.bias)).addmm_(x, self.matrix)


@dataclass
class _Adapted:
    """A projection with LoRA adapters beside it."""

    inner: Projection
    down: Tensor  # [in, R], a view
    up: Tensor  # [R, out], a view

    def __call__(self, x: Tensor) -> Tensor:
        return self._with(self.inner(x), x)

    def add_to(self, skip: Tensor, x: Tensor) -> Tensor:
        return self._with(self.inner.add_to(skip, x), x)

    def _with(self, y: Tensor, x: Tensor) -> Tensor:
        inner = torch.mm(x.to(self.down.dtype), self.down)
        if y.dtype == self.down.dtype:
            return torch.addmm(y, inner, self.up)
        return y + torch.mm(inner, self.up).to(y.dtype)


@dataclass
class _Module:
    """A projection that is no plain Linear module (LoRA in training)."""

    module: nn.Module

    def __call__(self, x: Tensor) -> Tensor:
        y: Tensor = self.module(x)
        return y

    def add_to(self, skip: Tensor, x: Tensor) -> Tensor:
        return skip + self(x)


@dataclass
class _Norm:
    """A LayerNorm module's weights."""

    shape: tuple[int, ...]
    weight: Tensor
    bias: Tensor
    eps: float

    def __call__(self, x: Tensor) -> Tensor:
        return torch.layer_norm(x, self.shape, self.weight, self.bias, self.eps, False)


@dataclass
class _Layer:
    """What a step needs of a TransformerLayer."""

    norm1: _Norm
    in_proj: Projection
    out_proj: Projection
    norm_cross: _Norm
    query: Projection
    cross_out_proj: Projection
    norm2: _Norm
    linear1: Projection
    linear2: Projection


class StepMemory(Protocol):
    """What the rows of a step read: their positions, the steps before, their condition."""

    def begin(self, x: Tensor) -> Tensor:
        """Rows `[B, d]` at their positions.

        Raises:
            ValueError: there is no room for another step.
        """

    def attend(self, layer: int, packed: Tensor) -> Tensor:
        """Self attention: query, key and value of this step `[B, 3 d]` -> `[B, d]`; keeps key and value."""

    def attend_condition(self, layer: int, query: Tensor) -> Tensor:
        """Cross attention to the text: `[B, d]` -> `[B, d]`."""

    def end(self) -> None:
        """The step is done."""


class DecodingMemory:
    """The memory of one decoding, all rows at the same position: its condition and its cache.

    Args:
        condition: of B rows.
        cache: for B rows.
        num_heads: H.
    """

    def __init__(self, condition: Condition, cache: KVCache, num_heads: int) -> None:
        self.condition, self.cache, self.num_heads = condition, cache, num_heads
        whole = cache.whole.detach()  # [layers, B, steps, 2, H, d/H]
        self._positions = cache.positions.unbind(0)
        # A step as one vector of every layer and row: [layers, B, 2 d] each.
        self._steps = whole.flatten(3).unbind(2)
        # Keys and values, each [layers, B, H, steps, d/H]: they see what is written.
        self._past = whole.permute(3, 0, 1, 4, 2, 5).unbind(0)
        self._slots: Sequence[Tensor] = ()
        self._keys: Sequence[Tensor] = ()
        self._values: Sequence[Tensor] = ()

    def begin(self, x: Tensor) -> Tensor:
        cache = self.cache
        cache.check_room(1)
        # What every layer will write to and read from.
        self._slots = self._steps[cache.steps].unbind(0)  # each [B, 2 d]
        seen = [past.narrow(3, 0, cache.steps + 1) for past in self._past]
        self._keys, self._values = (part.unbind(0) for part in seen)  # each [B, H, P + 1, d/H]
        return x + self._positions[cache.steps]

    def attend(self, layer: int, packed: Tensor) -> Tensor:
        rows, dim = len(packed), packed.shape[1] // 3
        query, keys_values = packed.split((dim, 2 * dim), 1)
        # This step's keys and values go to the cache, its query looks at all of them.
        self._slots[layer].copy_(keys_values)
        query = query.view(rows, self.num_heads, 1, dim // self.num_heads)
        y = F.scaled_dot_product_attention(query, self._keys[layer], self._values[layer])
        return y.view(rows, dim)

    def attend_condition(self, layer: int, query: Tensor) -> Tensor:
        rows, dim = query.shape
        condition = self.condition
        heads = query.view(rows, self.num_heads, 1, dim // self.num_heads)  # [B, H, 1, d/H]
        keys, values = condition.keys[layer], condition.values[layer]
        return F.scaled_dot_product_attention(heads, keys, values, attn_mask=condition.mask).view(rows, dim)

    def end(self) -> None:
        self.cache.steps += 1

    def close(self) -> None:
        """Let go of the cache's memory."""
        self._positions = self._steps = self._past = self._slots = self._keys = self._values = ()


class TransformerStep:
    """Runs single steps of a transformer; made by `TransformerStep.of`.

    Weights are shared with the transformer. It keeps no gradients.
    """

    def __init__(self, layers: list[_Layer], out_norm: _Norm) -> None:
        self.layers, self.out_norm = layers, out_norm

    @classmethod
    def plain(cls, transformer: Transformer) -> Self | None:
        """The step of a transformer; None where `Transformer.forward` has to run it.

        That is on other devices, where attention has kernels of its own, in training, and when a projection
        is neither a plain Linear module nor a quantized one, with or without adapters (LoRA in training).
        """
        modules = [module for layer in transformer.layers for module in _projections(layer)]
        plain = all(type(module) in (nn.Linear, QuantizedLinear, AdaptedLinear) for module in modules)
        if not plain or transformer.training or transformer.out_norm.weight.device.type != "cpu":
            return None
        return cls.of(transformer)

    @classmethod
    def of(cls, transformer: Transformer) -> Self:
        """The step of any transformer, on any device; projections that are no Linear run as modules."""
        layers = []
        for module in transformer.layers:
            assert isinstance(module, TransformerLayer)
            norms = [_norm(norm) for norm in (module.norm1, module.norm_cross, module.norm2)]
            in_proj, out_proj, query, cross_out, linear1, linear2 = map(projection, _projections(module))
            layers.append(
                _Layer(
                    norm1=norms[0],
                    in_proj=in_proj,
                    out_proj=out_proj,
                    norm_cross=norms[1],
                    query=query,
                    cross_out_proj=cross_out,
                    norm2=norms[2],
                    linear1=linear1,
                    linear2=linear2,
                )
            )
        return cls(layers, _norm(transformer.out_norm))

    def __call__(self, x: Tensor, memory: StepMemory) -> Tensor:
        """Run the step `[B, d]` -> `[B, d]` that follows those in the memory, which grows by it.

        Raises:
            ValueError: the memory is full.
        """
        x = memory.begin(x)
        for index, layer in enumerate(self.layers):
            # Self attention.
            packed = layer.in_proj(layer.norm1(x))  # [B, 3 d]: query, key, value
            x = layer.out_proj.add_to(x, memory.attend(index, packed))
            # Cross attention to the text.
            query = layer.query(layer.norm_cross(x))
            x = layer.cross_out_proj.add_to(x, memory.attend_condition(index, query))
            # Feed-forward.
            hidden = layer.linear1(layer.norm2(x))
            gelu_(hidden.t())  # for contiguous values torch calls oneDNN, which takes longer to begin
            x = layer.linear2.add_to(x, hidden)
        memory.end()
        return self.out_norm(x)


def _projections(layer: nn.Module) -> list[nn.Module]:
    """The projections of a layer that a step needs, in the order in which it needs them."""
    assert isinstance(layer, TransformerLayer)
    attention, cross = layer.self_attention, layer.cross_attention
    return [attention.in_proj, attention.out_proj, cross.query, cross.out_proj, layer.linear1, layer.linear2]


def projection(module: nn.Module) -> Projection:
    """A linear layer as a step runs it."""
    if isinstance(module, AdaptedLinear):
        down, up = module.lora_down.detach().t(), module.lora_up.detach().t()
        return _Adapted(projection(module.base), down, up)
    if isinstance(module, QuantizedLinear):
        return module.rows()
    if type(module) is not nn.Linear:
        return _Module(module)
    return _Linear(module.weight.detach().t(), None if module.bias is None else module.bias.detach())


def _norm(module: nn.LayerNorm) -> _Norm:
    return _Norm(tuple(module.normalized_shape), module.weight.detach(), module.bias.detach(), module.eps)
