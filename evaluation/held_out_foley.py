"""Measure the bundled models on held-out corpus clips, judged by the classifier.

    python -m soundloom.evaluation.held_out_foley prompts    sounds generated from held-out captions
    python -m soundloom.evaluation.held_out_foley codec      codec reconstructions of held-out renderings

Captions and renderings come from the corpus split "test": no caption of it occurs in training. Every class
gets the same number of clips, each naming one sound. Results are printed as a table and written as JSON with
--json. `soundloom evaluate --model foley` and `--codec seanet-16khz` measure the same.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from ..codecs.registry import load_codec
from ..core.progress import Progress
from ..gen.pipeline import AudioGen
from ..recipes.foley.corpus import FoleyCorpus
from .embedders import Judge
from .evaluate_sounds import Example, evaluate_codec, evaluate_model
from .evaluation import report_lines
from .report import write_report

TEST_SEED = 90_000


def held_out_examples(per_class: int, *, sample_rate: int = 16000, seconds: float = 5.0) -> list[Example]:
    """Held-out clips of one sound each, `per_class` of every class, in the order of the classes' names.

    A clip is rendered when it is read. Its class is the label, which the judge has to know.

    Raises:
        ValueError: fewer than 1 for each class.
    """
    if per_class < 1:
        raise ValueError(f"--per-class is {per_class}; it must be 1 or more")
    examples = []
    for number, name in enumerate(FoleyCorpus().class_names):
        corpus = FoleyCorpus(
            sample_rate=sample_rate,
            seconds=seconds,
            seed=TEST_SEED + number,
            split="test",
            compositions={"single": 1.0},
            classes=[name],
        )
        examples += [
            Example(f"{name}-{i}", partial(_render, corpus, i), corpus.caption(i), name)
            for i in range(per_class)
        ]
    return examples


def _render(corpus: FoleyCorpus, index: int) -> tuple[Tensor, int]:
    return torch.from_numpy(np.asarray(corpus[index].audio, dtype=np.float32))[None], corpus.sample_rate


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m soundloom.evaluation.held_out_foley", description=str(__doc__).split("\n")[0]
    )
    parser.add_argument("what", choices=["prompts", "codec"], help="what to measure")
    parser.add_argument("--model", default="foley", help="AudioGen to judge (default: foley)")
    parser.add_argument("--codec", default="seanet-16khz", help="codec to judge (default: seanet-16khz)")
    parser.add_argument("--judge", default="foley-judge", help="classifier (default: foley-judge)")
    parser.add_argument("--per-class", type=int, default=4, help="clips of each class (default: 4)")
    parser.add_argument("--seed", type=int, default=0, help="first seed of the generated sounds (default: 0)")
    parser.add_argument("--json", type=Path, help="also write the result to this file")
    options = parser.parse_args(argv)
    if options.per_class < 1:
        parser.error(f"--per-class is {options.per_class}; at least 1")
    judge = Judge.from_pretrained(options.judge)
    examples = held_out_examples(options.per_class)
    with tqdm(total=len(examples), desc=options.what, file=sys.stderr) as bar:
        progress: Progress = lambda done, _: bar.update(done - bar.n)  # noqa: E731
        if options.what == "prompts":
            model = AudioGen.from_pretrained(options.model)
            report = evaluate_model(model, examples, judge, seed=options.seed, progress=progress)
        else:
            report = evaluate_codec(load_codec(options.codec), examples, judge, progress=progress)
    print("\n".join(report_lines(report)))
    if options.json is not None:
        write_report(options.json, {**report, **report["prompt_accuracy"]})


if __name__ == "__main__":
    main()
