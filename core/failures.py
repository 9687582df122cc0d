"""Collect the failures of work on many files: each is named with its reason, and the others go on.

This is the one place that decides what counts as "this file failed", and in which words.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import ParamSpec, TypeVar

logger = logging.getLogger(__name__)

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Failure:
    """A file or folder that could not be used.

    Attributes:
        file: its name, as the user knows it.
        reason: why, in words.
        error: what was raised; None where nothing was.
    """

    file: str
    reason: str
    error: Exception | None = field(default=None, compare=False, repr=False)

    def __str__(self) -> str:
        return f"{self.file}: {self.reason}"


def attempt(
    file: str, work: Callable[Parameters, Result], /, *args: Parameters.args, **settings: Parameters.kwargs
) -> Result | Failure:
    """Return `work(*args, **settings)`, the result of the work on one file, or a Failure.

    Decoders, codecs and operating systems raise whatever they like over an odd file, so every `Exception`
    counts; the traceback is logged at the level DEBUG. MemoryError, which is not the file's fault, is raised,
    and so are KeyboardInterrupt and its like.
    """
    try:
        return work(*args, **settings)
    except MemoryError:
        raise
    except Exception as error:
        logger.debug("%s", file, exc_info=True)
        return Failure(file, reason_of(error), error)


def said(failure: Failure) -> str:
    """A failure in words that name the file once: many reasons do so themselves."""
    return failure.reason if failure.file in failure.reason else str(failure)


def reason_of(error: Exception) -> str:
    """What to say about an error: its message, and where that is no message for a user, how to learn more."""
    if isinstance(error, (ValueError, OSError)) and not isinstance(error, UnicodeError) and str(error):
        return _said_in_a_worker(str(error))
    kind = type(error)
    if kind.__name__ == "MisconfigurationException" and kind.__module__.startswith("lightning."):
        return str(error)  # Lightning's word for settings that do not go together
    if kind.__name__ == "OutOfMemoryError" and kind.__module__.startswith("torch"):
        return (
            f"the device has too little memory: {error}; ask for less at once, such as a smaller batch_size"
        )
    return f"{kind.__name__}: {error} (run again with --debug for the traceback)"


def _said_in_a_worker(message: str) -> str:
    """The message of an error alone, where torch has put a loading process's whole traceback before it."""
    if not re.match(r"Caught \w+ in DataLoader worker process \d+\.\n", message):
        return message
    last = message.rstrip().rsplit("\n", 1)[-1]
    return re.sub(r"^[\w.]+: ", "", last)


def failure_lines(failures: Sequence[Failure], most: int = 20, rest: str = "") -> list[str]:
    """Failures as lines of text, of which at most `most` are named; `rest` says where the others are."""
    lines = [f"  {failure.file}  ({failure.reason})" for failure in failures[:most]]
    if len(failures) > most:
        lines.append(f"  … and {len(failures) - most} more" + (f", {rest}" if rest else ""))
    return lines
