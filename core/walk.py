"""Find the files below a folder: links are followed once, and what cannot be entered or opened is named."""

from __future__ import annotations

import glob
import itertools
import logging
import os
import stat
from collections import deque
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from .failures import Failure

logger = logging.getLogger(__name__)

_KINDS = (
    (stat.S_ISFIFO, "a named pipe, not a file"),
    (stat.S_ISSOCK, "a socket, not a file"),
    (stat.S_ISCHR, "a device, not a file"),
    (stat.S_ISBLK, "a device, not a file"),
)


@dataclass
class Walk:
    """What is below a folder; every path begins with that folder.

    Attributes:
        folders: the folder itself, and all below, including those that cannot be entered.
        files: regular files, and links to such, sorted.
        failures: folders that may not be entered, broken links, and what is no file.
    """

    folders: list[Path] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)

    def failures_of(self, suffixes: Collection[str]) -> list[Failure]:
        """Those that may be about files with one of these suffixes, in lower case: all but other suffixes."""
        folders = {str(folder) for folder in self.folders}
        return [
            failure
            for failure in self.failures
            if failure.file in folders or Path(failure.file).suffix.lower() in {*suffixes, ""}
        ]


def walk(root: str | os.PathLike[str]) -> Walk:
    """Find all files below a folder.

    Hidden files and folders are passed over. Linked folders are followed like others, but no folder is
    visited twice, so that circles of links end: a folder is found under its own path if that is below `root`,
    else under the first link to it, and further links to it are named in one warning.
    """
    found = Walk()
    seen: set[tuple[int, int]] = set()
    repeated: list[Path] = []
    links = deque([Path(root)])  # a linked folder waits until all that is really there has been visited
    while links:
        start = links.popleft()
        waiting = [start]
        while waiting:
            folder = waiting.pop()
            try:
                status = os.stat(folder)
                if (status.st_dev, status.st_ino) in seen:
                    repeated.append(folder)
                    continue
                seen.add((status.st_dev, status.st_ino))
                found.folders.append(folder)  # also if the next step fails
                with os.scandir(folder) as entries:
                    inside = sorted(entries, key=lambda entry: entry.name)
            except OSError as error:
                reason = f"this folder cannot be entered ({error.strerror})"
                found.failures.append(Failure(str(folder), reason, error))
                continue
            for entry in inside:
                if not entry.name.startswith("."):
                    _sort_in(Path(entry.path), entry.is_symlink(), found, waiting, links)
    if repeated:
        names = ", ".join(map(str, repeated[:3])) + (f" and {len(repeated) - 3} more" if repeated[3:] else "")
        logger.warning("not followed, since it leads to a folder that is listed already: %s", names)
    found.files.sort()
    return found


def _sort_in(path: Path, link: bool, found: Walk, waiting: list[Path], links: deque[Path]) -> None:
    """Put a path where it belongs: a file, a folder that waits, a link that waits, or a failure."""
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        found.failures.append(broken_link(path) or Failure(str(path), error.strerror or str(error), error))
        return
    if stat.S_ISDIR(mode):
        (links if link else waiting).append(path)
    elif failure := not_a_file(path):
        found.failures.append(failure)
    else:
        found.files.append(path)


def broken_link(path: Path) -> Failure | None:
    """The failure that a link to nowhere is; None for everything else."""
    if not path.is_symlink() or path.exists():
        return None
    return Failure(str(path), f"a broken link: it leads to {os.readlink(path)}, which is not there")


def not_a_file(path: Path) -> Failure | None:
    """The failure that a named pipe, a socket or a device is; None for everything else."""
    mode = os.stat(path).st_mode if path.exists() else stat.S_IFREG
    words = next((words for is_kind, words in _KINDS if is_kind(mode)), None)
    return None if words is None else Failure(str(path), words)


def match(pattern: str) -> Walk:
    """Find the files that a glob pattern matches; `**` is any number of folders, linked ones followed once.

    The standard library's glob follows a circle of links as often as the operating system allows.
    """
    parts = Path(pattern).parts
    found = Walk()
    if "**" in parts:
        first = parts.index("**")
        rest = tuple(itertools.dropwhile("**".__eq__, parts[first:])) or ("*",)
        starts = glob.glob(str(Path(*parts[:first]))) if first else ["."]
        for start in filter(os.path.isdir, sorted(starts)):
            below = walk(start)
            found.failures += [failure for failure in below.failures if Path(failure.file) in below.folders]
            for folder in below.folders:
                inside = match(os.path.join(glob.escape(str(folder)), *rest))
                found.files += inside.files
                found.failures += inside.failures
    else:
        for path in map(Path, glob.glob(pattern)):
            _sort_in(path, path.is_symlink(), found, [], deque())
    # Several `**` may reach one folder by several ways; the shortest is kept.
    unique: dict[tuple[str, str], Path] = {}
    for path in sorted(found.files, key=lambda path: (len(path.parts), path)):
        unique.setdefault((os.path.realpath(path.parent), path.name), path)
    found.files = sorted(unique.values())
    found.failures = list(dict.fromkeys(found.failures))
    return found
