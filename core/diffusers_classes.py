"""diffusers' base classes of saved models, without the compiler that their import would bring along.

For a decorator of models of its own, diffusers imports `torch._dynamo`: 1.3 of the 4.5 seconds and 70 of the
390 MB that a process took before it made a sound. Here that import waits until something is decorated.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

COMPILER = "torch._dynamo"


def allow_in_graph(thing: Any) -> Any:
    """Torch's decorator of that name, imported when it is used; stands in diffusers' place for it."""
    from torch._dynamo import allow_in_graph as decorate

    return decorate(thing)


@contextmanager
def _without_compiler() -> Iterator[None]:
    """Let diffusers believe that torch has no compiler; where it is there already, nothing is changed."""
    if COMPILER in sys.modules or "diffusers.utils.torch_utils" in sys.modules:
        yield
        return
    sys.modules[COMPILER] = None  # type: ignore[assignment]  # an import of it is an ImportError
    try:
        yield
    finally:
        del sys.modules[COMPILER]
    found = sys.modules.get("diffusers.utils.torch_utils")
    if found is not None:
        found.maybe_allow_in_graph = allow_in_graph  # type: ignore[attr-defined]


with _without_compiler():
    from diffusers.configuration_utils import ConfigMixin, register_to_config
    from diffusers.models.modeling_utils import ModelMixin

__all__ = ["ConfigMixin", "ModelMixin", "register_to_config"]
