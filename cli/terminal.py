"""What a command shows while it works, and the standard output for bytes."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import BinaryIO

from .command import CommandError


@contextmanager
def progress_bar(*, enabled: bool, desc: str, unit: str) -> Iterator[Callable[[int, int], None]]:
    """Yield a callback (done, total) that draws a bar on stderr."""
    from tqdm import tqdm

    with tqdm(desc=desc, unit=f" {unit}", disable=not enabled, file=sys.stderr, leave=False) as bar:

        def update(done: int, total: int) -> None:
            bar.total = total or None
            bar.update(done - bar.n)

        yield update


def say(text: str, *, error: bool = False) -> None:
    """Print a line above a progress bar, if there is one."""
    from tqdm import tqdm

    tqdm.write(text, file=sys.stderr if error else sys.stdout)


@contextmanager
def standard_output() -> Iterator[BinaryIO]:
    """Yield the standard output for bytes; a reader that has gone is one clear error."""
    try:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        # Or Python complains once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise CommandError("the program that was to read the sound has stopped reading") from None
