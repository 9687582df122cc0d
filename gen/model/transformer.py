"""A decoder-only transformer with cross attention and a preallocated cache for step-wise decoding.

Pre-norm layers in the order self attention, cross attention, feed-forward (AudioGen, Kreuk et al. 2023). One
code path serves training, prefill and single steps.

Letters: B batch, S steps of this call, P steps before it, L positions of the condition, d width, H heads.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .adapted_linear import AdaptedLinear
from .quantized_linear import QuantizedLinear


@dataclass
class Condition:
    """What cross attention reads.

    Attributes:
        keys, values: one tensor a layer, `[B, H, L, d/H]`; empty as long as only `states` are known.
        mask: `[B, 1, 1, L]`, added to the scores: 0 where a position takes part, else -inf; None: all do.
        states: `[B, L, d]`, for layers to project themselves; None when keys and values are there.
    """

    keys: list[Tensor]
    values: list[Tensor]
    mask: Tensor | None
    states: Tensor | None = None


class KVCache:
    """Keys and values of the steps decoded so far, in memory that is claimed once.

    Args:
        num_layers, batch, num_heads, head_dim: sizes of the transformer and the batch.
        max_steps: steps it can hold.
        dtype: of keys and values.
        stream: type of the position vectors, that of the residual stream.
        device: of the transformer's weights.
    """

    def __init__(
        self,
        *,
        num_layers: int,
        batch: int,
        num_heads: int,
        head_dim: int,
        max_steps: int,
        dtype: torch.dtype = torch.float32,
        stream: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> None:
        # Steps before heads, and keys beside values: a step is written in one piece. All layers lie in one
        # tensor, so that a step looks up once what it needs of each.
        shape = (batch, max_steps, 2, num_heads, head_dim)
        self.whole = torch.zeros(num_layers, *shape, dtype=dtype, device=device)
        # No views: autograd would take a layer's writing for a change of all others.
        storage, (size, *stride) = self.whole.untyped_storage(), self.whole.stride()
        self.memory = [
            torch.empty_like(self.whole[:0]).set_(storage, layer * size, shape, stride)
            for layer in range(num_layers)
        ]
        dim = num_heads * head_dim
        self.positions = sinusoidal_positions(max_steps, dim, dtype=stream, device=torch.device(device))
        self.max_steps = max_steps
        self.steps = 0

    def reset(self) -> None:
        """Forget everything decoded, keep the memory."""
        self.steps = 0

    def close(self) -> None:
        """Give the memory back; the cache cannot be used any more."""
        self.memory, self.whole = [], torch.empty(0)
        self.max_steps = self.steps = 0

    def append(self, layer: int, packed: Tensor) -> Tensor:
        """Store a layer's keys and values `[B, S, 2, H, d/H]` after the steps so far; returns all P + S."""
        memory, end = self.memory[layer], self.steps + packed.shape[1]
        memory[:, self.steps : end] = packed
        return memory[:, :end]

    def check_room(self, steps: int) -> None:
        """Raise ValueError unless `steps` more steps fit."""
        if self.steps + steps > self.max_steps:
            raise ValueError(
                f"the cache holds {self.steps} of {self.max_steps} steps, {steps} more do not fit; "
                "make it with a larger max_steps"
            )


def sinusoidal_positions(steps: int, dim: int, *, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Position vectors of the first steps: `[steps, dim]`.

    AudioGen's form: with h = dim / 2 and phase p / 10000^(i / (h - 1)), all cosines come first, then all
    sines.
    """
    half = dim // 2
    exponent = torch.arange(half, device=device, dtype=torch.float32) / max(half - 1, 1)
    position = torch.arange(steps, device=device, dtype=torch.float32)
    phase = position[:, None] / torch.pow(10000.0, exponent)[None, :]
    return torch.cat([phase.cos(), phase.sin()], dim=-1).to(dtype)


def attend(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, *, is_causal: bool = False
) -> Tensor:
    """Scaled dot product attention of queries `[B, H, S, d/H]` to keys and values `[B, H, P, d/H]`.

    With a gradient, bfloat16 on a CPU is computed in float32: torch's kernel for bfloat16 takes so much
    longer that a step of training `foley` on 32 clips took 1.55 s in place of 1.15 (a core with AMX).

    Args:
        query, key, value: see above.
        mask: for the scores `[B, H, S, P]`, or what broadcasts to it: bool, true where a query attends, or
            numbers that are added; None: all attend.
        is_causal: a query attends to its own place and those before; without a mask only.

    Returns:
        `[B, H, S, d/H]`, of the type of the query.
    """
    wide = query.dtype == torch.bfloat16 and query.device.type == "cpu" and query.requires_grad
    if not wide:
        return F.scaled_dot_product_attention(query, key, value, attn_mask=mask, is_causal=is_causal)
    if mask is not None and mask.is_floating_point():
        mask = mask.float()
    with torch.autocast("cpu", enabled=False):
        y = F.scaled_dot_product_attention(
            query.float(), key.float(), value.float(), attn_mask=mask, is_causal=is_causal
        )
    return y.to(query.dtype)


class SelfAttention(nn.Module):
    """Causal multi-head attention of the steps to themselves and to those in the cache."""

    def __init__(self, dim: int, num_heads: int, *, bias: bool = False) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.in_proj = nn.Linear(dim, 3 * dim, bias=bias)
        self.out_proj = nn.Linear(dim, dim, bias=bias)

    def forward(self, x: Tensor, layer: int, cache: KVCache | None = None) -> Tensor:
        """`[B, S, d]` -> `[B, S, d]`; reads and extends the cache of `layer` when one is given."""
        batch, steps, dim = x.shape
        packed = self.in_proj(x).view(batch, steps, 3, self.num_heads, dim // self.num_heads)
        query = packed[:, :, 0].transpose(1, 2)  # [B, H, S, d/H]
        keys_values = packed[:, :, 1:]  # [B, S, 2, H, d/H]
        # The steps so far come before these; a step sees itself and what is before it.
        mask = None
        if cache is not None:
            keys_values = cache.append(layer, keys_values)
            if steps > 1 and cache.steps > 0:
                total = keys_values.shape[1]  # P + S
                mask = torch.ones(steps, total, dtype=torch.bool, device=x.device).tril(cache.steps)
        key, value = keys_values.permute(2, 0, 3, 1, 4).unbind(0)  # each [B, H, P + S, d/H]
        y = attend(query, key, value, mask, is_causal=steps > 1 and mask is None)
        return self.out_proj(y.transpose(1, 2).reshape(batch, steps, dim))  # [B, H, S, d/H] -> [B, S, d]


class CrossAttention(nn.Module):
    """Multi-head attention of the steps to the condition."""

    def __init__(self, dim: int, num_heads: int, *, bias: bool = False) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.query = nn.Linear(dim, dim, bias=bias)
        self.key_value = nn.Linear(dim, 2 * dim, bias=bias)
        self.out_proj = nn.Linear(dim, dim, bias=bias)

    def project(self, states: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values of a condition `[B, L, d]`: two tensors `[B, H, L, d/H]`."""
        batch, length, dim = states.shape
        packed = self.key_value(states).view(batch, length, 2, self.num_heads, dim // self.num_heads)
        key, value = packed.permute(2, 0, 3, 1, 4).unbind(0)  # each [B, H, L, d/H]
        return key.contiguous(), value.contiguous()

    def forward(self, x: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
        """`[B, S, d]` -> `[B, S, d]`; keys and values come from `project`, the mask as in Condition."""
        batch, steps, dim = x.shape
        query = self.query(x).view(batch, steps, self.num_heads, dim // self.num_heads).transpose(1, 2)
        # Query [B, H, S, d/H] against keys [B, H, L, d/H].
        y = attend(query, key, value, mask)
        return self.out_proj(y.transpose(1, 2).reshape(batch, steps, dim))


class TransformerLayer(nn.Module):
    """One pre-norm layer: self attention, cross attention, feed-forward with exact GELU, each with a skip."""

    def __init__(
        self,
        dim: int,
        num_heads: int,
        ffn_dim: int,
        *,
        dropout: float = 0.0,
        bias_attention: bool = False,
        bias_ffn: bool = False,
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.self_attention = SelfAttention(dim, num_heads, bias=bias_attention)
        self.norm_cross = nn.LayerNorm(dim)
        self.cross_attention = CrossAttention(dim, num_heads, bias=bias_attention)
        self.norm2 = nn.LayerNorm(dim)
        self.linear1 = nn.Linear(dim, ffn_dim, bias=bias_ffn)
        self.linear2 = nn.Linear(ffn_dim, dim, bias=bias_ffn)
        self.dropout = dropout

    def forward(self, x: Tensor, layer: int, condition: Condition, cache: KVCache | None = None) -> Tensor:
        """`[B, S, d]` -> `[B, S, d]`."""
        x = x + self._drop(self.self_attention(self.norm1(x), layer, cache))
        if condition.states is None:
            key, value = condition.keys[layer], condition.values[layer]
        else:
            key, value = self.cross_attention.project(condition.states)
        x = x + self._drop(self.cross_attention(self.norm_cross(x), key, value, condition.mask))
        return x + self._drop(self.linear2(F.gelu(self.linear1(self.norm2(x)))))

    def _drop(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.dropout) if self.training and self.dropout > 0 else x


class Transformer(nn.Module):
    """A stack of layers and the final norm.

    Args:
        dim: d, even.
        num_layers: layers.
        num_heads: H, a divisor of d.
        ffn_dim: width of the feed-forward part.
        dropout: chance that an element of a sub-layer's output is dropped in training.
        bias_attention, bias_ffn: whether those Linear modules have biases.
    """

    def __init__(
        self,
        *,
        dim: int,
        num_layers: int,
        num_heads: int,
        ffn_dim: int,
        dropout: float = 0.0,
        bias_attention: bool = False,
        bias_ffn: bool = False,
    ) -> None:
        super().__init__()
        if dim % 2 or dim % num_heads:
            raise ValueError(f"dim is {dim}; it must be even and a multiple of num_heads ({num_heads})")
        self.dim = dim
        self.num_heads = num_heads
        self.layers = nn.ModuleList(
            TransformerLayer(
                dim, num_heads, ffn_dim, dropout=dropout, bias_attention=bias_attention, bias_ffn=bias_ffn
            )
            for _ in range(num_layers)
        )
        self.out_norm = nn.LayerNorm(dim)
        self.gradient_checkpointing = False  # switched by ModelMixin.enable_gradient_checkpointing

    def reset_parameters(self) -> None:
        """AudioGen's initialisation: truncated normals of std 1/sqrt(fan_in * 2 * (layer + 1)).

        The packed input projections of attention keep PyTorch's default for Linear modules, as in the
        reference.
        """
        for index, module in enumerate(self.layers):
            assert isinstance(module, TransformerLayer)
            for linear in (
                module.self_attention.out_proj,
                module.cross_attention.out_proj,
                module.linear1,
                module.linear2,
            ):
                truncated_normal_(linear.weight, 1.0 / math.sqrt(linear.in_features * 2 * (index + 1)))
                if linear.bias is not None:
                    nn.init.zeros_(linear.bias)
            # Query, key and value are one packed matrix there; its default bound depends on the input width
            # only.
            for linear in (
                module.self_attention.in_proj,
                module.cross_attention.query,
                module.cross_attention.key_value,
            ):
                linear.reset_parameters()
                if linear.bias is not None:
                    nn.init.zeros_(linear.bias)

    @property
    def attention_dtype(self) -> torch.dtype:
        """Type of queries, keys and values: that of the weights; quantized modules say what they give."""
        module = self.layers[0]
        assert isinstance(module, TransformerLayer)
        projection: nn.Module = module.self_attention.in_proj
        if isinstance(projection, AdaptedLinear):
            projection = projection.base
        if isinstance(projection, QuantizedLinear) and projection.dtype is not None:
            return projection.dtype
        weight = projection.weight
        assert isinstance(weight, Tensor)
        return weight.dtype

    def condition(self, states: Tensor, mask: Tensor | None, *, project: bool = True) -> Condition:
        """Project a condition for every layer, once a prompt.

        Args:
            states: `[B, L, d]`, zero at positions that hold nothing.
            mask: bool `[B, L]`, true where a position takes part; None lets all take part. A row without any
                is read as all zeros, which gives every layer the output of an empty condition.
            project: off leaves projecting to each layer, for a single pass over the steps: in training a
                layer's weights are then used inside the layer only, where sharding has them at hand.
        """
        if mask is not None:
            hidden = ~(mask | ~mask.any(dim=-1, keepdim=True))[:, None, None, :]  # [B, 1, 1, L]
            # Numbers, not truth values, which every layer of every step would have to turn into numbers.
            mask = torch.zeros(hidden.shape, dtype=self.attention_dtype, device=hidden.device)
            mask.masked_fill_(hidden, -math.inf)
        if not project:
            return Condition([], [], mask, states)
        keys, values = [], []
        for layer in self.layers:
            assert isinstance(layer, TransformerLayer)
            key, value = layer.cross_attention.project(states)
            keys.append(key)
            values.append(value)
        return Condition(keys, values, mask)

    def new_cache(self, batch: int, max_steps: int) -> KVCache:
        """An empty cache for `batch` rows and `max_steps` steps, of this transformer's types and device."""
        weight = self.out_norm.weight
        return KVCache(
            num_layers=len(self.layers),
            batch=batch,
            num_heads=self.num_heads,
            head_dim=self.dim // self.num_heads,
            max_steps=max_steps,
            dtype=self.attention_dtype,
            stream=weight.dtype,
            device=weight.device,
        )

    def forward(self, x: Tensor, condition: Condition, cache: KVCache | None = None) -> Tensor:
        """Run the steps `[B, S, d]` -> `[B, S, d]`.

        Without a cache the steps are 0..S-1; with one they follow those it holds, and it grows by S.

        Raises:
            ValueError: the cache is too small.
        """
        steps = x.shape[1]
        if cache is None:
            positions = sinusoidal_positions(steps, self.dim, dtype=x.dtype, device=x.device)
        else:
            cache.check_room(steps)
            positions = cache.positions[cache.steps : cache.steps + steps]
        x = x + positions
        for index, layer in enumerate(self.layers):
            if self.gradient_checkpointing and cache is None and torch.is_grad_enabled():
                x = self._gradient_checkpointing_func(layer, x, index, condition)  # type: ignore[operator]
            else:
                x = layer(x, index, condition, cache)
        if cache is not None:
            cache.steps += steps
        return self.out_norm(x)


def truncated_normal_(weight: Tensor, std: float) -> None:
    """Fill with a normal distribution of the given standard deviation, cut at three of them."""
    nn.init.trunc_normal_(weight, mean=0.0, std=std, a=-3 * std, b=3 * std)
