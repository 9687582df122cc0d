"""Batch processing of files: find them, and name what each becomes; core/run_jobs.py does the work.

Sources are files, folders (with everything in them) and glob patterns; folders keep their structure.
"""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...core.failures import Failure
from ...core.files import check_file_destination
from ...core.walk import broken_link, match, not_a_file, walk


@dataclass(frozen=True)
class Job:
    """One file to make of another.

    Attributes:
        source: what is read.
        destination: what is made.
        failure: why it cannot be done (a broken link, a folder that may not be entered), if that is known.
    """

    source: Path
    destination: Path
    failure: Failure | None = None


def plan_jobs(
    sources: Sequence[str | os.PathLike[str]],
    destination: str | os.PathLike[str],
    *,
    suffixes: Collection[str],
    new_suffix: str,
    force: bool = False,
) -> list[Job]:
    """Find all files and say what each becomes, after checking that each can be written.

    One file becomes the file `destination`, unless that is a folder or ends in a slash. Everything else goes
    into the folder `destination`: a file under its own name, what is in a folder (or matches a pattern) under
    its path below that folder (or below the part of the pattern without wildcards). Files that would become
    the same one, such as a.wav and a.flac, keep their suffix: a.wav.loom, a.flac.loom. Folders are made when
    needed.

    Args:
        sources: files, folders, glob patterns (`**` is any number of folders).
        destination: file or folder.
        suffixes: what counts in folders and patterns.
        new_suffix: of what is made.
        force: let existing files be replaced.

    What was found and cannot be a source (a broken link, a named pipe, a folder that may not be entered) is a
    job with a `failure`, which is its outcome when its turn comes. Linked folders are followed, see `walk`.

    Raises:
        FileNotFoundError: a source is not there, or there is nothing of use in it.
        FileExistsError: something exists already and `force` is off, two sources would become one file, or a
            source would be replaced by what it becomes.
        NotADirectoryError: several files for a destination that is a file.
    """
    target = Path(destination)
    single = len(sources) == 1 and _is_plain(sources[0])
    if single and not target.is_dir() and not os.fspath(destination).endswith(("/", os.sep)):
        check_file_destination(target, force=force, example=f"sound{new_suffix}")
        broken = broken_link(Path(sources[0]))
        jobs = [Job(Path(sources[0]), target, broken)]
    else:
        if target.exists() and not target.is_dir():
            raise NotADirectoryError(
                f"several files cannot become one: {target} is a file; give a folder, which is made if needed"
            )
        found, failures = _found(sources, suffixes)
        jobs = _name(found, target, new_suffix)
        jobs += [Job(Path(failure.file), target, failure) for failure in dict.fromkeys(failures)]
    _check([job for job in jobs if job.failure is None], force)
    return jobs


def find_files(sources: Sequence[str | os.PathLike[str]], *, suffixes: Collection[str]) -> list[Job]:
    """Find all files, for jobs of which nothing is made: their destination is the source.

    Arguments and errors as of `plan_jobs`, but a file that is not there is a job with a `failure`.
    """
    found, failures = _found(sources, suffixes)
    jobs = [Job(path, path, None if path.exists() else _missing(path)) for path, _ in dict.fromkeys(found)]
    return jobs + [Job(Path(each.file), Path(each.file), each) for each in dict.fromkeys(failures)]


def _missing(path: Path) -> Failure:
    return Failure(str(path), "no such file; check the spelling and the current folder")


def _found(
    sources: Sequence[str | os.PathLike[str]], suffixes: Collection[str]
) -> tuple[list[tuple[Path, Path]], list[Failure]]:
    """Files of all sources, see `_expand`."""
    found: list[tuple[Path, Path]] = []
    failures: list[Failure] = []
    for source in sources:
        files, failed = _expand(os.fspath(source), suffixes, alone=len(sources) == 1)
        found += files
        failures += failed
    return found, failures


def _is_plain(source: str | os.PathLike[str]) -> bool:
    """Whether a source names one file: it may not exist, but it is no folder and no pattern."""
    return not os.path.isdir(source) and (os.path.exists(source) or not glob.has_magic(os.fspath(source)))


def _expand(
    source: str, suffixes: Collection[str], *, alone: bool
) -> tuple[list[tuple[Path, Path]], list[Failure]]:
    """Files of a source, each with its path in the destination folder, and what cannot be read of it."""
    if _is_plain(source):
        path = Path(source)
        # What a shell made of *.wav is like a folder: a pipe among files would be waited for without end.
        meant = alone or path.suffix.lower() not in suffixes
        failure = broken_link(path) or (None if meant else not_a_file(path))
        return ([], [failure]) if failure else ([(path, Path(path.name))], [])
    if os.path.isdir(source):
        root, found = Path(source), walk(source)
    else:
        parts = Path(source).parts
        fixed = next(index for index, part in enumerate(parts) if glob.has_magic(part))
        root, found = Path(*parts[:fixed]), match(source)
    useful = [path for path in found.files if path.suffix.lower() in suffixes]
    failures = found.failures_of(suffixes)
    if not useful and not failures:
        wanted = ", ".join(sorted(suffixes))
        others = f"; the {len(found.files)} files there are none of them" if found.files else ""
        raise FileNotFoundError(
            f"nothing to do in {source}: it has no file with one of the suffixes {wanted}{others}"
        )
    return [(path, path.relative_to(root)) for path in useful], failures


def _name(found: Sequence[tuple[Path, Path]], target: Path, new_suffix: str) -> list[Job]:
    """What each file becomes."""
    found = list(dict.fromkeys(found))  # a file that two patterns match
    plain = [place.with_suffix(new_suffix) for _, place in found]
    times = Counter(plain)
    jobs = []
    taken: dict[Path, Path] = {}
    for (source, place), short in zip(found, plain, strict=True):
        unique = short if times[short] == 1 else place.with_name(place.name + new_suffix)
        if unique in taken:
            raise FileExistsError(
                f"{taken[unique]} and {source} would both become {target / unique}; do them separately"
            )
        taken[unique] = source
        jobs.append(Job(source, target / unique))
    return jobs


def _check(jobs: Sequence[Job], force: bool) -> None:
    """Raise now what would fail later."""
    missing = [str(job.source) for job in jobs if not job.source.exists()]
    if missing:
        raise FileNotFoundError(
            f"no such file: {', '.join(missing[:3])}; check the spelling and the current folder"
        )
    present = [str(job.destination) for job in jobs if job.destination.exists()]
    if present and not force:
        more = f" and {len(present) - 3} more" if len(present) > 3 else ""
        raise FileExistsError(
            f"{', '.join(present[:3])}{more} already there; choose another folder, or overwrite with force "
            "(--force)"
        )
