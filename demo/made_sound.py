"""Sounds that a page made: what is known of each, the history of a session, and all of it as a zip."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

MOST = 100  # sounds that a page shows


@dataclass(frozen=True, kw_only=True)
class MadeSound:
    """A sound that was made.

    Attributes:
        name: under which a player asks for its samples.
        file: wav.
        prompt, seed: what it was made of.
        settings: of the controls, by the names of `GenerationSettings`.
        source: file that it goes on from; None for none.
        seconds: its length.
        sample_rate: Hz.
        model: that made it.
        cut_short: it was stopped before its end.
        score: what the scorer gave it, see AudioTextScorer; None unless there were candidates.
        kept: somebody wants to keep it.
        made: when, in seconds; all variations at once have the same.
    """

    name: str
    file: Path
    prompt: str
    seed: int
    settings: Mapping[str, Any] = field(default_factory=dict, hash=False)
    source: str | None = None
    seconds: float
    sample_rate: int
    model: str = ""
    cut_short: bool = False
    score: float | None = None
    kept: bool = False
    made: float = 0.0

    def facts(self) -> str:
        """One line about it."""
        said = [f"{self.seconds:.2f} s", f"seed {self.seed}"]
        if self.cut_short:
            said[0] += ", cut short"
        if self.source:
            said.append(f"goes on from {Path(self.source).name}")
        if self.score is not None:
            said.append(f"best of {self.settings.get('candidates')}, score {self.score:.2f}")
        return " · ".join(said)


History = list[MadeSound]  # the newest first


def keep(history: History, name: str) -> History:
    """The history in which a sound is kept, or no longer if it was."""
    return [replace(sound, kept=not sound.kept) if sound.name == name else sound for sound in history]


def added(history: History, sounds: Sequence[MadeSound]) -> History:
    """The history with new sounds; beyond `MOST` the oldest go that nobody wants to keep."""
    longer = [*sounds, *history]
    surplus = len(longer) - MOST
    for sound in [each for each in reversed(longer) if not each.kept][: max(0, surplus)]:
        longer.remove(sound)
    return longer


def wanted(history: History) -> History:
    """What a zip holds: the sounds that are kept, or all if none is."""
    return [sound for sound in history if sound.kept] or history


def write_zip(sounds: History, path: Path) -> Path:
    """Write the files of sounds that are still there, and sounds.json, which tells how each was made.

    The sounds come in the order in which they were made, variations as they stood side by side.
    """
    told = []
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for number, sound in enumerate(sorted(sounds, key=lambda each: each.made), 1):
            if not sound.file.is_file():
                continue
            name = f"{number:02}-{sound.file.name}"
            archive.write(sound.file, name)
            about = asdict(sound) | {"file": name}
            about["source"] = Path(sound.source).name if sound.source else None
            del about["name"], about["made"]  # the name opens the sound on this server
            told.append(about)
        archive.writestr("sounds.json", json.dumps(told, indent=2, ensure_ascii=False) + "\n")
    return path
