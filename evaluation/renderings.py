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
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..codecs.base import Codec
from ..core.audio import read_audio
from ..core.progress import Progress
from ..recipes.foley.corpus import FoleyCorpus
from ..recipes.foley.sound_classes import CLASSES
from .evaluate_sounds import spread
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
        and "among_five", the number of "sounds", and the commonest first tags under "heard". "notes": none.

    Raises:
        ValueError: fewer than 1 rendering, or an unknown class.
    """
    if per_class < 1:
        raise ValueError(f"--per-class is {per_class}; it must be 1 or more")
    names = [name for name, sound in CLASSES.items() if sound.tags] if classes is None else list(classes)
    known = {name: spread(files, MOST_RECORDINGS) for name, files in (recordings or {}).items()}
    total = sum(per_class + len(known.get(name, ())) for name in names)
    done, result = 0, {}

    def counted(sounds: Iterator[tuple[Tensor, int]]) -> Iterator[tuple[Tensor, int]]:
        nonlocal done
        for sound in sounds:
            yield sound if codec is None else _through(codec, *sound)
            done += 1
            if progress is not None:
                progress(done, total)

    for number, name in enumerate(names):
        corpus = FoleyCorpus(
            seconds=seconds, seed=RENDERING_SEED + number, compositions={"single": 1.0}, classes=[name]
        )
        tags = CLASSES[name].tags
        rendered = ((torch.from_numpy(corpus[i].audio)[None], corpus.sample_rate) for i in range(per_class))
        result[name] = {"tags": list(tags), "renderings": _heard(tagger, counted(rendered), tags)}
        if files := known.get(name):
            result[name]["recordings"] = _heard(tagger, counted(map(read_audio, files)), tags)
    return {"tagger": tagger.name, "per_class": per_class, "seconds": seconds, "classes": result, "notes": []}


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
        cells = [_cells(row["renderings"]), _cells(row.get("recordings"))]
        heard = ", ".join(f"{tag} {count}" for tag, count in row["renderings"]["heard"].items())
        lines.append(f"{name:18s} {' '.join(cells)}  {heard}")
    rows = report["classes"].values()
    for kind in ("renderings", "recordings"):
        present = [row[kind] for row in rows if kind in row]
        if present:
            first, few = (sum(row[key] for row in present) / len(present) for key in ("first", "among_five"))
            lines.append(f"mean of {len(present)} classes, {kind}: first {first:.0%}, among five {few:.0%}")
    return lines


def _heard(tagger: Tagger, sounds: Iterator[tuple[Tensor, int]], tags: Sequence[str]) -> dict[str, Any]:
    accuracy, first = TagAccuracy(tagger), Counter[str]()
    for samples, rate in sounds:
        heard = first_tags(tagger, samples[None], rate)
        accuracy.update(heard, [tags])
        first[heard[0][0]] += 1
    report = accuracy.report()
    shown = {key: report[key] for key in ("first", "among_five", "sounds")}
    return {**shown, "heard": dict(first.most_common(4))}


def _shortfall(row: Mapping[str, Any]) -> float:
    """How much more often recordings are heard among the first five."""
    recordings = row.get("recordings")
    return recordings["among_five"] - row["renderings"]["among_five"] if recordings else -1.0


def _cells(heard: Mapping[str, Any] | None) -> str:
    if heard is None:
        return f"{'-':>6s} {'-':>5s} {'-':>4s}"
    return f"{heard['first']:6.0%} {heard['among_five']:5.0%} {heard['sounds']:4d}"
