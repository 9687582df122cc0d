"""Settings of AudioGenModule as they were called when all of them were its own arguments.

Checkpoints and recipes of that time are read under today's names: this is the one place that knows both.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

# Name then -> dotted name now. The others are called what they were.
MOVED_SETTINGS = {
    **{
        name: f"lm.{name}"
        for name in (
            "num_codebooks",
            "codebook_size",
            "dim",
            "num_layers",
            "num_heads",
            "ffn_dim",
            "pattern",
            "delays",
            "dropout",
        )
    },
    "text_encoder": "text.encoder",
    "text_encoder_settings": "text.settings",
    "train_text_encoder": "text.train",
    "caption_dropout": "objective.caption_dropout",
    "codebook_weights": "objective.codebook_weights",
    "learning_rate": "optimizer.init_args.lr",
    "betas": "optimizer.init_args.betas",
    "weight_decay": "optimizer.init_args.weight_decay",
    "schedule": "scheduler.kind",
    "warmup_steps": "scheduler.warmup_steps",
    "min_lr_ratio": "scheduler.min_lr_ratio",
    "schedule_steps": "scheduler.total_steps",
    "export_codec": "export.codec",
    "export_settings": "export",
}
OPTIMIZER: dict[str, Any] = {  # AudioGen's, where a recipe names none
    "class_path": "torch.optim.AdamW",
    "init_args": {"lr": 5e-4, "betas": [0.9, 0.95], "weight_decay": 0.1},
}


def nested_settings(settings: Mapping[str, Any], moved: Mapping[str, str] = MOVED_SETTINGS) -> dict[str, Any]:
    """Settings under today's names, as `moved` has them; those that have them already stay."""
    found = {name: value for name, value in settings.items() if name not in moved}
    for name, path in moved.items():
        if name not in settings:
            continue
        value = settings[name]
        *parents, last = path.split(".")
        part = found
        for parent in parents:
            if parent == "optimizer" and "optimizer" not in part:
                part[parent] = copy.deepcopy(OPTIMIZER)
            part[parent] = dict(part.get(parent) or {})
            part = part[parent]
        if isinstance(value, Mapping) or name == "export_settings":
            value = {**(part.get(last) or {}), **(value or {})}
        part[last] = value
    return found


def present_name(name: str, moved: Mapping[str, str] = MOVED_SETTINGS) -> str:
    """The dotted name of a setting today: "dim" -> "lm.dim", "export_settings.top_k" -> "export.top_k"."""
    first, dot, rest = name.partition(".")
    return moved.get(first, first) + dot + rest
