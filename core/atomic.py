"""Write a file or a folder atomically: beside its place, then renamed, so that its name stands for a whole.

A block that fails leaves nothing behind. What a process left that was killed meanwhile is hidden (its name
begins with a dot), and is removed an hour later where that is worth a look: for folders and durable files.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Literal

STALE_SECONDS = 3600.0


@contextmanager
def atomic_write(path: Path, *, durable: bool = False) -> Iterator[BinaryIO]:
    """Open a file that gets the name `path`, in place of what has it, when the block ends well.

    Args:
        path: its folder must exist.
        durable: for large files of long runs: it is on the disk before it gets its name, and what killed runs
            left of it is removed.
    """
    with atomic_path(path, durable=durable) as partial, partial.open("xb") as file:
        yield file
        if durable:
            file.flush()
            os.fsync(file.fileno())


@contextmanager
def atomic_path(path: Path, *, durable: bool = False) -> Iterator[Path]:
    """Like `atomic_write`, for what opens its file itself: yields the name under which to write it."""
    if durable:
        _remove_stale(path)
    # Not tempfile: its files are private (0600), and the finished one would stay so.
    partial = _partial(path)
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def atomic_folder(
    path: Path,
    *,
    existing: Literal["replace", "merge", "keep"] = "replace",
    key_file: str = "",
    outdated: Sequence[str] = (),
) -> Iterator[Path]:
    """Yield a new folder to fill; it becomes the folder `path` when the block ends well.

    Args:
        path: its parents are made.
        existing: what becomes of a folder that is there by then: "replace": it is removed. "merge": the files
            that were written take their places in it, all others stay. "keep": it stays, the new one goes, as
            when several processes make the same.
        key_file: to merge: a file without which the folder counts for nothing, such as config.json. It is
            removed first and comes last, so that a mixture of two never counts.
        outdated: to merge: patterns of files that are removed from each folder that gets new ones.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_stale(path)
    partial = _partial(path)
    partial.mkdir()
    try:
        yield partial
        if existing == "merge" and path.exists():
            _merge(partial, path, key_file, outdated)
        elif existing == "replace" and path.exists():
            old = _partial(path)
            os.replace(path, old)
            os.replace(partial, path)
            shutil.rmtree(old, ignore_errors=True)
        else:
            _publish(partial, path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _merge(partial: Path, path: Path, key_file: str, outdated: Sequence[str]) -> None:
    files = sorted(file.relative_to(partial) for file in partial.rglob("*") if file.is_file())
    if key_file:
        (path / key_file).unlink(missing_ok=True)
    for folder in {file.parent for file in files}:
        (path / folder).mkdir(parents=True, exist_ok=True)
        for pattern in outdated:
            for old in (path / folder).glob(pattern):
                old.unlink()
    for file in sorted(files, key=lambda file: file == Path(key_file)):
        os.replace(partial / file, path / file)


def _publish(partial: Path, path: Path) -> None:
    try:
        os.replace(partial, path)
    except OSError:
        if not path.is_dir():
            raise  # else another process was faster


def _prefix(path: Path) -> str:
    """Of hidden names beside `path`; a digest, as the name itself may be as long as names can be."""
    return f".soundloom-{hashlib.sha256(os.fsencode(path.name)).hexdigest()[:8]}-"


def _partial(path: Path) -> Path:
    return path.with_name(f"{_prefix(path)}{secrets.token_hex(8)}.part")


def _remove_stale(path: Path) -> None:
    """Remove what writers of the same file or folder left behind that were killed."""
    for left in path.parent.glob(f"{_prefix(path)}*.part"):
        try:
            newest = max(file.stat().st_mtime for file in (left, *left.rglob("*")))
            if time.time() - newest <= STALE_SECONDS:
                continue
            shutil.rmtree(left) if left.is_dir() else left.unlink()
        except OSError:
            continue  # another process was faster, or may
