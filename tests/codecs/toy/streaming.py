"""The toy codec on a sound that comes in: frames do not depend on each other."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


class FrameStream:
    """Codes as many whole frames of `size` as have come."""

    def __init__(self, code: Callable[[Tensor], Tensor], size: int, nothing: Tensor, latency: float) -> None:
        self.code, self.size, self.nothing, self.latency = code, size, nothing, latency
        self.reset()

    def reset(self) -> None:
        self.held: Tensor | None = None

    def push(self, chunk: Tensor) -> Tensor:
        held = chunk if self.held is None else torch.cat([self.held, chunk], dim=-1)
        whole = held.shape[-1] // self.size * self.size
        self.held = held[..., whole:]
        return self.code(held[..., :whole]) if whole else self.nothing

    def flush(self) -> Tensor:
        held = self.held
        self.reset()
        return self.nothing if held is None or not held.shape[-1] else self.code(held)
