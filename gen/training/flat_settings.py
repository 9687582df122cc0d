"""Settings of AudioGenModule as they were called when all of them were its own arguments.

Checkpoints and recipes of that time are read under today's names: this is the one place that knows both.
"""

from __future__ import annotations

from typing import Any

from ...core.moved_settings import MovedSettings

OPTIMIZER: dict[str, Any] = {  # AudioGen's, where a recipe names none
    "class_path": "torch.optim.AdamW",
    "init_args": {"lr": 5e-4, "betas": [0.9, 0.95], "weight_decay": 0.1},
}
AUDIOGEN = MovedSettings(
    {
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
    },
    defaults={"optimizer": OPTIMIZER},
)
