"""Meta's EnCodec through the `encodec` package.

The network (network) and its weights from wherever they are (weights) make the codec (model); sounds in
segments (segments); codes while the sound comes in (stages, streaming); `.ecdc` files (ecdc_header,
ecdc_codes, ecdc_writer, and their reader, ecdc).
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
