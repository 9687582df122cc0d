"""Meta's EnCodec through the `encodec` package.

Its settings (encodec_config) and network (network), one segment (coded_segments, segment_codec), streaming
(stages, streaming), weights as others publish them (convert), and the codec itself (model).
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .model import EnCodec

__all__ = ["EnCodec"]


def __getattr__(name: str) -> Any:
    # When first asked for: diffusers takes seconds, and describing an .ecdc file needs none of it.
    if name == "EnCodec":
        return importlib.import_module(".model", __name__).EnCodec
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
