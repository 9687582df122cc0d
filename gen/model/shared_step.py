"""One step of several decodings at once, each at its own position: every weight is read once for all of them.

Only the products of weights are shared. What a decoding attends to, its condition and its cache, stays its
own, so decodings of any length may join and leave between two steps.

Letters: B rows, d width, K codebooks, R rows of a product, V codes a codebook.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields

import torch
from torch import Tensor, nn

from .lm import AudioLM, DecodeState
from .step import DecodingMemory, Projection, TransformerStep, projection

# Rows of a product: with more of them libraries of linear algebra change to kernels that round differently,
# and on a CPU more of them gain little, as arithmetic then takes as long as reading the weights.
MOST_ROWS = 8


class SharedStep:
    """Runs the newest step of several decodings of one language model.

    Args:
        lm: the language model, in evaluation mode; its weights are used where they are.
        exact: give every decoding the same logits, to the bit, whatever others are run beside it. Rows are
            then multiplied in groups of at most `rows_alike`; without, all at once.

    Attributes:
        rows_alike: R, the most rows of a product whose results are those of two rows, to the bit; found by
            trying. 2 means that this machine knows no larger product of the model's sizes with that property.
    """

    def __init__(self, lm: AudioLM, *, exact: bool = True) -> None:
        self.lm, self.exact = lm, exact
        self.rows_alike = count_rows_alike(lm) if exact else 0
        self._groups: list[int] = []
        self._step = TransformerStep.of(lm.transformer)
        for layer in self._step.layers:
            for field in fields(layer):
                if not field.name.startswith("norm"):
                    setattr(layer, field.name, _Grouped(getattr(layer, field.name), self._groups))
        self._heads = _Grouped(projection(lm.heads), self._groups)

    @torch.no_grad()
    def __call__(self, tokens: Sequence[Tensor], states: Sequence[DecodeState]) -> list[Tensor]:
        """Feed each decoding its next step.

        Args:
            tokens: int64 `[B, K, 1]` for each state, as for `AudioLM.step`.
            states: from `AudioLM.start`; each advances by a step.

        Returns:
            Logits `[rows, K, V]` of each state, as `AudioLM.step` gives them.

        Raises:
            ValueError: a state is full.
        """
        lm = self.lm
        if len(states) == 1 and states[0].single is not None and states[0].rows > 1:
            return [lm.step(tokens[0], states[0])]  # the same products, without what joins and parts them
        rows = [state.rows for state in states]
        most = self.rows_alike if self.exact else sum(rows)
        self._groups[:] = [2] if sum(rows) == 1 else _group(rows, most)  # one row is doubled by its memory
        # Each decoding's rows below those of the one before: [B, d].
        inputs = [lm.embed(given, state)[:, 0] for given, state in zip(tokens, states, strict=True)]
        x = self._step(torch.cat(inputs), _JoinedMemory([state.memory for state in states], rows))
        logits = self._heads(x).unflatten(-1, (lm.num_codebooks, lm.codebook_size))  # [B, K, V]
        return list(logits[: sum(rows)].split(rows))


class _JoinedMemory:
    """The memories of several decodings as that of one step of all their rows.

    A row that is all there is runs twice: vectors alone go to other kernels, which round differently.
    """

    def __init__(self, memories: Sequence[DecodingMemory], rows: list[int]) -> None:
        self.memories, self.rows = memories, rows
        self._only_row = sum(rows) == 1

    def begin(self, x: Tensor) -> Tensor:
        return self._join([memory.begin(part) for memory, part in self._parts(x)])

    def attend(self, layer: int, packed: Tensor) -> Tensor:
        return self._join([memory.attend(layer, part) for memory, part in self._parts(packed)])

    def attend_condition(self, layer: int, query: Tensor) -> Tensor:
        return self._join([memory.attend_condition(layer, part) for memory, part in self._parts(query)])

    def end(self) -> None:
        for memory in self.memories:
            memory.end()

    def _parts(self, x: Tensor) -> Iterable[tuple[DecodingMemory, Tensor]]:
        return zip(self.memories, x[: sum(self.rows)].split(self.rows), strict=True)

    def _join(self, parts: list[Tensor]) -> Tensor:
        return torch.cat([*parts, *parts] if self._only_row else parts)


class _Grouped:
    """A projection that multiplies the rows of a step in groups, never one row alone.

    Args:
        inner: the projection.
        groups: rows of each group of the present step; changed from outside.
    """

    def __init__(self, inner: Projection, groups: list[int]) -> None:
        self.inner, self.groups = inner, groups

    def __call__(self, x: Tensor) -> Tensor:
        return torch.cat([_paired(self.inner, part) for part in x.split(self.groups)])

    def add_to(self, skip: Tensor, x: Tensor) -> Tensor:
        parts = zip(skip.split(self.groups), x.split(self.groups), strict=True)
        return torch.cat([_paired(self.inner.add_to, *part) for part in parts])


def _paired(product: Callable[..., Tensor], *rows: Tensor) -> Tensor:
    """A product of at least two rows, because one alone is rounded differently: it is put beside itself."""
    if len(rows[0]) > 1:
        return product(*rows)
    return product(*(torch.cat([row, row]) for row in rows))[:1]


def _group(rows: Sequence[int], most: int) -> list[int]:
    """Sizes of groups of whole decodings that come to at most so many rows, or are one decoding."""
    groups: list[int] = []
    for count in rows:
        if groups and groups[-1] + count <= most:
            groups[-1] += count
        else:
            groups.append(count)
    return groups


@torch.inference_mode()
def count_rows_alike(lm: AudioLM) -> int:
    """How many rows, 2 to `MOST_ROWS`, all products of a step can have and still be those of two rows.

    It is tried on random numbers, once for every size of product that the model has.
    """
    modules: dict[tuple[object, ...], nn.Module] = {}
    for module in [*lm.transformer.layers.modules(), lm.heads]:
        shape = getattr(module, "in_features", None), getattr(module, "out_features", None)
        if None not in shape:
            modules.setdefault((type(module), *shape), module)
    most = MOST_ROWS
    for module in modules.values():
        product = projection(module)
        generator = torch.Generator().manual_seed(0)
        x = torch.randn(most, int(module.in_features), generator=generator)  # type: ignore[arg-type]
        x = x.to(lm.transformer.out_norm.weight)
        pairs = torch.cat([_paired(product, pair) for pair in x.split(2)])
        alike = (torch.equal(product(x[:count]), pairs[:count]) for count in range(3, most + 1))
        most = next((count for count, same in enumerate(alike, 2) if not same), most)
    return most
