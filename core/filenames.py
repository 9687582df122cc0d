"""File names: as C libraries take them, and which of them are the same to a reader.

A name that is not UTF-8 is a Python string with surrogates for its bytes (PEP 383): Python opens it, but no
encoder takes the string. Where JSON is written, `errors="backslashreplace"` makes JSON escapes of them, which
give the same name back.
"""

from __future__ import annotations

import os
import unicodedata


def native(path: str | os.PathLike[str]) -> str | bytes:
    """A path as libsndfile's binding takes it: its bytes, except on Windows, where it wants a string."""
    return os.fspath(path) if os.name == "nt" else os.fsencode(path)


def same_name(name: str) -> str:
    """What names that look the same have in common (NFC): "ü" may be one letter, or "u" with two dots."""
    return unicodedata.normalize("NFC", name)
