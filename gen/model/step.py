"""One decoding step of a transformer on a CPU, written out: `Transformer.forward` for a single new position.

A small model's step is 26 MB of weights and 300 operators of a few microseconds. Modules, their hooks and
attribute look-ups, reshapes and separate sums took as long as reading the weights; here a step is the same
products on matrices `[B, d]`, skips summed within them. The results are those of `Transformer.forward` up to
rounding.

Letters: B rows, d width, H heads, L positions of the condition, P steps before this one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .quantized_linear import QuantizedLinear
from .transformer import Condition, KVCache, Transformer, TransformerLayer


class _Projection(Protocol):
    """A Linear module on rows `[B, in]`, in whatever precision its weights are."""

    def __call__(self, x: Tensor) -> Tensor:
        """`[B, in]` -> `[B, out]`."""

    def add_to(self, skip: Tensor, x: Tensor) -> Tensor:
        """`skip` plus the module's output."""


@dataclass
class _Linear:
    """A Linear module's weights, as products take them."""

    matrix: Tensor  # [in, out], a view
    bias: Tensor | None

    def __call__(self, x: Tensor) -> Tensor:
        return torch.mm(x, self.matrix) if self.bias is None else torch.addmm(self.bias, x, self.matrix)

    def add_to(self, skip: Tensor, x: Tensor) -> Tensor:
        return torch.addmm(skip if self.bias is None else skip + self.bias, x, self.matrix)


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
    """What a step needs of a TransformerLayer, its condition `[B, H, L, d/H]` included."""

    norm1: _Norm
    in_proj: _Projection
    out_proj: _Projection
    norm_cross: _Norm
    query: _Projection
    cross_out_proj: _Projection
    norm2: _Norm
    linear1: _Projection
    linear2: _Projection
    keys: Tensor
    values: Tensor
    memory: Tensor  # the cache's, a step as one vector: [B, steps, 2 d]
    past_keys: Tensor  # the same memory as [B, H, steps, d/H]
    past_values: Tensor


class TransformerStep:
    """Runs single steps of a transformer; made by `TransformerStep.of`.

    Weights and memory are shared with the transformer, the condition and the cache that it is made of. It
    keeps no gradients.
    """

    def __init__(
        self, layers: list[_Layer], out_norm: _Norm, num_heads: int, condition: Condition, cache: KVCache
    ) -> None:
        self.layers, self.out_norm, self.num_heads = layers, out_norm, num_heads
        self.mask, self.cache = condition.mask, cache

    @classmethod
    def of(cls, transformer: Transformer, condition: Condition, cache: KVCache) -> Self | None:
        """The step of a transformer; None where `Transformer.forward` has to run it.

        That is on other devices, where attention has kernels of its own, in training, and when a projection
        is neither a plain Linear module nor a quantized one (LoRA).
        """
        modules = [module for layer in transformer.layers for module in _projections(layer)]
        plain = all(type(module) in (nn.Linear, QuantizedLinear) for module in modules)
        if not plain or transformer.training or transformer.out_norm.weight.device.type != "cpu":
            return None
        layers = []
        parts = zip(transformer.layers, condition.keys, condition.values, cache.memory, strict=True)
        for module, keys, values, memory in parts:
            assert isinstance(module, TransformerLayer)
            norms = [_norm(norm) for norm in (module.norm1, module.norm_cross, module.norm2)]
            # [B, steps, 2, H, d/H] -> two of [B, H, steps, d/H], which see what is written to the memory.
            past_keys, past_values = memory.permute(2, 0, 3, 1, 4).unbind(0)
            in_proj, out_proj, query, cross_out, linear1, linear2 = map(_linear, _projections(module))
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
                    keys=keys,
                    values=values,
                    memory=memory.flatten(2),
                    past_keys=past_keys,
                    past_values=past_values,
                )
            )
        return cls(layers, _norm(transformer.out_norm), transformer.num_heads, condition, cache)

    def __call__(self, x: Tensor) -> Tensor:
        """Run the step `[B, d]` -> `[B, d]` that follows those in the cache, which grows by it.

        Raises:
            ValueError: the cache is full.
        """
        cache = self.cache
        cache.check_room(1)
        step, (rows, dim) = cache.steps, x.shape
        heads = (rows, self.num_heads, 1, dim // self.num_heads)
        x = x + cache.positions[step]
        for layer in self.layers:
            # Self attention: this step's keys and values go to the cache, its query looks at all of them.
            packed = layer.in_proj(layer.norm1(x))  # [B, 3 d]: query, key, value
            layer.memory[:, step] = packed[:, dim:]
            keys, values = layer.past_keys[:, :, : step + 1], layer.past_values[:, :, : step + 1]
            y = F.scaled_dot_product_attention(packed[:, :dim].view(heads), keys, values)
            x = layer.out_proj.add_to(x, y.view(rows, dim))
            # Cross attention to the text.
            query = layer.query(layer.norm_cross(x)).view(heads)  # [B, H, 1, d/H]
            y = F.scaled_dot_product_attention(query, layer.keys, layer.values, attn_mask=self.mask)
            x = layer.cross_out_proj.add_to(x, y.view(rows, dim))
            # Feed-forward.
            # For contiguous values torch calls oneDNN, which takes longer to begin than these few take.
            hidden = F.gelu(layer.linear1(layer.norm2(x)).t()).t()
            x = layer.linear2.add_to(x, hidden)
        cache.steps += 1
        return self.out_norm(x)


def _projections(layer: nn.Module) -> list[nn.Module]:
    """The projections of a layer that a step needs, in the order in which it needs them."""
    assert isinstance(layer, TransformerLayer)
    attention, cross = layer.self_attention, layer.cross_attention
    return [attention.in_proj, attention.out_proj, cross.query, cross.out_proj, layer.linear1, layer.linear2]


def _linear(module: nn.Module) -> _Projection:
    if isinstance(module, QuantizedLinear):
        return module.rows()
    assert isinstance(module, nn.Linear)
    return _Linear(module.weight.detach().t(), None if module.bias is None else module.bias.detach())


def _norm(module: nn.LayerNorm) -> _Norm:
    return _Norm(tuple(module.normalized_shape), module.weight.detach(), module.bias.detach(), module.eps)
