"""What trainings of texture networks are tried with: a small adversary, a listener, noises, a trainer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning
import torch
from torch import nn

from soundloom.codecs.adversary import AdversarySettings

SMALL = AdversarySettings(start=2, ramp=2, widths=(2, 2, 2, 2))


class Listener(nn.Module):
    """Hears how loud a sound is, over time."""

    def forward(self, audio: torch.Tensor) -> list[torch.Tensor]:
        return [audio.unfold(1, 64, 64).square().mean(-1, keepdim=True)]


def noises(count: int = 12) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [0.2 * torch.randn(1, 4096, generator=generator) for _ in range(count)]


def trainer(tmp_path: Path, steps: int, **settings: Any) -> lightning.Trainer:
    quiet: dict[str, Any] = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    return lightning.Trainer(
        default_root_dir=tmp_path,
        accelerator="cpu",
        enable_checkpointing=False,
        max_steps=2 * steps,  # those of both networks count
        **quiet,
        **settings,
    )
