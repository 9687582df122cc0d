"""Build networks whose weights are replaced at once: without memory for them, and without drawing them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

# What fills a weight with random numbers; see the initialisation of torch's and of our own modules.
_FILLING = ("normal_", "uniform_", "kaiming_uniform_", "trunc_normal_", "xavier_uniform_")


class _Unfilled(TorchFunctionMode):
    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__name__", "") in _FILLING:
            return args[0] if args else kwargs["tensor"]
        return func(*args, **kwargs)


@contextmanager
def unfilled() -> Iterator[None]:
    """While inside, tensors are made on the meta device, and filling them with random numbers does nothing.

    On that device drawing numbers gives none either, but torch imports its compiler to do so: 1.3 seconds
    and 70 MB.
    """
    with torch.device("meta"), _Unfilled():
        yield
