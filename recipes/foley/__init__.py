"""The Foley corpus: procedural, captioned sound effects, deterministic by seed.

Every module named sounds_*.py in this folder registers its sound classes when it is imported here.
"""

import importlib
import pkgutil

from .sound_classes import CLASSES

for _module in sorted(
    info.name for info in pkgutil.iter_modules(__path__) if info.name.startswith("sounds_")
):
    importlib.import_module(f"{__name__}.{_module}")

from .corpus import Clip, FoleyCorpus  # noqa: E402  (after the sounds have registered themselves)

__all__ = ["CLASSES", "Clip", "FoleyCorpus"]
