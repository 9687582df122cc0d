"""diffusers' base classes of saved models, without what their import would bring along for other things.

For a decorator of models of its own, diffusers imports `torch._dynamo`: 1.3 of the 4.5 seconds and 70 of the
390 MB that a process took before it made a sound. For an annotation in the settings of pipelines it imports
transformers, 9 MB. Here the first import waits until something is decorated, and the second is left out.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

COMPILER = "torch._dynamo"
SETTINGS = "transformers.utils.quantization_config"


def allow_in_graph(thing: Any) -> Any:
    """Torch's decorator of that name, imported when it is used; stands in diffusers' place for it."""
    from torch._dynamo import allow_in_graph as decorate

    return decorate(thing)


@contextmanager
def _hidden(module: str, user: str) -> Iterator[None]:
    """Let diffusers believe that a module is missing; nothing is changed where it or its user is there."""
    if module in sys.modules or user in sys.modules:
        yield
        return
    sys.modules[module] = None  # type: ignore[assignment]  # an import of it is an ImportError
    try:
        yield
    finally:
        del sys.modules[module]


_decorates = "diffusers.utils.torch_utils" not in sys.modules and COMPILER not in sys.modules
with (
    _hidden(COMPILER, "diffusers.utils.torch_utils"),
    _hidden(SETTINGS, "diffusers.quantizers.pipe_quant_config"),  # which names it in an annotation only
):
    from diffusers.configuration_utils import ConfigMixin, register_to_config
    from diffusers.models.modeling_utils import ModelMixin
if _decorates:
    sys.modules["diffusers.utils.torch_utils"].maybe_allow_in_graph = allow_in_graph  # type: ignore[attr-defined]

__all__ = ["ConfigMixin", "ModelMixin", "register_to_config"]
