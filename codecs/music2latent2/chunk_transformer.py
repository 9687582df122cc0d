"""The transformer over the tokens of one chunk, or of a chunk that also sees the chunk before it.

Letters: B items, n tokens, D width, H heads, E width of the noise embedding. Two chunks are never one masked
sequence: everything but attention is per token, the left chunk attends to itself and the right chunk to both.
So the block-causal mask is built in, a quarter of the attention is not computed, and the left chunk's keys
and values can be kept and used for several passes over the right one.

Source: CoDiCodec (arXiv 2509.09836) and its published model.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .frontends import xavier_init, zero_init

EPS = 1e-4


@dataclass
class KeyValue:
    """Keys and values of one attention layer, each `[B, H, n, head_dim]`."""

    key: Tensor
    value: Tensor


class TokenNorm(nn.Module):
    """Layer normalisation times a scale: learned, or computed from a noise embedding; never a shift."""

    def __init__(self, dim: int, noise_dim: int | None = None) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim)) if noise_dim is None else None
        self.condition = None if noise_dim is None else zero_init(nn.Linear(noise_dim, dim))

    def forward(self, x: Tensor, noise: Tensor | None = None) -> Tensor:
        """Normalise `x [B, n, D]`; `noise [B, E]` is the same for all tokens of an item."""
        shape = x.shape[-1:]
        if self.condition is None:
            return F.layer_norm(x, shape, self.weight, eps=EPS)
        assert noise is not None
        scale = 1 + self.condition(noise)
        if len(scale) == 1:
            return F.layer_norm(x, shape, scale[0], eps=EPS)
        return F.layer_norm(x, shape, eps=EPS) * scale[:, None]


class Attention(nn.Module):
    """Self-attention with RMS-normalised queries and keys."""

    def __init__(self, dim: int, head_dim: int) -> None:
        super().__init__()
        self.dim, self.head_dim = dim, head_dim
        self.qkv = xavier_init(nn.Linear(dim, 3 * dim, bias=False))
        self.out = zero_init(nn.Linear(dim, dim, bias=False))
        self.query_gain = nn.Parameter(torch.ones(head_dim))
        self.key_gain = nn.Parameter(torch.ones(head_dim))
        self.attend: Callable[[Tensor, Tensor, Tensor], Tensor] = F.scaled_dot_product_attention

    def key_value(self, x: Tensor) -> KeyValue:
        """Keys and values of the tokens `x [B, n, D]`."""
        key, value = self._part(x, slice(self.dim, None)).chunk(2, dim=-1)  # [B, n, D] each
        return KeyValue(self._normed(key, self.key_gain), self._heads(value))

    def forward(
        self, x: Tensor, queries: Tensor, past: KeyValue | None, pair: bool
    ) -> tuple[Tensor, KeyValue]:
        """Attend from `queries` to `x` (both `[B, n, D]`, already normed), and to `past` before it.

        Also returns the keys and values of `x`; the values are a view of all that `qkv` gave.

        With `pair` the batch holds all left chunks, then all right ones; each right one also sees its left
        one.
        """
        if queries is x:
            query, key, value = self.qkv(x).chunk(3, dim=-1)  # [B, n, D] each
            own = KeyValue(self._normed(key, self.key_gain), self._heads(value))
        else:
            query, own = self._part(queries, slice(self.dim)), self.key_value(x)
        query = self._normed(query, self.query_gain)  # [B, H, n, head_dim]
        if pair:
            # Left chunks see themselves, right ones both: keys and values are joined on the axis of tokens.
            (q_left, q_right), (k_left, k_right), (v_left, v_right) = (
                t.chunk(2) for t in (query, own.key, own.value)
            )
            left = self.attend(q_left, k_left, v_left)
            right = self.attend(
                q_right, torch.cat((k_left, k_right), dim=2), torch.cat((v_left, v_right), dim=2)
            )
            mixed = torch.cat((left, right))
        else:
            key = own.key if past is None else torch.cat((past.key, own.key), dim=2)
            value = own.value if past is None else torch.cat((past.value, own.value), dim=2)
            mixed = self.attend(query, key, value)
        # [B, H, n, head_dim] -> [B, n, H, head_dim] -> [B, n, D]
        return self.out(mixed.transpose(1, 2).flatten(2)), own

    def _part(self, x: Tensor, rows: slice) -> Tensor:
        """Some outputs of `qkv`, whichever kind of layer it is."""
        if isinstance(self.qkv, nn.Linear):
            return F.linear(x, self.qkv.weight[rows])
        return self.qkv(x)[..., rows]

    def _heads(self, x: Tensor) -> Tensor:
        # [B, n, D] -> [B, n, H, head_dim] -> [B, H, n, head_dim]
        return x.unflatten(-1, (-1, self.head_dim)).transpose(1, 2)

    def _normed(self, x: Tensor, gain: Tensor) -> Tensor:
        return F.rms_norm(self._heads(x), (self.head_dim,), gain, eps=EPS)


class GatedMLP(nn.Module):
    """Linear to `ratio * dim`, split in two, SiLU of one half times the other, linear back."""

    def __init__(self, dim: int, ratio: int) -> None:
        super().__init__()
        self.up = xavier_init(nn.Linear(dim, ratio * dim, bias=False))
        self.down = zero_init(nn.Linear(ratio * dim // 2, dim, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        gate, value = self.up(x).chunk(2, dim=-1)  # [B, n, ratio * D / 2] each
        return self.down(F.silu(gate) * value)


class Layer(nn.Module):
    """Attention and MLP, each normed before and added."""

    def __init__(self, *, dim: int, head_dim: int, mlp_ratio: int, noise_dim: int | None) -> None:
        super().__init__()
        self.attention_norm = TokenNorm(dim, noise_dim)
        self.attention = Attention(dim, head_dim)
        self.mlp_norm = TokenNorm(dim, noise_dim)
        self.mlp = GatedMLP(dim, mlp_ratio)

    def forward(
        self,
        x: Tensor,
        noise: Tensor | None = None,
        past: KeyValue | None = None,
        pair: bool = False,
        keep: slice | None = None,
        remember: bool = False,
    ) -> tuple[Tensor, KeyValue | None]:
        """Run on `x [B, n, D]`; with `keep` only those tokens come out (all are still attended to).

        With `remember` also returns the keys and values of `x`, else None: compiled code then never has them
        in memory as float.
        """
        normed = self.attention_norm(x, noise)
        queries = normed
        if keep is not None:
            x, queries = x[:, keep], normed[:, keep]
        mixed, own = self.attention(normed, queries, past, pair)
        x = x + mixed
        memory = KeyValue(own.key, own.value.clone()) if remember else None
        return x + self.mlp(self.mlp_norm(x, noise)), memory


class Transformer(nn.Module):
    """Transformer with a learned position for every token, and for either place of a pair of chunks.

    Args:
        tokens: n, tokens of a chunk.
        dim, head_dim, mlp_ratio: sizes.
        layers: depth.
        places: 1, or 2 where a chunk can be the left or the right one of a pair.
        noise_dim: E where the norms are conditioned on noise, else None.
        output_norm: normalise what comes out.
    """

    def __init__(
        self,
        *,
        tokens: int,
        dim: int,
        head_dim: int,
        mlp_ratio: int,
        layers: int,
        places: int = 1,
        noise_dim: int | None = None,
        output_norm: bool = True,
    ) -> None:
        super().__init__()
        self.positions = nn.Parameter(torch.randn(places, tokens, dim) * dim**-0.5)
        self.input_norm = TokenNorm(dim, noise_dim)
        self.layers = nn.ModuleList(
            Layer(dim=dim, head_dim=head_dim, mlp_ratio=mlp_ratio, noise_dim=noise_dim) for _ in range(layers)
        )
        self.output_norm = TokenNorm(dim, noise_dim) if output_norm else None
        self.gradient_checkpointing = False  # switched by ModelMixin.enable_gradient_checkpointing

    def forward(
        self,
        x: Tensor,
        noise: Tensor | None = None,
        *,
        past: list[KeyValue] | None = None,
        pair: bool = False,
        keep: slice | None = None,
    ) -> tuple[Tensor, list[KeyValue]]:
        """Run on the tokens of chunks.

        Args:
            x: `[B, n, D]`; with `pair` all left chunks, then all right chunks.
            noise: `[B, E]`.
            past: of the left chunk, one per layer; `x` is then a right chunk, else a left one.
            keep: the tokens wanted; None for all.

        Returns:
            The wanted tokens `[B, kept, D]`, and of left chunks, where chunks have two places, the keys and
            values of every layer.
        """
        # Add what tells places apart, then run the layers, of which the last drops what nobody wants.
        x = self._enter(x, noise, past is not None, pair)
        remember = len(self.positions) > 1 and past is None and not pair
        memory = []
        for index, layer in enumerate(self.layers):
            last = index == len(self.layers) - 1
            x, own = self._call(
                layer, x, noise, past[index] if past else None, pair, keep if last else None, remember
            )
            if own is not None:
                memory.append(own)
        return (x if self.output_norm is None else self.output_norm(x, noise)), memory

    def remember(self, x: Tensor, noise: Tensor | None = None) -> list[KeyValue]:
        """Keys and values of left chunks `x [B, n, D]`, where nothing else of them is wanted."""
        x = self._enter(x, noise, False, False)
        memory = []
        for layer in self.layers[:-1]:
            x, own = layer(x, noise, remember=True)
            memory.append(own)
        last = self.layers[-1]
        assert isinstance(last, Layer)
        return [*memory, last.attention.key_value(last.attention_norm(x, noise))]

    def _enter(self, x: Tensor, noise: Tensor | None, right: bool, pair: bool) -> Tensor:
        places = (
            self.positions.repeat_interleave(len(x) // 2, dim=0) if pair else self.positions[int(right), None]
        )
        return self.input_norm(x + places, noise)

    def _call(self, layer: nn.Module, *inputs: object) -> tuple[Tensor, KeyValue | None]:
        if self.gradient_checkpointing and torch.is_grad_enabled():
            return self._gradient_checkpointing_func(layer, *inputs)  # type: ignore[operator]
        return layer(*inputs)
