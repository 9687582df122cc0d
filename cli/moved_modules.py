"""Old class paths: recipes and checkpoints made before modules moved name them by where they were."""

from __future__ import annotations

import importlib
import sys

MOVED = {
    "soundloom.codecs.music2latent2.ema": "soundloom.codecs.music2latent2.warmup_ema",
    "soundloom.gen.ema": "soundloom.gen.training.ema",
    "soundloom.gen.judge_module": "soundloom.evaluation.classifier_module",
    "soundloom.gen.module": "soundloom.gen.training.module",
    "soundloom.recipes.data.modules": "soundloom.recipes.data",
    "soundloom.recipes.progress": "soundloom.recipes.step_progress",
}


def know_moved_modules() -> None:
    """Let class paths be found under the modules' old names too, in this process."""
    for old, new in MOVED.items():
        sys.modules[old] = importlib.import_module(new)
