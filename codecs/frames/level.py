"""Match the level of a decoded sound to the one that was encoded, by a gain.

Letters: C channels, N samples.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from ...core.limiter import RELEASE
from ..container import Header
from ..frame_codec import FrameCodec

BLOCK_SECONDS = 0.02  # over which a peak counts
LOWEST_DB, HIGHEST_DB, STEP_DB = -120.0, 60.0, 0.5  # peaks that are told apart
MOST_DB = 24.0  # largest gain, up or down
LEAST_DB = 0.1  # smallest that is worth its bytes
SILENCE = 1e-8  # mean square, -80 dB, below which there is no level to keep


class LevelMatch:
    """Compares a sound with what its codec makes of it, while it is being encoded.

    Levels are mean squares over all of the sound, at the codec's sample rate and channels. Decoding applies
    the gain and then a limiter, which takes some of the level away again: how much is told from a table of
    the peaks of short blocks, so that memory does not grow with the sound.

    Args:
        codec: that encodes; its stream decoder decodes.
        header: of the frames.
    """

    def __init__(self, codec: FrameCodec, header: Header) -> None:
        self._decoder = codec.stream_decoder()
        self._codec, self._scale = codec, header.scale
        self._block = max(1, round(BLOCK_SECONDS * codec.sample_rate))
        self._powers = torch.zeros(round((HIGHEST_DB - LOWEST_DB) / STEP_DB) + 1, dtype=torch.float64)
        self._power = 0.0  # summed squares of the sound
        self._samples = self._decoded = 0
        self._waiting: Tensor | None = None
        self._held = 0.0  # peak that the limiter has not let go of
        self.peak = 0.0

    def source(self, samples: Tensor) -> None:
        """Take samples `[C, N]` of the sound as it is."""
        if samples.numel():
            self.peak = max(self.peak, float(samples.abs().max()))

    def encoded(self, samples: Tensor) -> None:
        """Take samples `[C, N]` as the codec gets them, scale included."""
        self._power += float(samples.square().sum()) / self._scale**2
        self._samples += samples.shape[-1]

    def frames(self, frames: Tensor) -> None:
        """Take frames, codes `[K, T]` or latents `[T, S, D]`, as the codec made them."""
        self._listen(self._decoder.push(frames.unsqueeze(0))[0])

    def gain_db(self) -> float:
        """The sound has ended: dB to the hundredth, 0 where no gain is worth while."""
        self._listen(self._decoder.flush()[0], last=True)
        decoded = float(self._powers.sum())
        if self._power < SILENCE * self._samples * self._codec.channels or not decoded:
            return 0.0
        low, high = -MOST_DB, MOST_DB
        while high - low > 1e-3:
            middle = (low + high) / 2
            low, high = (middle, high) if self._limited_power(middle) < self._power else (low, middle)
        found = round(low, 2)
        return found if abs(found) >= LEAST_DB else 0.0

    def _listen(self, decoded: Tensor, *, last: bool = False) -> None:
        decoded = decoded.float().cpu() / self._scale
        # The last frame reaches beyond the sound's end.
        decoded = decoded[:, : max(0, self._samples - self._decoded)] if last else decoded
        self._decoded += decoded.shape[-1]
        if self._waiting is not None:
            decoded = torch.cat([self._waiting, decoded], dim=-1)
        whole = decoded.shape[-1] if last else decoded.shape[-1] // self._block * self._block
        self._waiting = decoded[:, whole:].clone()
        decoded = F.pad(decoded[:, :whole], (0, -whole % self._block)).unflatten(-1, (-1, self._block))
        peaks = decoded.abs().amax((0, 2)).tolist()  # of every block
        powers = decoded.double().square().sum((0, 2)).tolist()
        for peak, power in zip(peaks, powers, strict=True):
            self._held = max(peak, self._held * math.exp(-BLOCK_SECONDS / RELEASE), 1e-9)
            held_db = min(max(20 * math.log10(self._held), LOWEST_DB), HIGHEST_DB)
            self._powers[round((held_db - LOWEST_DB) / STEP_DB)] += power

    def _limited_power(self, gain_db: float) -> float:
        """Summed squares of the decoded sound after a gain and the limiter."""
        peaks_db = LOWEST_DB + STEP_DB * torch.arange(len(self._powers)) + gain_db
        ceiling_db = 20 * math.log10(max(self.peak, 1.0))
        taken = gain_db - (peaks_db - ceiling_db).clamp_min(0.0)
        return float((self._powers * 10 ** (taken / 10)).sum())


def match_level(header: Header, match: LevelMatch) -> Header:
    """The header with the gain and the peak that were found."""
    return header.with_level(match.gain_db(), round(match.peak, 6))
