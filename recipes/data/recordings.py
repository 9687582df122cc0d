"""Captioned recordings of folders: which are of a split, which of validation, and the class of each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..foley.grammar import stable_fraction
from ..foley.mixing_classes import class_of_recording
from .folder import Recording, read_folder

HELD_OUT = 0.05  # of the recordings: those of validation
OTHER = "other"  # the class of recordings that belong to no other
# Columns that name the recording that a clip was cut from, and its class.
GROUP_KEYS = ("group", "recording", "source_file")
CLASS_KEYS = ("sound_class", "class", "category", "label")


def read_recordings(
    folders: Sequence[str | Path], *, split: str = "train", where: Mapping[str, str] | None = None
) -> list[Recording]:
    """The captioned recordings of folders, without those of another split.

    Args:
        folders: see folder.py.
        split: recordings whose row says another "split" are left out; those without that column are taken.
        where: columns, in lower case, that have to hold a value; upper and lower case of it are the same.

    Raises:
        FileNotFoundError, NotADirectoryError: there is no such folder.
        ValueError: nothing is left, or no row has a column of `where`.
    """
    found = [recording for folder in folders for recording in read_folder(folder)]
    for column in where or ():
        if not any(column in recording.columns for recording in found):
            known = sorted({name for recording in found for name in recording.columns})
            raise ValueError(
                f"no table has a column {column!r}; there are: {', '.join(known) or 'no tables'}"
            )
    wanted = {key: value.lower() for key, value in (where or {}).items()}
    taken = [
        recording
        for recording in found
        if recording.in_split(split)
        and all(recording.columns.get(key, "").lower() == value for key, value in wanted.items())
    ]
    if not taken:
        raise ValueError(
            f"none of the {len(found)} recordings is of the split {split!r}"
            + "".join(f" and has {value!r} in {key!r}" for key, value in wanted.items())
        )
    return taken


def held_out(recordings: Sequence[Recording]) -> list[bool]:
    """Which recordings are those of validation: by their groups, so that pieces of one stay together.

    Each class keeps a group for training at least.
    """
    groups = [group_of(recording) for recording in recordings]
    places = {group: stable_fraction(f"held out:{group}") for group in groups}
    of_class: dict[str, set[str]] = defaultdict(set)
    for recording, group in zip(recordings, groups, strict=True):
        of_class[class_of(recording)].add(group)
    kept = {max(members, key=places.__getitem__) for members in of_class.values()}
    return [places[group] < HELD_OUT and group not in kept for group in groups]


def group_of(recording: Recording) -> str:
    """What the pieces of one recording have in common."""
    found = (recording.columns[key] for key in GROUP_KEYS if recording.columns.get(key))
    return next(found, recording.name)


def class_of(recording: Recording) -> str:
    """The class of a recording, for balance: by its caption and its table; OTHER where neither says."""
    named = next((recording.columns[key] for key in CLASS_KEYS if recording.columns.get(key)), "")
    found = class_of_recording(recording.captions[0], named)
    return found or named.strip().lower().replace(" ", "_") or OTHER
