"""Edits of a model: joins, clicks, what is heard in filled parts, loops at their seams, changing prompts.

    python benchmarks/editing.py RECORDINGS [--model NAME] [--split test] [--embedder yamnet:FILE]

RECORDINGS is a folder of sounds, of which those of at least 2.5 s are taken, spread evenly. A model that was
trained to fill gaps is measured twice: as it is, and as one that was not, with eight drafts of which the best
is kept (--no-drafts leaves that out). What the figures mean is said in evaluation/edits.py and seams.py.
Printed are tables, and with --json everything is written. The defaults take some minutes for a small model:
100 edits have 200 joins.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from machine import describe_machine
from torch import Tensor

TRAINED, DRAFTS = "trained for gaps", "best of drafts"
LEAST_SECONDS, MOST_SECONDS = 2.5, 3.0
MOST_RECORDINGS = 60
# What is asked for: classes that foley was taught, each with the tags that are right for it.
ASKED = (
    ("a dog barks", "dog", ("Dog", "Bark", "Bow-wow", "Domestic animals, pets")),
    ("an owl hoots", "owl", ("Owl", "Hoot")),
    ("a frog croaks", "frog", ("Frog", "Croak")),
    ("a siren", "siren", ("Siren", "Emergency vehicle", "Civil defense siren", "Police car (siren)")),
    ("heavy rain", "rain", ("Rain", "Raindrop", "Rain on surface")),
    ("a piano", "piano", ("Piano", "Keyboard (musical)", "Electric piano")),
    ("a drum beat", "drum_beat", ("Drum", "Drum kit", "Percussion", "Bass drum", "Snare drum")),
    ("knocks on a door", "door_knock", ("Knock", "Door", "Tap")),
)


def read_recordings(folder: Path, count: int, split: str | None) -> list[tuple[Tensor, int]]:
    """Samples and rates of sounds that are long enough, spread evenly over the folder."""
    from soundloom.evaluation.evaluate_sounds import folder_examples, spread

    found = []
    for example in folder_examples(folder, split=split, limit=4 * count, seconds=MOST_SECONDS):
        samples, rate = example.read()
        if samples.shape[-1] >= LEAST_SECONDS * rate and float(samples.square().mean()) > 1e-6:
            found.append((samples, rate))
    if len(found) < 2:
        raise SystemExit(f"{folder} holds {len(found)} sounds of {LEAST_SECONDS} s or more; 2 are needed")
    return spread(found, min(count, len(found)))


def say(done: int, total: int) -> None:
    """Tell how far it is."""
    if done % 10 == 0 or done == total:
        print(f"{done} of {total}", file=sys.stderr, flush=True)


def joins_table(title: str, joins: Mapping[str, Mapping[str, Any]]) -> str:
    """Clicks and steps of each kind of join as Markdown."""
    lines = [f"| {title} | clicks | step of the spectrum, dB | step of the latents |", "|---|---|---|---|"]
    for name, found in joins.items():
        clicks = f"{found['clicks']['number']} of {found['clicks']['of']} ({found['clicks']['largest']:.2f})"
        latent = f"{found['latent step']['median']:.1f}" if "latent step" in found else ""
        lines.append(f"| {name} | {clicks} | {found['spectral step']['median']:.1f} | {latent} |")
    return "\n".join(lines)


def heard_table(title: str, heard: Mapping[str, Mapping[str, float]]) -> str:
    """Shares in which what was asked for is heard, as Markdown."""
    names = list(next(iter(heard.values())))
    lines = [f"| {title} | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    lines += [
        f"| {name} | {' | '.join(f'{found[key]:.0%}' for key in names)} |" for name, found in heard.items()
    ]
    return "\n".join(lines)


def tables(result: Mapping[str, Any]) -> str:
    """Everything measured, as Markdown; steps are medians, behind clicks stands the largest."""
    parts = []
    for way, found in result["ways"].items():
        if "joins" in found:
            parts.append(joins_table(f"edits, {way}; exact outside: {found['exact']:.0%}", found["joins"]))
            if not result["unprompted"]:
                parts.append(heard_table(f"heard in the part, {way}", found["heard"]))
        if "loops" in found:
            parts.append(joins_table(f"loops, {way}", found["loops"]))
    if found := result.get("sequences"):
        title = f"changing prompts; lengths kept: {found['lengths kept']:.0%}"
        parts += [joins_table(title, found["joins"]), heard_table("heard in the middle", found["heard"])]
    return "\n\n".join(parts)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("recordings", type=Path, metavar="RECORDINGS")
    parser.add_argument("--model", default="foley", help="bundled name, folder or hub id (default: foley)")
    parser.add_argument("--split", metavar="NAME", help="of the folder's table: take only these recordings")
    parser.add_argument("--embedder", metavar="yamnet:FILE", help="let YAMNet hear the filled parts, too")
    parser.add_argument(
        "--unprompted", action="store_true", help="ask for nothing: parts are to be what fits between"
    )
    parser.add_argument("--no-drafts", action="store_true", help="a model trained for gaps: only as it is")
    parser.add_argument("--edits", type=int, default=100, help="default: 100, which have 200 joins")
    parser.add_argument("--loops", type=int, default=40, help="default: 40")
    parser.add_argument("--sequences", type=int, default=20, help="with changing prompts; default: 20")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything to this file")
    options = parser.parse_args(arguments)

    from soundloom.evaluation.edits import Asked, by_drafts, measure_edits
    from soundloom.evaluation.embedders import NamedClassifier
    from soundloom.evaluation.seams import measure_loops, measure_sequences
    from soundloom.evaluation.yamnet import YAMNet
    from soundloom.gen.pipeline import AudioGen

    model = AudioGen.from_pretrained(options.model)
    prompted = [Asked(*one) for one in ASKED]
    asked = [Asked("", "")] if options.unprompted else prompted
    common: dict[str, Any] = {"seed": options.seed, "progress": say}
    listeners: dict[str, Any] = {"classifier": NamedClassifier.from_pretrained(), "tagger": None}
    if options.embedder:
        listeners["tagger"] = YAMNet.from_pretrained(options.embedder.removeprefix("yamnet:"))
    trained = bool(model.lm.infill_frames)
    ways: dict[str, AbstractContextManager[None]] = {TRAINED: nullcontext()} if trained else {}
    if not (trained and options.no_drafts):
        ways[DRAFTS] = by_drafts(model)
    result: dict[str, Any] = {"model": options.model, "unprompted": options.unprompted, "ways": {}}
    for way, filling in ways.items():
        print(way, file=sys.stderr)
        found: dict[str, Any] = {}
        result["ways"][way] = found
        started = time.perf_counter()
        with filling:
            if options.edits:
                count = min(options.edits, MOST_RECORDINGS)
                recordings = read_recordings(options.recordings, count, options.split)
                found |= measure_edits(model, recordings, asked, edits=options.edits, **listeners, **common)
            if options.loops:
                prompts = [one.prompt for one in prompted]
                found["loops"] = measure_loops(model, prompts, loops=options.loops, **common)
        found["seconds"] = time.perf_counter() - started
    if options.sequences:
        print("changing prompts", file=sys.stderr)
        result["sequences"] = measure_sequences(
            model, prompted, sequences=options.sequences, **listeners, **common
        )
    result["machine"] = describe_machine("cpu")
    print(tables(result))
    if options.json is not None:
        options.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
