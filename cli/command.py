"""What a command is, how its words are read, and in which words it fails."""

from __future__ import annotations

import argparse
import difflib
import os
import re
import select
import sys
import traceback
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from ..core.errors import SoundloomError


class CommandError(SoundloomError, ValueError):
    """The command line asks for something that cannot be done; the message names the value and the fix."""


@dataclass(frozen=True)
class Command:
    """One command of `soundloom`.

    Attributes:
        name: the word after `soundloom`.
        summary: its line in `soundloom --help`.
        description: what `soundloom NAME --help` begins with.
        examples: what it ends with: a command a line.
        add_arguments: adds its arguments to a parser.
        run: does it, given the parsed arguments; returns the exit status, None for 0.
    """

    name: str
    summary: str
    description: str
    examples: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int | None]


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors look like all others and name the option that was probably meant.

    Args:
        examples: shown at the end of the help, a command a line.
        settings: of argparse.ArgumentParser.
    """

    def __init__(self, *, examples: str = "", **settings: Any) -> None:
        if examples:
            settings["epilog"] = f"examples:\n{examples}"
        super().__init__(formatter_class=argparse.RawDescriptionHelpFormatter, **settings)

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"soundloom: error: {message}\n(see: {self.prog} --help)\n")

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """As argparse, but a word that is not known is an error here, where the options are known."""
        options, unknown = super().parse_known_args(args, namespace)
        if unknown:
            word = next((word for word in unknown if word.startswith("-")), unknown[0]).split("=")[0]
            known = re.findall(r"--[a-z][a-z-]*", self.format_usage())
            if word.startswith("-"):
                self.error(f"there is no option {word}{did_you_mean(word, known)}")
            self.error(f"{word!r} is one word too many")
        return options, unknown


def did_you_mean(word: str, known: Collection[str]) -> str:
    """The end of a message about an unknown word: what was probably meant, if anything is near."""
    plain = {name.lstrip("-"): name for name in known}  # dashes, which options share, are no likeness
    near = difflib.get_close_matches(word.lstrip("-"), plain, n=2, cutoff=0.65)
    return f"; did you mean {' or '.join(plain[name] for name in near)}?" if near else ""


def run_guarded(command: Callable[[], int | None], *, debug: bool, name: str = "soundloom") -> int:
    """Run `command`, turn what it raises into one line on stderr, and return the exit status.

    That is what the command returns (None: 0), 2 for an error, or 141 where the reader of what it prints has
    gone, as `| head` does: nobody is left to be told.

    Args:
        command: what is run.
        debug: show tracebacks.
        name: of the command, for its messages.
    """
    try:
        status = command() or 0
        sys.stdout.flush()
        return status
    except KeyboardInterrupt:
        print(f"\n{name}: stopped", file=sys.stderr)
        return 130
    except Exception as error:
        if isinstance(error, BrokenPipeError) and reader_has_gone():
            return 141  # as of programs that SIGPIPE ends
        if debug:
            traceback.print_exc()
        print(f"{name}: error: {_said(error)}", file=sys.stderr)
        return 2


def reader_has_gone() -> bool:
    """Whether nobody reads the standard output any more; then nothing more is written to it."""
    if hasattr(select, "poll"):  # not on Windows, where a pipe without a reader is another error
        poll = select.poll()
        poll.register(sys.stdout.fileno(), 0)
        if not any(events & (select.POLLERR | select.POLLHUP) for _, events in poll.poll(0)):
            return False
    silence_output()
    return True


def silence_output() -> None:
    """Write nothing more to the standard output, or Python complains once more when it flushes at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _said(error: Exception) -> str:
    if isinstance(error, CommandError):
        return str(error)
    from ..core.failures import reason_of  # imports torch, for which a mistyped word must not wait

    return reason_of(error)
