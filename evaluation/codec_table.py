"""Codecs side by side on the same sounds, as one table: `soundloom evaluate --codec A --codec B`.

Beside a Music2Latent2 may stand what its latents alone give: the same codec whose consistency network puts
out nothing. What a network does not do better than that, it has not learned.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from ..codecs.base import Codec
from ..codecs.music2latent2 import Music2Latent2
from ..core.progress import Progress
from .embedders import Embedder, NamedClassifier
from .evaluate_sounds import Example, evaluate_codec
from .report import markdown_table, number

ZEROED = "network zeroed"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.0f} %"


def _distance(name: str) -> Callable[[Mapping[str, Any]], str]:
    return lambda report: number(report["reconstruction"][name])


# Heading -> the cell of a report of `evaluate_codec`.
COLUMNS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "mel dB": _distance("mel_distance"),
    "LSD 512": _distance("log_spectral_distance_512"),
    "LSD 2048": _distance("log_spectral_distance"),
    "LSD 4096": _distance("log_spectral_distance_4096"),
    "tonality error": _distance("tonality_error"),
    "before onsets": _distance("energy_before_onsets"),
    "SI-SDR": _distance("si_sdr"),
    "FAD": lambda report: number(report["fad"] and report["fad"]["value"]),
    "heard as the original": lambda report: _share(report["kl"] and report["kl"]["same_class"]),
}
TAG_COLUMNS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "same first tag": lambda report: _share(report["tags"] and report["tags"]["same_first"]),
    "correlation of tags": lambda report: number(report["tags"] and report["tags"]["correlation"]),
}


def without_network(model: Music2Latent2) -> Music2Latent2:
    """A copy of a model whose consistency network puts out zeros: what remains is what its latents say."""
    zeroed = copy.deepcopy(model)
    last = zeroed.consistency.up.conv_out
    assert isinstance(last, nn.Conv2d)
    with torch.no_grad():
        for weight in last.parameters():
            weight.zero_()
    return zeroed


def evaluate_codecs(
    codecs: Mapping[str, Codec],
    examples: Sequence[Example],
    classifier: NamedClassifier,
    *,
    embedder: Embedder | None = None,
    zeroed: bool = False,
    progress: Progress | None = None,
) -> list[dict[str, Any]]:
    """Measure codecs on the same sounds.

    Args:
        codecs: by the name that rows call them.
        examples: the sounds.
        classifier, embedder: as of `evaluate_codec`.
        zeroed: after every Music2Latent2 a row more, see `without_network`.
        progress: called with the number of sounds done and to do, over all rows.

    Returns:
        A report of `evaluate_codec` for each row, with its "codec" and whether it is "zeroed".
    """
    rows: list[tuple[str, Codec, bool]] = []
    for name, codec in codecs.items():
        rows.append((name, codec, False))
        if zeroed and isinstance(codec, Music2Latent2):
            rows.append((name, without_network(codec), True))
    reports = []
    for place, (name, codec, empty) in enumerate(rows):
        step = shifted(progress, place * len(examples), len(rows) * len(examples))
        report = evaluate_codec(codec, examples, classifier, embedder=embedder, progress=step)
        reports.append({"codec": name, "zeroed": empty, **report})
        if report["stopped"]:
            break
    return reports


def shifted(progress: Progress | None, before: int, total: int) -> Progress | None:
    """Progress of a part of the work, before which `before` of `total` were done."""
    if progress is None:
        return None
    return lambda done, _: progress(before + done, total)


def read_once(examples: Sequence[Example]) -> list[Example]:
    """The same examples, of which each is read, or rendered, once however often it is measured."""
    return [replace(example, read=functools.cache(example.read)) for example in examples]


def figures_table(header: Sequence[str], rows: Sequence[tuple[Sequence[str], Mapping[str, Any]]]) -> str:
    """A Markdown table of reports of `evaluate_codec`, with notes below it.

    Args:
        header: of the first columns.
        rows: the first cells of each, and its report.
    """
    columns = {**COLUMNS, **(TAG_COLUMNS if any(report["tags"] for _, report in rows) else {})}
    cells = [[*first, *(cell(report) for cell in columns.values())] for first, report in rows]
    notes = dict.fromkeys(
        note for _, report in rows for note in report["notes"] if "prompt accuracy" not in note
    )
    return "\n\n".join([markdown_table([*header, *columns], cells), *(f"Note: {note}" for note in notes)])


def codecs_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows of `evaluate_codecs` as Markdown."""
    named = [
        ([row["codec"] + f", {ZEROED}" * row["zeroed"], number(row["bitrate"] / 1000)], row) for row in rows
    ]
    return f"{rows[0]['sounds']} sounds:\n\n" + figures_table(["codec", "kbit/s"], named)
