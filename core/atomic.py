"""Files that have their name only when they are whole."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def atomic_write(path: Path) -> Iterator[BinaryIO]:
    """Open a file that gets the name `path`, in place of what has it, when the block ends well.

    Until then it lies beside it under another name; a block that fails leaves nothing behind.
    """
    # Not tempfile: its files are private (0600), and the finished one would stay so.
    partial = path.with_name(f".soundloom-{secrets.token_hex(8)}.part")
    try:
        with partial.open("xb") as file:
            yield file
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
