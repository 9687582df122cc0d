"""The smallest codec that has everything: what somebody writes who adds one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from soundloom.codecs.precision import check_float32, gives_audio, takes_audio
from soundloom.codecs.pretrained import PretrainedCodec

from .streaming import FrameStream


@dataclass(frozen=True, kw_only=True)
class ToyConfig:
    """One code for `hop` samples: their weighted sum, in `levels` steps from -1 to 1."""

    sample_rate: int = 8000
    hop: int = 8
    levels: int = 256

    def __post_init__(self) -> None:
        if self.levels < 2:
            raise ValueError(f"levels is {self.levels}; it must be at least 2")


class ToyCodec(PretrainedCodec):
    """Waveform `[B, 1, N]` <-> codes `[B, 1, T]`."""

    config_class = ToyConfig
    trainer = "tests.codecs.toy.module.ToyModule"
    channels = num_codebooks = 1
    settings: ToyConfig

    def __init__(self, **settings: Any) -> None:
        super().__init__(ToyConfig(**settings))
        self.reader = nn.Linear(self.settings.hop, 1, bias=False)
        self.writer = nn.Linear(1, self.settings.hop)
        nn.init.constant_(self.reader.weight, 1 / self.settings.hop)

    @property
    def sample_rate(self) -> int:
        return self.settings.sample_rate

    @property
    def frame_rate(self) -> float:
        return self.settings.sample_rate / self.settings.hop

    @property
    def codebook_size(self) -> int:
        return self.settings.levels

    @property
    def warm_up_frames(self) -> int:
        return 0

    @takes_audio
    @torch.no_grad()
    def encode(self, audio: Tensor) -> Tensor:
        check_float32(self)
        self.check_audio(audio)
        frames = F.pad(audio, (0, -audio.shape[-1] % self.settings.hop)).unflatten(
            -1, (-1, self.settings.hop)
        )
        values = self.reader(frames.to(self.device)).squeeze(-1).clamp(-1, 1)
        return ((values + 1) / 2 * (self.settings.levels - 1)).round().long()

    @gives_audio
    @torch.no_grad()
    def decode(self, codes: Tensor, length: int | None = None) -> Tensor:
        self.check_codes(codes)
        values = codes.to(self.device) / (self.settings.levels - 1) * 2 - 1
        return self.writer(values.unsqueeze(-1)).flatten(-2)[..., :length]

    def stream_encoder(
        self, *, discrete: bool | None = None, num_codebooks: int | None = None
    ) -> FrameStream:
        self.wants_codes(discrete, num_codebooks)
        nothing = torch.zeros(1, 1, 0, dtype=torch.int64)
        return FrameStream(self.encode, self.settings.hop, nothing, self.settings.hop / self.sample_rate)

    def stream_decoder(self) -> FrameStream:
        return FrameStream(self.decode, 1, torch.zeros(1, 1, 0), 0.0)
