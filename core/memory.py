"""Memory that was freed, given back to the system."""

from __future__ import annotations

import ctypes
import sys


def release_freed() -> None:
    """Let the system have what this process has freed; where the C library is not glibc, it does so itself.

    glibc keeps freed blocks of up to 32 MB for later, and between blocks that stay, those add up.
    """
    if sys.platform != "linux":
        return
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
