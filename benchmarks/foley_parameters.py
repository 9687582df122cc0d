"""Search the numbers of recipes/foley/parameters.json: renderings that YAMNet hears as their class.

    python benchmarks/foley_parameters.py yamnet.onnx --classes rain helicopter -o found.json

Each class has ranges that the physics of its sound allows; levels of textures lie around the mean spectrum
of recordings of the class. Round 0 draws at random. Each later round mixes two of the best so far and moves
the result a little. What is kept is heard as the class most often in four fresh renderings, each in a room
and with a background of its own. A class takes a few minutes on one core.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from foley_searches import RATE, SEARCHES, Ranges, Search

from soundloom.evaluation.tags import first_tags
from soundloom.evaluation.yamnet import YAMNet
from soundloom.recipes.foley import CLASSES
from soundloom.recipes.foley.scene import place_sound, record_clip

LOGARITHMIC = ("f0", "length", "gap", "breath", "rate", "mode0", "burst", "tone", "decay", "width", "grains")


def draw(rng: np.random.Generator, ranges: Ranges) -> dict[str, float]:
    """A random set within the ranges; what is a size or a rate, evenly over its logarithm."""
    drawn = {}
    for key, (low, high) in ranges.items():
        logarithmic = low > 0 and any(key.endswith(word) for word in LOGARITHMIC)
        drawn[key] = float(low * (high / low) ** rng.random() if logarithmic else rng.uniform(low, high))
    return drawn


def recorded(rng: np.random.Generator, search: Search, p: Mapping[str, float]) -> torch.Tensor:
    """A rendering in a room, with a background, `[1, 1, N]`."""
    sound = search.make(rng, p, search.seconds)
    sound = (rng.uniform(0.3, 0.9) * sound / (np.abs(sound).max() + 1e-9)).astype(np.float32)
    clip = record_clip(rng, place_sound(rng, sound, RATE, {}, cut=False, field=True), RATE, field=True)
    return torch.from_numpy(clip)[None, None]


def search_class(
    tagger: YAMNet, name: str, *, draws: int, rounds: int, best: int, keep: int, seed: int
) -> tuple[list[dict[str, float]], str]:
    """The sets that are heard most often, and a line about them."""
    search, tags = SEARCHES[name], set(CLASSES[name].tags)
    wanted = [tagger.tag_names.index(tag) for tag in tags]
    pool: list[tuple[float, dict[str, float]]] = []
    for number in range(rounds + 1):
        elite = [p for _, p in pool[:best]]
        for index in range(draws):
            rng = np.random.default_rng((seed, number, index))
            p = draw(rng, search.ranges)
            if elite and index > draws // 10:
                pair = [elite[int(rng.integers(len(elite)))] for _ in range(2)]
                for key, (low, high) in search.ranges.items():
                    spread = 0.5 * float(np.std([one[key] for one in elite]))
                    moved = pair[int(rng.random() < 0.5)][key] + spread * rng.standard_normal()
                    p[key] = float(np.clip(moved, min(low, high), max(low, high)))
            scores = tagger.tags(recorded(rng, search, p)[0])[0]
            top = float(scores[wanted].max())
            rank = int((scores > top).sum())
            pool.append((float(np.log((top + 1e-6) / (1 - top + 1e-6))) - 0.4 * rank, p))
        pool = sorted(pool, key=lambda entry: -entry[0])[: 3 * best]
    tried = []
    for _, p in pool[: 2 * best]:
        rows = [
            first_tags(tagger, recorded(np.random.default_rng((seed + 1, i)), search, p), RATE)[0]
            for i in range(4)
        ]
        first = float(np.mean([row[0] in tags for row in rows]))
        five = float(np.mean([not tags.isdisjoint(row) for row in rows]))
        tried.append((five + 0.7 * first, first, five, p))
    tried = sorted(tried, key=lambda entry: -entry[0])[:keep]
    first, five = (float(np.mean([entry[i] for entry in tried])) for i in (1, 2))
    line = f"{name}: {len(tried)} sets, heard first in {first:.0%}, among five in {five:.0%}"
    return [{key: float(f"{value:.4g}") for key, value in p.items()} for *_, p in tried], line


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n")[0])
    parser.add_argument("yamnet", help="YAMNet's .onnx file")
    parser.add_argument("--classes", nargs="+", choices=list(SEARCHES), default=list(SEARCHES))
    parser.add_argument("--draws", type=int, default=100, help="in a round (default: 100)")
    parser.add_argument("--rounds", type=int, default=2, help="after the first (default: 2)")
    parser.add_argument("--best", type=int, default=20, help="that a round starts from (default: 20)")
    parser.add_argument("--keep", type=int, default=16, help="sets of a class (default: 16)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--output", type=Path, required=True, help="file to write (.json)")
    options = parser.parse_args()
    tagger, found = YAMNet.from_pretrained(options.yamnet), {}
    settings = {key: getattr(options, key) for key in ("draws", "rounds", "best", "keep", "seed")}
    for name in options.classes:
        found[name], line = search_class(tagger, name, **settings)
        print(line, flush=True)
        options.output.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
