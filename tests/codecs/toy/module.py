"""The training of the toy codec: its decoder learns to give the samples back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from soundloom.core.example import AudioFormat
from soundloom.core.exports_model import EXPORT_KEY, ExportsModel, float_only, part_of

from .model import ToyCodec, ToyConfig


class ToyModule(ExportsModel):
    """Trains on batches of audio `[B, 1, N]`."""

    def __init__(
        self, settings: ToyConfig, *, learning_rate: float = 0.05, export_to: str | None = None
    ) -> None:
        super().__init__()
        self.codec, self.learning_rate, self.export_to = (
            ToyCodec(**asdict(settings)),
            learning_rate,
            export_to,
        )

    def training_step(self, audio: Tensor, batch_idx: int) -> Tensor:
        hop = self.codec.settings.hop
        frames = audio[..., : audio.shape[-1] // hop * hop].unflatten(-1, (-1, hop))
        return (self.codec.writer(self.codec.reader(frames)) - frames).square().mean()

    def validation_step(self, audio: Tensor, batch_idx: int) -> None:
        self.log("val/loss", self.training_step(audio, batch_idx))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.codec.parameters(), lr=self.learning_rate)

    def audio_format(self) -> AudioFormat:
        return AudioFormat("the toy", self.codec.sample_rate, (1,), self.codec.settings.hop)

    def export_info(self) -> dict[str, Any]:
        return {"settings": asdict(self.codec.settings)}

    @classmethod
    def from_checkpoint(cls, checkpoint: Mapping[str, Any]) -> Self:
        module = cls(ToyConfig(**checkpoint[EXPORT_KEY]["settings"]))
        module.codec.load_state_dict(part_of(checkpoint["state_dict"], "codec"))
        return module.eval()

    def export(self, folder: Path, *, weights: str = "float") -> None:
        float_only(weights)
        self.codec.save_pretrained(folder)
