"""Import other packages beside a torchaudio that is installed but cannot be loaded.

The `encodec` package depends on torchaudio, and the wheel on the package index is linked against CUDA builds
of torch: beside a CPU-only torch, `import torchaudio` is an OSError. Nothing here needs torchaudio, but two
libraries import it on the way: `encodec`, for two functions that read and resample files, and transformers,
for audio features, as soon as `importlib.util.find_spec` sees it, which broke the loading of every T5 and
BERT.

Both are told otherwise through `sys.modules["torchaudio"]`, which Python documents for this: None there means
"no such module", to `import` and to `find_spec`. The entry is set only while the library looks, never left
behind.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from types import ModuleType

_NAME = "torchaudio"
_lock = threading.RLock()


@functools.cache
def torchaudio_error() -> Exception | None:
    """Why torchaudio cannot be imported; None if it can be."""
    before = set(sys.modules)
    try:
        importlib.import_module(_NAME)
    except (ImportError, OSError, RuntimeError, AttributeError) as error:
        # ImportError: there is none; OSError: its library does not load; RuntimeError: built for another
        # CUDA; AttributeError: for another torch. What it had imported goes: a later attempt starts clean.
        for name in set(sys.modules) - before:
            if name.startswith(f"{_NAME}."):
                del sys.modules[name]
        return error
    return None


@contextmanager
def _seen_as(module: ModuleType | None) -> Iterator[None]:
    """While inside, `import torchaudio` gives `module`; None: there is no torchaudio."""
    missing = object()
    with _lock:
        before = sys.modules.get(_NAME, missing)
        sys.modules[_NAME] = module  # type: ignore[assignment]
        try:
            yield
        finally:
            if before is missing:
                del sys.modules[_NAME]
            else:
                sys.modules[_NAME] = before  # type: ignore[assignment]


def _stand_in() -> ModuleType:
    """A module that can be imported and used for nothing."""
    module = importlib.util.module_from_spec(ModuleSpec(_NAME, None))

    def missing(name: str) -> None:
        if name.startswith("__"):
            raise AttributeError(name)
        raise ImportError(
            f"torchaudio.{name} is not available: torchaudio cannot be loaded ({torchaudio_error()}); use "
            "soundloom.codecs.read_audio, write_audio and resample, or install one that fits this torch"
        )

    module.__getattr__ = missing  # type: ignore[method-assign]
    return module


def import_encodec() -> ModuleType:
    """The `encodec` package, imported with the real torchaudio if that loads, else without.

    Without, only its functions that read, write and resample audio fail, and say why.

    Raises:
        ImportError: the package is not installed.
    """
    try:
        if "encodec" in sys.modules or torchaudio_error() is None:
            return importlib.import_module("encodec")
        with _seen_as(_stand_in()):
            return importlib.import_module("encodec")
    except ModuleNotFoundError as error:
        raise ImportError(
            f"EnCodec needs the Python package {error.name!r}, which is not installed: pip install encodec"
        ) from error


def shield_transformers() -> None:
    """Let transformers see a torchaudio that cannot be loaded as not installed; call before importing it.

    transformers asks once, in a cached function, and imports torchaudio wherever the answer was yes. A
    torchaudio that loads stays visible.
    """
    if torchaudio_error() is None:
        return
    with _seen_as(None):
        from transformers.utils import import_utils

        # A program that imported transformers first has asked already, and got the wrong answer.
        import_utils.is_torchaudio_available.cache_clear()
        import_utils.is_torchaudio_available()
