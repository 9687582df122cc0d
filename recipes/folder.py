"""Folders of recordings as people have them: find the sounds and their captions, read a part of one.

Three layouts, which may be mixed below one folder:

    a table       metadata.csv or metadata.jsonl with file_name (relative to the table) and text: the
                  AudioFolder convention of Hugging Face; several rows for one file are several captions
    side-cars     dog.wav with dog.json (description, or keywords, or title) or dog.txt (a caption a line)
    audio alone   no captions: enough for a codec and for unconditional training

A table goes before side-cars, .json before .txt. For what counts as a caption
in a table or .json see `captions.captions_of`.
"""

from __future__ import annotations

import csv
import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

import numpy as np
import soundfile
import torch
from torch import Tensor

from ..codecs.audio import AudioError, check_finite, mix, resample
from ..codecs.filenames import native
from .captions import captions_of

logger = logging.getLogger(__name__)

AUDIO_SUFFIXES = (".wav", ".flac", ".ogg", ".mp3")
TABLES = ("metadata.csv", "metadata.jsonl")
FILE_KEYS = ("file_name", "file", "path", "audio_filepath")
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
    """

    path: Path
    name: str
    captions: tuple[str, ...] = ()


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
    """The sounds below a folder, sorted by name, and what is wrong with their captions."""

    folder: Path
    recordings: list[Recording] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


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
    files: dict[str, Path] = {}
    tables: list[Path] = []
    for path in folder.rglob("*"):
        inside = path.relative_to(folder)
        if any(part.startswith(".") for part in inside.parts) or not path.is_file():
            continue
        if path.name in TABLES:
            tables.append(path)
        elif path.suffix.lower() in AUDIO_SUFFIXES:
            files[inside.as_posix()] = path
    captions: dict[str, list[str]] = {}
    for table in sorted(tables):
        _read_table(table, listing, files, captions)
    for name in sorted(files):
        found = captions.get(name) or _side_car_captions(files[name], name, listing)
        listing.recordings.append(Recording(files[name], name, tuple(dict.fromkeys(found))))
    return listing


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
    if not listing.recordings:
        raise ValueError(f"{folder} holds no sound file; known: {', '.join(AUDIO_SUFFIXES)}")
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
            "%s: %d of %d sounds are left out, having no caption, and %d captions cannot be used; "
            "for the list: soundloom prepare %s",
            folder,
            mute,
            len(listing.recordings),
            broken,
            folder,
        )
    return usable


def _read_table(
    table: Path, listing: Listing, files: dict[str, Path], captions: dict[str, list[str]]
) -> None:
    """Add the captions in a table to `captions`, by the name of their file."""
    folder = listing.folder
    place = table.relative_to(folder).as_posix()
    try:
        rows = list(_rows(table))
    except (OSError, ValueError, csv.Error) as error:
        listing.problems.append(Problem(place, BAD_CAPTIONS, str(error)))
        return
    for number, row in rows:
        file = next((str(row[key]).strip() for key in FILE_KEYS if row.get(key)), "")
        if not file:
            detail = f"row {number} lacks file_name; it has {', '.join(str(key) for key in row) or 'nothing'}"
            listing.problems.append(Problem(place, BAD_CAPTIONS, detail))
            if number == 1:  # then so does every other
                return
            continue
        target = PurePosixPath(place).parent / file.replace("\\", "/")
        name = target.as_posix()
        if ".." in target.parts or target.is_absolute():
            listing.problems.append(Problem(file, MISSING_FILE, f"{place}, row {number}: outside the folder"))
        elif name not in files:
            known = "" if target.suffix.lower() in AUDIO_SUFFIXES else f"; known: {', '.join(AUDIO_SUFFIXES)}"
            listing.problems.append(
                Problem(name, MISSING_FILE, f"{place}, row {number}: no such sound file{known}")
            )
        else:
            captions.setdefault(name, []).extend(captions_of(row))


def _rows(table: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Rows of a metadata.csv or metadata.jsonl with their numbers, from 1."""
    with open(table, encoding="utf-8-sig", newline="") as lines:  # spreadsheets write a byte order mark
        if table.suffix == ".csv":
            yield from enumerate(csv.DictReader(lines), start=1)
            return
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError as error:
                raise ValueError(f"line {number} is not valid JSON ({error})") from error
            if not isinstance(row, dict):
                raise ValueError(f"line {number} is no JSON object: {line.strip()[:60]}")
            yield number, row


def _side_car_captions(path: Path, name: str, listing: Listing) -> tuple[str, ...]:
    """The captions in dog.json, else dog.txt, beside dog.wav."""
    for suffix in (".json", ".txt"):
        side_car = path.with_suffix(suffix)
        if not side_car.is_file():
            continue
        try:
            if side_car.stat().st_size > MAX_SIDE_CAR_BYTES:
                raise ValueError(f"larger than {MAX_SIDE_CAR_BYTES} bytes")
            found = side_car_captions(side_car.read_bytes(), suffix)
        except (OSError, ValueError) as error:
            place = PurePosixPath(name).with_suffix(suffix).as_posix()
            listing.problems.append(Problem(place, BAD_CAPTIONS, str(error)))
            continue
        if found:
            return found
    return ()


def side_car_captions(content: bytes, suffix: str) -> tuple[str, ...]:
    """The captions in the bytes of a side-car file.

    Args:
        content: the file.
        suffix: ".json" or ".txt".

    Raises:
        ValueError: not UTF-8, or not a JSON object.
    """
    text = content.decode("utf-8-sig")
    if suffix == ".txt":
        return tuple(dict.fromkeys(line for raw in text.splitlines() if (line := " ".join(raw.split()))))
    entry = json.loads(text)
    if not isinstance(entry, dict):
        raise ValueError(f"it holds a JSON {type(entry).__name__}, not an object with a description")
    return captions_of(entry)


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
        with soundfile.SoundFile(native(source) if isinstance(source, Path) else source) as file:
            rate = int(file.samplerate)
            count = file.frames if seconds is None else min(file.frames, round(seconds * rate))
            first = round(start * rate) if place is None else round(place * (file.frames - count))
            if first:
                file.seek(min(first, file.frames))
            data = file.read(count, dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, OSError, TypeError, MemoryError) as error:
        raise AudioError(f"cannot read sound from {name} ({error}); convert it or take it out") from error
    if not len(data):
        raise AudioError(f"{name} holds no samples at {start:g} s; take it out")
    samples = torch.from_numpy(np.ascontiguousarray(data.T))
    check_finite(samples, name)
    audio = resample(mix(samples, channels), rate, sample_rate)
    return audio if seconds is None else audio[:, : max(1, round(seconds * sample_rate))]
