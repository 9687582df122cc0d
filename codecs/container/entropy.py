"""Codes in fewer bits than their width: an adaptive order-0 model per codebook and an exact number coder.

The model is a Pitman-Yor process with discount 4/5 and concentration 1 over a uniform base: a code that
occurred n times in its codebook since the chunk began has the weight 5n - 4; all that did not occur yet have
5 + 4u together, u being how many different codes occurred. It learns from 50 frames what a table of 1024
counts would not. The coder is the range variant of asymmetric numeral systems with a number of unbounded
length as its state, so that there is nothing to renormalise and nothing to flush. Specified in
docs/format.md.

Sources: Teh, "A hierarchical Bayesian language model based on Pitman-Yor processes" (2006), section 3; Duda,
"Asymmetric numeral systems" (2009, arXiv 0902.0271).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from itertools import accumulate

import numpy as np

from .fields import ContainerError

# Steps to code: (weight, sum of the weights before it, sum of all weights).
Step = tuple[int, int, int]


class _Model:
    """What is known of one codebook so far: the codes that occurred, ascending, and their weights."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.codes: list[int] = []
        self.weights: list[int] = []
        self.sum = 0  # of the weights

    @property
    def unseen(self) -> int:
        """Weight of all codes together that did not occur yet."""
        return 5 + 4 * len(self.codes) if len(self.codes) < self.size else 0

    def again(self, place: int) -> None:
        """The code at `place` of `codes` occurred once more."""
        self.weights[place] += 5
        self.sum += 5

    def first(self, place: int, code: int) -> None:
        """`code` occurred for the first time, and belongs to `place` of `codes`."""
        self.codes.insert(place, code)
        self.weights.insert(place, 1)
        self.sum += 1


def encode_adaptive(codes: np.ndarray, size: int) -> bytes:
    """Codes `[T, K]` from 0 to size - 1 as bytes; their number depends on the codes.

    Time grows with the square of the number of codes, so a header allows no more than `MAX_CODED`.
    """
    steps: list[Step] = []
    for column in codes.T.tolist():
        model = _Model(size)
        for code in column:
            place = bisect_left(model.codes, code)
            total = model.sum + model.unseen
            if place < len(model.codes) and model.codes[place] == code:
                steps.append((model.weights[place], sum(model.weights[:place]), total))
                model.again(place)
            else:
                steps.append((model.unseen, model.sum, total))
                steps.append((1, code - place, size - len(model.codes)))  # its rank among the unseen
                model.first(place, code)
    state = 0
    for weight, below, total in reversed(steps):
        quotient, rest = divmod(state, weight)
        state = quotient * total + below + rest
    return state.to_bytes((state.bit_length() + 7) // 8, "big")


def decode_adaptive(data: bytes, count: int, codebooks: int, size: int) -> np.ndarray:
    """Undo `encode_adaptive`.

    Args:
        data: its bytes.
        count: T.
        codebooks: K.
        size: V, values of a code.

    Returns:
        int64 `[T, K]`.

    Raises:
        ContainerError: bytes that `encode_adaptive` does not write for so many codes.
    """
    if data[:1] == b"\0":
        raise ContainerError("coded data starts with a needless 0")
    state = int.from_bytes(data, "big")
    columns = []
    for _ in range(codebooks):
        model = _Model(size)
        column = []
        for _ in range(count):
            state, slot = divmod(state, model.sum + model.unseen)
            if slot < model.sum:
                sums = list(accumulate(model.weights))
                place = bisect_right(sums, slot)
                weight = model.weights[place]
                state = state * weight + slot - (sums[place] - weight)
                code = model.codes[place]
                model.again(place)
            else:
                state = state * model.unseen + slot - model.sum
                state, rank = divmod(state, size - len(model.codes))
                seen = model.codes
                # As many seen codes are below it as have at most `rank` unseen ones below them.
                unseen_below = [seen[at] - at for at in range(len(seen))]
                place = bisect_right(unseen_below, rank)
                code = rank + place
                model.first(place, code)
            column.append(code)
        columns.append(column)
    if state:
        raise ContainerError("coded data goes on after the last code")
    return np.array(columns, dtype=np.int64).reshape(codebooks, count).T
