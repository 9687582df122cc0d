"""Folders of recordings as people have them: find the sounds and their captions, read a part of one.

Three layouts, which may be mixed below one folder:

    a table       metadata.csv or metadata.jsonl with file_name (relative to the table) and text: the
                  AudioFolder convention of Hugging Face; several rows for one file are several captions
    side-cars     dog.wav with dog.json (description, or keywords, or title) or dog.txt (a caption a line)
    audio alone   no captions: enough for a codec and for unconditional training

A table goes before side-cars, .json before .txt. For what counts as a caption in a table or .json see
`captions.captions_of`, for how tables are read caption_tables.py. Names that look the same are the same,
however an "ü" is spelled; linked folders are followed once.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from torch import Tensor

from ...core.audio import SOUND_SUFFIXES, UNDECODED_SUFFIXES, AudioError, check_sound, mix, resample
from ...core.failures import Failure, attempt
from ...core.filenames import same_name
from ...core.sound_reader import SoundReader, open_sound
from ...core.walk import walk
from .caption_tables import SURROGATE, TABLES, Table, read_table
from .captions import captions_of
from .crop import crop_start

logger = logging.getLogger(__name__)

AUDIO_SUFFIXES = (*SOUND_SUFFIXES, *UNDECODED_SUFFIXES)
SIDE_CARS = (".json", ".txt")
MAX_SIDE_CAR_BYTES = 1_000_000  # a larger one is no caption

# What can be wrong with a file; the words that reports and messages use.
UNREADABLE = "unreadable"
SILENT = "silent"
TOO_SHORT = "too short"
NO_CAPTION = "no caption"
DUPLICATE = "duplicate"
MISSING_FILE = "missing file"
BAD_CAPTIONS = "unreadable captions"


@dataclass(frozen=True)
class Recording:
    """A sound file.

    Attributes:
        path: where it is.
        name: its path below the folder, with "/".
        captions: what it sounds like, in one or several wordings; empty when nobody said.
        uncaptioned: why there are none, "" where there are some.
        columns: what its row of a table says by the names of the columns, in lower case; of several rows the
            first.
    """

    path: Path
    name: str
    captions: tuple[str, ...] = ()
    uncaptioned: str = ""
    columns: Mapping[str, str] = field(default_factory=dict, hash=False)

    def in_split(self, split: str, *, or_none: bool = True) -> bool:
        """Whether its row names this split, or, with `or_none`, no split."""
        return (self.columns.get("split", "").strip() or split * or_none).lower() == split.lower()


@dataclass(frozen=True)
class Problem:
    """What is wrong with one file: its name below the folder, one of the words above, and details."""

    file: str
    kind: str
    detail: str

    def __str__(self) -> str:
        return f"{self.file}: {self.kind} ({self.detail})"


@dataclass
class Listing:
    """The sounds below a folder, sorted by name, and what cannot be read: captions, links, folders."""

    folder: Path
    recordings: list[Recording] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def check(self) -> None:
        """Raise `ValueError` if there is no sound."""
        if not self.recordings:
            count = len(self.problems)
            more = f"; {count} cannot be read, the first: {self.problems[0]}" if count else ""
            raise ValueError(f"{self.folder} holds no sound file; known: {', '.join(AUDIO_SUFFIXES)}{more}")

    def keep_split(self, split: str, *, or_none: bool) -> None:
        """Keep the sounds of a split, with `or_none` also those of none; `ValueError` if nothing is left."""
        names = sorted({recording.columns.get("split", "") for recording in self.recordings})
        self.recordings = [one for one in self.recordings if one.in_split(split, or_none=or_none)]
        if not self.recordings:
            raise ValueError(f"no sound in {self.folder} is of the split {split!r}; there are: {names}")


def list_folder(folder: str | Path) -> Listing:
    """Find all sound files below a folder and their captions; opens no sound file.

    Hidden files and folders (".cache", the "._dog.wav" of an archive made on a Mac) are passed over.

    Raises:
        FileNotFoundError, NotADirectoryError: there is no such folder.
    """
    folder = Path(folder)
    if folder.is_file():
        raise NotADirectoryError(f"{folder} is a file; give the folder that holds the sounds")
    if not folder.is_dir():
        raise FileNotFoundError(f"no such folder: {folder}; check the spelling and the current folder")
    listing = Listing(folder)
    sounds = _Sounds(folder)
    tables: dict[str, Path] = {}
    side_cars: dict[tuple[str, str], Path] = {}
    found = walk(folder)
    for path in found.files:
        name, suffix = path.relative_to(folder).as_posix(), path.suffix.lower()
        if path.name.lower() in TABLES:
            tables[name] = path
        elif suffix in AUDIO_SUFFIXES:
            sounds.files[name] = path
        elif suffix in SIDE_CARS:
            side_cars[_stem(name), suffix] = path
    for failure in found.failures_of((*AUDIO_SUFFIXES, *SIDE_CARS, ".csv", ".jsonl")):
        path = Path(failure.file)
        kind = BAD_CAPTIONS if path.suffix.lower() in (*SIDE_CARS, ".csv", ".jsonl") else UNREADABLE
        listing.problems.append(Problem(path.relative_to(folder).as_posix(), kind, failure.reason))
    captions: dict[str, list[str]] = {}
    columns: dict[str, dict[str, str]] = {}
    reasons: dict[str, str] = {}
    for place in sorted(tables):
        _read_table(tables[place], place, listing, sounds, captions, columns, reasons)
    for name in sorted(sounds.files):
        texts = captions.get(name) or _side_car_captions(name, side_cars, listing, reasons)
        reason = "" if texts else reasons.get(name, "in no metadata.csv, metadata.jsonl, .json or .txt")
        listing.recordings.append(
            Recording(sounds.files[name], name, tuple(dict.fromkeys(texts)), reason, columns.get(name, {}))
        )
    return listing


def _stem(name: str) -> str:
    """What a sound and its side-cars have in common."""
    return same_name(PurePosixPath(name).with_suffix("").as_posix())


class _Sounds:
    """The sound files below a folder by their names, and by other names for the same.

    Attributes:
        files: paths by name below the folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files: dict[str, Path] = {}
        self._looks: dict[str, list[str]] | None = None
        self._identities: dict[tuple[int, int], str] = {}

    def find(self, name: str) -> tuple[str | None, str]:
        """The name under which a file is listed, or None and why there is none."""
        if name in self.files:
            return name, ""
        if self._looks is None:
            self._looks = {}
            for listed, path in self.files.items():
                self._looks.setdefault(same_name(listed), []).append(listed)
                status = attempt(listed, path.stat)
                if not isinstance(status, Failure):
                    self._identities.setdefault((status.st_dev, status.st_ino), listed)
        alike = self._looks.get(same_name(name), [])
        if len(alike) > 1:
            return None, f"{len(alike)} files have names that look like this"
        if alike:
            return alike[0], ""
        # A second link to a folder; a name in other letters, on a disk that takes those for the same.
        path = self.folder / name
        status = attempt(name, path.stat)
        known = ", ".join(AUDIO_SUFFIXES)
        other = "" if path.suffix.lower() in AUDIO_SUFFIXES else f"; known: {known}"
        if isinstance(status, Failure):
            return None, f"no such sound file{other}"
        identity = (status.st_dev, status.st_ino)
        if identity in self._identities:
            return self._identities[identity], ""
        hidden = any(part.startswith(".") for part in PurePosixPath(name).parts)
        return (
            None,
            "hidden, since its name begins with a dot" if hidden else f"no sound file{other}",
        )


def read_folder(folder: str | Path, *, captions: bool = True) -> list[Recording]:
    """The recordings of a folder that training can use, sorted by name.

    What it leaves out (a sound without a caption, a caption without a file) is one warning with counts;
    `soundloom prepare FOLDER` lists it file by file.

    Args:
        folder: see the module.
        captions: leave out recordings that have none.

    Raises:
        FileNotFoundError, NotADirectoryError: there is no such folder.
        ValueError: it holds nothing to train on.
    """
    listing = list_folder(folder)
    listing.check()
    usable = [recording for recording in listing.recordings if recording.captions or not captions]
    if not usable:
        first = f" ({listing.problems[0]})" if listing.problems else ""
        raise ValueError(
            f"none of the {len(listing.recordings)} sounds in {folder} has a caption{first}: write a "
            "metadata.csv with file_name and text, or a .txt beside each sound; or train without captions "
            "(captions: false)"
        )
    mute, broken = len(listing.recordings) - len(usable), len(listing.problems)
    if mute or broken:
        logger.warning(
            "%s: %d of %d sounds are left out, having no caption, and %d captions or files cannot be used; "
            "for the list: soundloom prepare %s",
            folder,
            mute,
            len(listing.recordings),
            broken,
            folder,
        )
    return usable


def _read_table(
    path: Path,
    place: str,
    listing: Listing,
    sounds: _Sounds,
    captions: dict[str, list[str]],
    columns: dict[str, dict[str, str]],
    reasons: dict[str, str],
) -> None:
    """Add what a table says to `captions` and `columns`, and why a sound gets none to `reasons`, by name."""
    table = attempt(place, _open_table, path)
    problem = table.reason if isinstance(table, Failure) else table.problem
    if problem:
        listing.problems.append(Problem(place, BAD_CAPTIONS, problem))
        parent = PurePosixPath(place).parent
        for below in sounds.files:
            if PurePosixPath(below).is_relative_to(parent):
                reasons.setdefault(below, f"{place} cannot be used: {problem}")
    if isinstance(table, Failure):
        return
    for row in table.rows:
        where = f"{place}, line {row.line}"
        if not row.fits:
            listing.problems.append(Problem(place, BAD_CAPTIONS, f"line {row.line}: {row.reason}"))
        if not row.file:
            continue
        target = PurePosixPath(place).parent / row.file.replace("\\", "/")
        if ".." in target.parts or target.is_absolute():
            listing.problems.append(Problem(row.file, MISSING_FILE, f"{where}: outside the folder"))
            continue
        name, missing = sounds.find(target.as_posix())
        if name is None:
            if row.fits:
                listing.problems.append(Problem(target.as_posix(), MISSING_FILE, f"{where}: {missing}"))
            continue
        columns[name] = {**row.columns, **columns.get(name, {})}
        if row.captions:
            captions.setdefault(name, []).extend(row.captions)
        else:
            reasons.setdefault(name, f"{where}: {row.reason}")


def _open_table(path: Path) -> Table:
    return read_table(path.read_bytes(), path.suffix.lower(), AUDIO_SUFFIXES)


def _side_car_captions(
    name: str, side_cars: dict[tuple[str, str], Path], listing: Listing, reasons: dict[str, str]
) -> tuple[str, ...]:
    """The captions in dog.json, else dog.txt, beside dog.wav; `reasons` says why there are none."""
    for suffix in SIDE_CARS:
        path = side_cars.get((_stem(name), suffix))
        if path is None:
            continue
        place = path.relative_to(listing.folder).as_posix()
        found = attempt(place, _read_side_car, path, suffix)
        if isinstance(found, Failure):
            listing.problems.append(Problem(place, BAD_CAPTIONS, found.reason))
            reasons.setdefault(name, f"{place} cannot be used: {found.reason}")
        elif found:
            return found
        else:
            reasons.setdefault(name, f"{place} holds no caption")
    return ()


def _read_side_car(path: Path, suffix: str) -> tuple[str, ...]:
    if path.stat().st_size > MAX_SIDE_CAR_BYTES:
        raise ValueError(f"larger than {MAX_SIDE_CAR_BYTES} bytes")
    return side_car_captions(path.read_bytes(), suffix)


def side_car_captions(content: bytes, suffix: str) -> tuple[str, ...]:
    """The captions in the bytes of a side-car file.

    Args:
        content: the file.
        suffix: ".json" or ".txt".

    Raises:
        ValueError: not UTF-8, or not a JSON object; the message names the line.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        number = content.count(b"\n", 0, error.start) + 1
        raise ValueError(f"line {number} is not UTF-8 ({error.reason}); save the file as UTF-8") from error
    if suffix == ".txt":
        return tuple(dict.fromkeys(line for raw in text.splitlines() if (line := " ".join(raw.split()))))
    entry = json.loads(text)  # names the line of what is not JSON
    if not isinstance(entry, dict):
        raise ValueError(f"it holds a JSON {type(entry).__name__}, not an object with a description")
    captions = captions_of(entry)
    if any(SURROGATE.search(caption) for caption in captions):
        raise ValueError("its caption holds half a character (\\ud800 to \\udfff)")
    return captions


def read_part(
    source: Path | BinaryIO,
    sample_rate: int,
    channels: int,
    *,
    seconds: float | None = None,
    start: float = 0.0,
    place: float | None = None,
    name: str | None = None,
) -> Tensor:
    """Read a stretch of a sound file, resampled and mixed; the rest of the file is not decoded.

    Args:
        source: a path, or a file that is open for reading.
        sample_rate: Hz wanted.
        channels: 1 or 2.
        seconds: length; None, or longer than the file: all of it.
        start: where to begin, s.
        place: 0..1, chooses the beginning instead, among all at which the stretch fits.
        name: what messages call the file; default: its path.

    Returns:
        Float32 `[channels, N]`, N at most `seconds * sample_rate`, at least 1.

    Raises:
        AudioError: it cannot be read, is empty there, or holds NaN or infinite samples.
    """
    name = name or str(source)
    try:
        with open_sound(source, name=name) as sound:
            rate = sound.sample_rate
            count = None if seconds is None else round(seconds * rate)
            first = round(start * rate)
            if place is not None:
                first = 0 if count is None else crop_start(_length(sound), count, place)
            samples = sound.read(first, count)
    except (OSError, MemoryError) as error:
        raise AudioError(f"cannot read sound from {name} ({error}); convert it or take it out") from error
    if not samples.shape[-1]:
        raise AudioError(f"{name} holds no samples at {start:g} s; take it out")
    check_sound(samples, name)
    audio = resample(mix(samples, channels), rate, sample_rate)
    return audio if seconds is None else audio[:, : max(1, round(seconds * sample_rate))]


def sound_seconds(path: Path) -> float:
    """Length of a sound file in seconds; all of it is decoded where nothing else tells.

    Raises:
        AudioError: it cannot be read.
    """
    try:
        with open_sound(path) as sound:
            return _length(sound) / sound.sample_rate
    except OSError as error:
        raise AudioError(f"cannot read sound from {path} ({error}); convert it or take it out") from error


def _length(sound: SoundReader) -> int:
    return sound.count() if sound.about is None else sound.about
