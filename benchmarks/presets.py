"""Choose the demo's examples: prompts of which a tagger hears, in the shipped model's sounds, what they say.

    SOUNDLOOM_YAMNET=yamnet.onnx python benchmarks/presets.py          # half an hour on a core that is idle

The candidates are the prompts of evaluation/prompts.csv, which were written without regard to the model, with
the tags of AudioSet that would be right. A sound is right if one of these is among the tagger's first five.
Every candidate is tried with `--first` sounds; those that are all right are tried with `--seeds` others,
which give the score, so that luck in choosing does not count. The best are taken, each with other tags than
those before it, and written to demo/presets.json. One of which less than `--least` are right is never taken.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from soundloom.core.atomic import atomic_write
from soundloom.core.version import __version__
from soundloom.demo.presets import FILE
from soundloom.evaluation.prompts import BUNDLED_PROMPTS, TaggedPrompt, read_prompts
from soundloom.evaluation.tags import first_tags
from soundloom.evaluation.yamnet import YAMNet
from soundloom.gen.pipeline import AudioGen


def count_right(
    model: AudioGen, tagger: YAMNet, wanted: TaggedPrompt, *, seeds: int, seed: int, duration: float
) -> int:
    """In how many of so many sounds of a prompt the tagger hears what it says."""
    audio = model.generate(wanted.prompt, duration, num_samples=seeds, seed=seed)
    heard = first_tags(tagger, audio.samples, audio.sample_rate)
    return sum(bool(set(tags) & set(wanted.tags)) for tags in heard)


def choose(
    scores: list[tuple[TaggedPrompt, int]], *, least: int, count: int
) -> Iterator[tuple[TaggedPrompt, int]]:
    """The best prompts of those with `least` right sounds, each with other tags than those before it."""
    taken: set[str] = set()
    ranked = sorted(scores, key=lambda score: (-score[1], len(score[0].prompt)))
    for wanted, right in ranked:
        if count and right >= least and not taken & set(wanted.tags):
            taken |= set(wanted.tags)
            count -= 1
            yield wanted, right


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="foley")
    parser.add_argument("--prompts", type=Path, default=BUNDLED_PROMPTS, help="table with prompt and tags")
    parser.add_argument("--every", type=int, default=1, help="take every Nth candidate (default: 1, all)")
    parser.add_argument("--first", type=int, default=2, help="sounds of every candidate (default: 2)")
    parser.add_argument("--seeds", type=int, default=8, help="sounds that give the score (default: 8)")
    parser.add_argument("--least", type=float, default=0.75, help="share of right ones (default: 0.75)")
    parser.add_argument("--count", type=int, default=6, help="examples (default: 6)")
    parser.add_argument("--duration", type=float, default=5.0)
    parser.add_argument("--out", type=Path, default=FILE)
    options = parser.parse_args()

    model, tagger = AudioGen.from_pretrained(options.model), YAMNet.from_pretrained()
    common: dict[str, Any] = {"duration": options.duration}
    scores: list[tuple[TaggedPrompt, int]] = []
    candidates = read_prompts(options.prompts)[:: options.every]
    for number, wanted in enumerate(candidates, 1):
        right = count_right(model, tagger, wanted, seeds=options.first, seed=1_000, **common)
        if right == options.first:
            right = count_right(model, tagger, wanted, seeds=options.seeds, seed=1, **common)
            scores.append((wanted, right))
            print(f"{number}/{len(candidates)}  {right} of {options.seeds}  {wanted.prompt}", flush=True)
    found = choose(scores, least=round(options.least * options.seeds), count=options.count)
    report = {
        "about": "written by python benchmarks/presets.py, which says what is counted",
        "model": options.model,
        "version": __version__,
        "candidates": len(candidates),
        "presets": [
            {"prompt": wanted.prompt, "tags": list(wanted.tags), "right": right, "of": options.seeds}
            for wanted, right in found
        ],
    }
    with atomic_write(options.out) as file:
        file.write((json.dumps(report, indent=2, ensure_ascii=False) + "\n").encode())
    print(f"{len(report['presets'])} presets are in {options.out}")


if __name__ == "__main__":
    main()
