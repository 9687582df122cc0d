"""Settings of the codecs' trainers as they were called when all of them were arguments of their own.

Recipes of that time are read under today's names: this is the one place that knows both.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

# Class of the LightningModule -> name then -> dotted name now. The others are called what they were.
MOVED_SETTINGS: dict[str, dict[str, str]] = {
    "SEANetModule": {
        "learning_rate": "optimizer.init_args.lr",
        "betas": "optimizer.init_args.betas",
        "warmup_steps": "scheduler.warmup_steps",
        "decay_steps": "scheduler.total_steps",
        "weights": "losses.weights",
        "mel_floor": "losses.mel_floor",
        "commitment_weight": "losses.commitment",
        "quantizer_start": "losses.quantizer_start",
        "codebook_choices": "losses.codebook_choices",
        "discriminator_filters": "discriminator.n_filters",
        "discriminator_ffts": "discriminator.n_ffts",
        "discriminator_start": "discriminator.start",
    },
    "Music2Latent2Module": {
        "learning_rate": "optimizer.init_args.lr",
        "betas": "optimizer.init_args.betas",
        "warmup_steps": "scheduler.warmup_steps",
        "final_learning_rate": "scheduler.min_lr_ratio",  # a rate then, a share of the peak now
        "initial_step": "noise.initial_step",
        "step_exponent": "noise.step_exponent",
        "noise_mean": "noise.mean",
        "noise_std": "noise.std",
    },
}
# What the objects had where nothing was said of them.
_DEFAULTS: dict[str, dict[str, Any]] = {
    "SEANetModule": {
        "optimizer": {"class_path": "torch.optim.Adam", "init_args": {"lr": 3e-4, "betas": [0.5, 0.9]}},
        "scheduler": {"min_lr_ratio": 0.1},
    },
    "Music2Latent2Module": {
        "optimizer": {"class_path": "torch.optim.RAdam", "init_args": {"lr": 1e-4, "betas": [0.9, 0.999]}},
        "scheduler": {"warmup_steps": 10_000, "min_lr_ratio": 0.01},
    },
}


def present_name(module: str, name: str) -> str:
    """The dotted name of a setting today: "betas" -> "optimizer.init_args.betas"."""
    first, dot, rest = name.partition(".")
    return MOVED_SETTINGS[module].get(first, first) + dot + rest


def nested_settings(module: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of a trainer under today's names; those that have them already stay.

    Args:
        module: class of the LightningModule, one of MOVED_SETTINGS.
        settings: its arguments.
    """
    moved = MOVED_SETTINGS[module]
    found = {name: value for name, value in settings.items() if name not in moved}
    old = {name: value for name, value in settings.items() if name in moved and value is not None}
    if "final_learning_rate" in old or (module == "Music2Latent2Module" and "learning_rate" in old):
        peak = float(old.get("learning_rate", 1e-4))
        old["final_learning_rate"] = float(old.get("final_learning_rate", 1e-6)) / peak
    for name, value in old.items():
        *parents, last = moved[name].split(".")
        part = found
        for depth, parent in enumerate(parents):
            defaults = _DEFAULTS[module].get(parent, {}) if depth == 0 else {}
            part[parent] = deepcopy(defaults) | dict(part.get(parent) or {})
            part = part[parent]
        part[last] = value
    return found
