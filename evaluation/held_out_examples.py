"""Held-out clips of the Foley corpus, on which `soundloom evaluate` measures models and codecs.

Captions and renderings come from the corpus split "test": no caption of it occurs in training. Every class
gets the same number of clips, each naming one sound.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from torch import Tensor

from ..recipes.foley.corpus import FoleyCorpus
from .evaluate_sounds import Example

TEST_SEED = 90_000


def held_out_examples(per_class: int, *, sample_rate: int = 16000, seconds: float = 5.0) -> list[Example]:
    """Held-out clips of one sound each, `per_class` of every class, in the order of the classes' names.

    A clip is rendered when it is read. Its class is the label, which the classifier has to know.

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
