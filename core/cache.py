"""Convert checkpoints of other projects once, and keep the results in a cache folder."""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

from safetensors import SafetensorError

from .atomic import atomic_folder
from .checkpoint import weight_files
from .errors import ModelError

logger = logging.getLogger(__name__)

CACHE_VARIABLE = "SOUNDLOOM_CACHE"
# Raised when converted folders change, so that those of older versions are left alone.
CACHE_VERSION = 1

_CANNOT_WRITE = {
    errno.EACCES,
    errno.EDQUOT,
    errno.EEXIST,
    errno.ENOSPC,
    errno.ENOTDIR,
    errno.EPERM,
    errno.EROFS,
}
_BLOB = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


def cache_root() -> Path:
    """The cache folder: the environment variable SOUNDLOOM_CACHE, else `soundloom` in Hugging Face's home."""
    own = os.environ.get(CACHE_VARIABLE)
    if own:
        return Path(own).expanduser()
    from huggingface_hub.constants import HF_HOME

    return Path(HF_HOME) / "soundloom"


def file_key(file: Path) -> str:
    """16 hex digits that change when the file does.

    A file of the hub's cache is known by its content hash, any other by its path, size and time of change:
    hashing gigabytes at every start would take longer than loading them.
    """
    real = file.resolve()
    if real.parent.name == "blobs" and _BLOB.fullmatch(real.name):
        identity = real.name
    else:
        about = real.stat()
        identity = f"{real}|{about.st_size}|{about.st_mtime_ns}"
    return hashlib.sha256(f"{CACHE_VERSION}|{identity}".encode()).hexdigest()[:16]


def converted(file: Path, part: str, build: Callable[[Path], None]) -> Path:
    """The folder of what `build` makes of a file; built only if it is not there or damaged.

    It appears complete or not at all, also when several processes build it at once.

    Args:
        file: the source, whose change leads to another folder.
        part: what is made of it, for the name of the folder.
        build: writes a model folder (config.json and weight files) to the path it is given.

    Returns:
        A folder in `cache_root()`.

    Raises:
        OSError: the cache cannot be written; the message names it and says how to choose another one.
        Whatever `build` raises about the source.
    """
    folder = cache_root() / f"{part}-{file_key(file)}"
    if _is_whole(folder):
        return folder
    try:
        with atomic_folder(folder, existing="keep") as partial:
            build(partial)
    except (OSError, SafetensorError) as error:
        if isinstance(error, OSError) and error.errno not in _CANNOT_WRITE:
            raise
        raise ModelError(
            f"cannot write converted weights to the cache {cache_root()} ({error}); make room there, or set "
            f"the environment variable {CACHE_VARIABLE} to a folder that is writable and large enough"
        ) from error
    return folder


def _is_whole(folder: Path) -> bool:
    """Whether a converted folder is there with complete files; what is left of a damaged one is removed."""
    if not folder.is_dir():
        return False
    try:
        weight_files(folder)
        return (folder / "config.json").is_file()
    except (OSError, ValueError) as error:
        logger.warning("the converted weights in %s are damaged (%s); they are made again", folder, error)
        shutil.rmtree(folder, ignore_errors=True)
        return False
