"""Settings of the codecs' trainers as they were called when all of them were arguments of their own.

Recipes of that time are read under today's names: this is the one place that knows both.
"""

from __future__ import annotations

from typing import Any

from ..core.moved_settings import MovedSettings


def _floor_as_share(settings: dict[str, Any]) -> dict[str, Any]:
    """A final learning rate was a rate, and is a share of the peak now."""
    peak, floor = settings.get("learning_rate"), settings.get("final_learning_rate")
    if peak is None and floor is None:
        return settings
    share = float(1e-6 if floor is None else floor) / float(1e-4 if peak is None else peak)
    return {**settings, "final_learning_rate": share}


# By the class of the LightningModule.
TRAINERS = {
    "SEANetModule": MovedSettings(
        {
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
        defaults={
            "optimizer": {"class_path": "torch.optim.Adam", "init_args": {"lr": 3e-4, "betas": [0.5, 0.9]}},
            "scheduler": {"warmup_steps": 0, "min_lr_ratio": 0.1},
        },
    ),
    "Music2Latent2Module": MovedSettings(
        {
            "learning_rate": "optimizer.init_args.lr",
            "betas": "optimizer.init_args.betas",
            "warmup_steps": "scheduler.warmup_steps",
            "final_learning_rate": "scheduler.min_lr_ratio",
            "initial_step": "noise.initial_step",
            "step_exponent": "noise.step_exponent",
            "noise_mean": "noise.mean",
            "noise_std": "noise.std",
        },
        defaults={
            "optimizer": {
                "class_path": "torch.optim.RAdam",
                "init_args": {"lr": 1e-4, "betas": [0.9, 0.999]},
            },
            "scheduler": {"warmup_steps": 10_000, "min_lr_ratio": 0.01},
        },
        converted=_floor_as_share,
    ),
}
