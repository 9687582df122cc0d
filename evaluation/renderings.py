"""Evaluate the Foley corpus by a tagger, class by class: `soundloom evaluate --renderings`.

    soundloom evaluate --renderings --embedder yamnet:FILE.onnx            renderings alone
    soundloom evaluate RECORDINGS --renderings --embedder yamnet:FILE.onnx beside recordings
    soundloom evaluate RECORDINGS --renderings --codec NAME --embedder ... both, through a codec

RECORDINGS has a metadata.csv with `file_name` and `sound_class`, and perhaps `split`: then "train" counts.
A class whose renderings are heard less often than its recordings is one to rebuild, or to mark with
`rendered=False` in the registry. Through the codec of a language model is how that model hears them: a codec
may keep much of what is rendered and little of recordings (`RENDERED_ONLY`, recipes/foley/mixing_classes.py).
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..codecs.base import Codec
from ..core.audio import read_audio
from ..core.progress import Progress
from ..recipes.foley.corpus import FoleyCorpus
from ..recipes.foley.sound_classes import CLASSES
from .evaluate_sounds import Example, Work, spread
from .evaluation import failed_lines
from .tags import TagAccuracy, Tagger, first_tags

RENDERING_SEED = 80_000  # no training or held-out corpus has this one
MOST_RECORDINGS = 60  # of a class


def evaluate_renderings(
    tagger: Tagger,
    recordings: Mapping[str, Sequence[Path]] | None = None,
    *,
    per_class: int = 20,
    classes: Sequence[str] | None = None,
    seconds: float = 5.0,
    codec: Codec | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Render sounds of every class, and let the tagger hear them and recordings of the class.

    Args:
        tagger: hears them.
        recordings: files by class, see `recordings_by_class`; at most 60 of each are heard.
        per_class: renderings of each.
        classes: their names; None: all that have tags.
        seconds: length of a rendering.
        codec: what is heard went through it.
        progress: called with the number of sounds done and to do.

    Returns:
        "classes": by name, "renderings" and, where there are any, "recordings": each with the shares "first"
        and "among_five", the number of "sounds", and the commonest first tags under "heard". "notes",
        "failed" and "stopped": see `Work.outcome`; when Ctrl+C ends it, classes of which nothing was heard
        are left out.

    Raises:
        ValueError: fewer than 1 rendering, an unknown class, or no sound that can be heard.
    """
    if per_class < 1:
        raise ValueError(f"--per-class is {per_class}; it must be 1 or more")
    names = [name for name, sound in CLASSES.items() if sound.tags] if classes is None else list(classes)
    known = {name: spread(files, MOST_RECORDINGS) for name, files in (recordings or {}).items()}
    work = Work(progress, sum(per_class + len(known.get(name, ())) for name in names))
    result: dict[str, dict[str, Any]] = {}
    for number, name in enumerate(names):
        corpus = FoleyCorpus(
            seconds=seconds, seed=RENDERING_SEED + number, compositions={"single": 1.0}, classes=[name]
        )
        sounds = {
            "renderings": [Example(f"{name} {i}", partial(_rendering, corpus, i)) for i in range(per_class)],
            "recordings": [Example(str(file), partial(read_audio, file)) for file in known.get(name, ())],
        }
        tags = CLASSES[name].tags
        heard = {kind: _Heard(tagger, tags, codec) for kind in sounds}
        for kind, examples in sounds.items():
            work.go_through(examples, heard[kind].add)
        if rows := {kind: each.report() for kind, each in heard.items() if each.first}:
            result[name] = {"tags": list(tags), **rows}
    work.check()
    about = {"tagger": tagger.name, "per_class": per_class, "seconds": seconds}
    return {**about, "classes": result, **work.outcome()}


def _rendering(corpus: FoleyCorpus, number: int) -> tuple[Tensor, int]:
    return torch.from_numpy(corpus[number].audio)[None], corpus.sample_rate


@torch.inference_mode()
def _through(codec: Codec, samples: Tensor, sample_rate: int) -> tuple[Tensor, int]:
    """What a codec makes of a sound `[C, N]`."""
    prepared = codec.prepare(samples, sample_rate)  # [1, C, N]
    return codec.decode(codec.encode(prepared), prepared.shape[-1])[0].float(), codec.sample_rate


def recordings_by_class(folder: str | Path) -> dict[str, list[Path]]:
    """Files by class as metadata.csv in a folder says; of rows with a split those of "train".

    Raises:
        FileNotFoundError: there is no such table, or a file that it names is missing.
        ValueError: it lacks a column.
    """
    table, files = Path(folder) / "metadata.csv", dict[str, list[Path]]()
    if not table.is_file():
        raise FileNotFoundError(f"there is no {table}; it must say the sound_class of each file_name")
    with open(table, encoding="utf-8-sig", newline="") as file:
        for row in csv.DictReader(file):
            if row.get("file_name") is None or row.get("sound_class") is None:
                raise ValueError(f"{table} must have the columns file_name and sound_class")
            if row.get("split", "train") == "train":
                path = table.parent / row["file_name"]
                if not path.is_file():
                    raise FileNotFoundError(f"{table} names {row['file_name']}, which is not there")
                files.setdefault(row["sound_class"], []).append(path)
    return files


def renderings_lines(report: Mapping[str, Any]) -> list[str]:
    """A report as a table for a terminal: the classes with the largest shortfall first."""
    header = f"{'':18s} {'renderings':>17s} {'recordings':>17s}"
    lines = [
        header,
        f"{'class':18s} {'first':>6s} {'five':>5s} {'of':>4s} {'first':>6s} {'five':>5s} {'of':>4s}",
    ]
    for name, row in sorted(report["classes"].items(), key=lambda item: -_shortfall(item[1])):
        cells = [_cells(row.get(kind)) for kind in ("renderings", "recordings")]
        first = row.get("renderings") or row["recordings"]
        heard = ", ".join(f"{tag} {count}" for tag, count in first["heard"].items())
        lines.append(f"{name:18s} {' '.join(cells)}  {heard}")
    rows = report["classes"].values()
    for kind in ("renderings", "recordings"):
        present = [row[kind] for row in rows if kind in row]
        if present:
            first, few = (sum(row[key] for row in present) / len(present) for key in ("first", "among_five"))
            lines.append(f"mean of {len(present)} classes, {kind}: first {first:.0%}, among five {few:.0%}")
    return [*lines, *(f"note: {note}" for note in report["notes"]), *failed_lines(report)]


class _Heard:
    """What the tagger hears in sounds that should have one of the tags, perhaps through a codec."""

    def __init__(self, tagger: Tagger, tags: Sequence[str], codec: Codec | None) -> None:
        self.tagger, self.tags, self.codec = tagger, tags, codec
        self.accuracy, self.first = TagAccuracy(tagger), Counter[str]()

    def add(self, example: Example) -> None:
        """Hear one more."""
        samples, rate = example.read()
        if self.codec is not None:
            samples, rate = _through(self.codec, samples, rate)
        heard = first_tags(self.tagger, samples[None], rate)
        self.accuracy.update(heard, [self.tags])
        self.first[heard[0][0]] += 1

    def report(self) -> dict[str, Any]:
        """Shares and number of those that were heard, and the commonest first tags."""
        report = self.accuracy.report()
        shown = {key: report[key] for key in ("first", "among_five", "sounds")}
        return {**shown, "heard": dict(self.first.most_common(4))}


def _shortfall(row: Mapping[str, Any]) -> float:
    """How much more often recordings are heard among the first five."""
    if "renderings" not in row or "recordings" not in row:
        return -1.0
    return row["recordings"]["among_five"] - row["renderings"]["among_five"]


def _cells(heard: Mapping[str, Any] | None) -> str:
    if heard is None:
        return f"{'-':>6s} {'-':>5s} {'-':>4s}"
    return f"{heard['first']:6.0%} {heard['among_five']:5.0%} {heard['sounds']:4d}"
