"""Decorators that run codecs in float32, whatever autocast region the call is in."""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, TypeVar, cast

import numpy as np
import torch
from torch import Tensor, nn

from ..core.audio import as_samples
from ..core.errors import ArgumentError

Method = TypeVar("Method", bound=Callable[..., Any])
_DEVICES = ("cpu", "cuda", "mps", "xpu")


def full_precision(method: Method) -> Method:
    """Run a method as if there were no autocast region around it."""

    @functools.wraps(method)
    def run(*args: Any, **options: Any) -> Any:
        with ExitStack() as stack:
            for device in _DEVICES:
                if torch.is_autocast_enabled(device):
                    stack.enter_context(torch.autocast(device, enabled=False))
            return method(*args, **options)

    return cast(Method, run)


def takes_audio(method: Method) -> Method:
    """Let `encode` of a codec take any type that `as_samples` takes, and run in full precision."""

    @functools.wraps(method)
    def run(self: Any, audio: Tensor | np.ndarray, *args: Any, **options: Any) -> Any:
        return method(self, as_samples(audio), *args, **options)

    return cast(Method, full_precision(run))


def gives_audio(method: Method) -> Method:
    """Let `decode` of a codec take numpy arrays too, give float32 and run in full precision."""

    @functools.wraps(method)
    def run(self: Any, codes: Tensor | np.ndarray, *args: Any, **options: Any) -> Any:
        codes = torch.from_numpy(np.ascontiguousarray(codes)) if isinstance(codes, np.ndarray) else codes
        return method(self, codes, *args, **options).float()

    return cast(Method, full_precision(run))


def check_float32(codec: nn.Module) -> None:
    """Raise `ValueError` when a codec was turned to another precision, in which its codes would be others."""
    dtypes = {parameter.dtype for parameter in codec.parameters() if parameter.is_floating_point()}
    others = dtypes - {torch.float32}
    if others:
        raise ArgumentError(
            f"this codec was turned to {', '.join(sorted(map(str, others)))}, in which it would give other "
            "codes; call codec.float() first (decoding works in any precision)"
        )
