"""What a command shows while it works, and the standard output for bytes."""

from __future__ import annotations

import codecs
import io
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from ..core.progress import Progress
from .command import CommandError, silence_output

_ESCAPE = "soundloom.escape"


@contextmanager
def progress_bar(*, enabled: bool, desc: str, unit: str) -> Iterator[Progress]:
    """Yield a callback (done, total) that draws a bar on stderr."""
    from tqdm import tqdm

    with tqdm(desc=desc, unit=f" {unit}", disable=not enabled, file=sys.stderr, leave=False) as bar:

        def update(done: int, total: int) -> None:
            bar.total = total or None
            bar.update(done - bar.n)

        yield update


def show_any_name() -> None:
    """Let standard output and error show what they cannot encode escaped: a file's name need not be UTF-8."""
    codecs.register_error(_ESCAPE, _escape)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_ESCAPE)


def _escape(error: UnicodeError) -> tuple[str, int]:
    """As the handler "backslashreplace", but a byte of a file's name is shown as that byte."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    escaped = error.object[error.start : error.end].encode("ascii", "backslashreplace").decode()
    return re.sub(r"\\udc([89a-f][0-9a-f])", r"\\x\1", escaped), error.end


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
        silence_output()
        raise CommandError("the program that was to read the sound has stopped reading") from None
