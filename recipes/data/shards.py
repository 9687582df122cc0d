"""WebDataset shards: data sets as a row of tar files, read front to back, from a disk or over the network.

A sample is a run of neighbouring members that share their name up to the first dot of its last part:
"000017.flac" and "000017.json". Raw shards hold sound files with their side-cars (see folder.py), encoded
ones "KEY.safetensors" and "KEY.json" (see encoding.py). https://github.com/webdataset/webdataset describes
the format. That package reads and writes the same files, but it opens addresses by way of a shell and
unpickles by default, so here fsspec opens them and the standard library's tarfile reads them.
"""

from __future__ import annotations

import io
import json
import logging
import re
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

logger = logging.getLogger(__name__)

SUFFIX = ".tar"
MAX_MEMBER_BYTES = 2**30  # a larger member is skipped with a warning: a sample has to fit into memory
MAX_SHARD_BYTES = 500_000_000
MAX_SHARD_SAMPLES = 10_000
_PIECE = re.compile(r"(\d{8})-\d{3}")  # keys of encoded shards: recording and piece, see encoding.py
HOLD_OUT_EVERY = 20  # without data for validation, one in so many recordings is kept for it
_RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")


@dataclass
class Sample:
    """What belongs together in a shard.

    Attributes:
        shard: the tar file's path or address.
        key: what the members' names share.
        members: contents by the rest of the name, with its dot and in lower case: ".flac".
    """

    shard: str
    key: str
    members: dict[str, bytes]

    def __str__(self) -> str:
        return f"{self.shard}, sample {self.key}"


class ShardWriter:
    """Writes samples to FOLDER/shard-000000.tar, shard-000001.tar and so on.

    The same samples give the same bytes. Use it as a context manager.

    Args:
        folder: exists already.
        max_bytes, max_samples: a shard that has reached one of them is complete.
    """

    def __init__(
        self, folder: Path, *, max_bytes: int = MAX_SHARD_BYTES, max_samples: int = MAX_SHARD_SAMPLES
    ) -> None:
        self.folder, self.max_bytes, self.max_samples = folder, max_bytes, max_samples
        self.counts: list[int] = []
        self._tar: tarfile.TarFile | None = None

    def write(self, key: str, members: Mapping[str, bytes]) -> None:
        """Add a sample: contents by suffix (".flac").

        Raises:
            ValueError: the key holds a dot, so that readers would take another one, or is empty.
        """
        if not key or "." in Path(key).name:
            raise ValueError(f"the key {key!r} of a sample must not be empty or hold a dot in its last part")
        if self._tar is not None and (
            self.counts[-1] >= self.max_samples or self._tar.offset >= self.max_bytes
        ):
            self.close()
        if self._tar is None:
            path = self.folder / f"shard-{len(self.counts):06d}{SUFFIX}"
            self._tar = tarfile.open(path, "w")  # noqa: SIM115 (stays open until the shard is complete)
            self.counts.append(0)
        for suffix, content in members.items():
            entry = tarfile.TarInfo(key + suffix)
            entry.size = len(content)
            self._tar.addfile(entry, io.BytesIO(content))
        self.counts[-1] += 1

    def close(self) -> None:
        """Complete the last shard."""
        if self._tar is not None:
            self._tar.close()
            self._tar = None

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def holds_shards(place: str | Path) -> bool:
    """Whether a data module's folder means shards: an address, a name ending in .tar, or a folder of such."""
    text = str(place)
    return "://" in text or text.endswith(SUFFIX) or any(Path(text).glob(f"*{SUFFIX}"))


def find_shards(place: str | Path) -> list[str]:
    """Find the shards that a data module's folder means.

    Args:
        place: a folder of .tar files; a file; or several as "shard-{000000..000099}.tar" or "shard-*.tar".
            Each may begin with what fsspec knows: "https://", "s3://", "gs://", "hf://datasets/". Over http a
            folder cannot be listed: give a range in braces.

    Raises:
        ValueError: "pipe:", which would start a shell, or an upside-down range.
        FileNotFoundError: there are none.
        ImportError: the protocol needs a package that is not installed; the message names it.
    """
    import fsspec  # not above: what reads local folders does without

    text = str(place)
    if text.startswith("pipe:"):
        raise ValueError(f"{text!r} would run a command; give the address itself, such as s3://bucket/a.tar")
    if match := _RANGE.search(text):
        first, last = int(match[1]), int(match[2])
        if last < first:
            raise ValueError(f"the range {match[0]} in {text!r} is upside down; give {{first..last}}")
        names = (f"{number:0{len(match[1])}d}" for number in range(first, last + 1))
        return [shard for name in names for shard in find_shards(text.replace(match[0], name, 1))]
    if text.startswith(("http://", "https://")):
        return [text]
    if "*" not in text and not text.endswith(SUFFIX):
        text = f"{text.rstrip('/')}/*{SUFFIX}"
    files, path = fsspec.core.url_to_fs(text)
    found = sorted(files.glob(path)) if "*" in path else [path] if files.exists(path) else []
    if not found:
        raise FileNotFoundError(
            f"no shards at {text}; make some with: soundloom prepare FOLDER -o OUT --shards"
        )
    return [files.unstrip_protocol(name) if "://" in text else str(name) for name in found]


def read_shard(shard: str) -> Iterator[Sample]:
    """Read a shard front to back.

    Raises:
        OSError: it cannot be opened, or breaks off.
    """
    import fsspec

    try:
        with fsspec.open(shard, "rb") as stream, tarfile.open(fileobj=stream, mode="r|*") as tar:
            yield from _samples(shard, tar)
    except Exception as error:  # every protocol's package, and every compression, has errors of its own
        raise OSError(f"cannot read the shard {shard} ({type(error).__name__}: {error})") from error


def _samples(shard: str, tar: tarfile.TarFile) -> Iterator[Sample]:
    key, members = "", dict[str, bytes]()
    for entry in tar:
        found, suffix = split_name(entry.name)
        if not entry.isreg() or not suffix or Path(entry.name).name.startswith("."):
            continue
        if found != key:
            if members:
                yield Sample(shard, key, members)
            key, members = found, {}
        if entry.size > MAX_MEMBER_BYTES:
            logger.warning("%s: %s is left out, having %d bytes; cut it first", shard, entry.name, entry.size)
            continue
        content = tar.extractfile(entry)
        assert content is not None
        members[suffix.lower()] = content.read()
    if members:
        yield Sample(shard, key, members)


def split_name(name: str) -> tuple[str, str]:
    """A member's key and the rest of its name: "a/b.ogg.json" -> ("a/b", ".ogg.json")."""
    folder, slash, file = name.rpartition("/")
    stem, dot, suffix = file.partition(".")
    return folder + slash + stem, dot + suffix


def describe_shards(place: str | Path) -> dict[str, Any] | None:
    """The prepared.json beside the shards (see encoding.py), or None: not ours, or not to be had."""
    import fsspec

    folder = str(place)
    if folder.endswith(SUFFIX):
        folder = folder.rpartition("/")[0] or "."
    try:
        with fsspec.open(f"{folder.rstrip('/')}/prepared.json", "r", encoding="utf-8") as file:
            found = json.load(file)
    except (OSError, ValueError, ImportError):
        return None
    return found if isinstance(found, dict) else None


def held_out(key: str) -> bool:
    """Whether a sample of a shard is kept for validation: about every 20th recording, by its key."""
    piece = _PIECE.fullmatch(key)
    return zlib.crc32((piece[1] if piece else key).encode()) % HOLD_OUT_EVERY == 0
