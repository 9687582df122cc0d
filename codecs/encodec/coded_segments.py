"""Segments of the 48 kHz EnCodec: their loudness as codes, and overlap-add of decoded ones."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

# How `.ecdc` files hold a segment's loudness.
SCALE = struct.Struct("!f")
# Codes hold it as a step on this many octaves; the model's own floor is 1e-8.
SCALE_FLOOR, SCALE_OCTAVES = 2.0**-27, 40.0


@dataclass
class Segment:
    """What is coded on its own: one second at 48 kHz, the whole sound at 24 kHz.

    Attributes:
        codes: int64 `[B, K, T]`.
        scale: loudness that the segment was divided by, float32 `[B, 1]`; None for a model without.
    """

    codes: Tensor
    scale: Tensor | None

    def pack(self, codebook_size: int) -> Tensor:
        """Codes `[B, K, 1 + T]`: a frame whose first two codes are the loudness, in steps of a logarithm.

        With 1024 values a code a step is 0.00023 dB, a loudness from -163 to 78 dB.
        """
        if self.scale is None:
            return self.codes
        # On the CPU, as not every device has float64.
        octaves = torch.log2(self.scale.cpu().double().reshape(-1) / SCALE_FLOOR)  # [B]
        top = codebook_size**2 - 1
        step = (octaves / SCALE_OCTAVES * top).round().long().clamp(0, top)
        step = step.to(self.codes.device)
        # The two digits of the step, to the base of the codebook's size, as a frame `[B, K, 1]`.
        head = torch.zeros_like(self.codes[..., :1])
        head[:, 0, 0], head[:, 1, 0] = step // codebook_size, step % codebook_size
        return torch.cat([head, self.codes], dim=-1)

    @classmethod
    def unpack(cls, codes: Tensor, codebook_size: int) -> Segment:
        """The segment that was packed into codes `[B, K, 1 + T]`.

        Raises:
            ValueError: loudness only, or fewer than the two codebooks that it takes.
        """
        if codes.shape[1] < 2 or codes.shape[2] < 2:
            raise ValueError(
                f"codes of a segment have shape {list(codes.shape)}; they need 2 codebooks and 2 frames"
            )
        first = codes[:, :2, 0].cpu().double()
        step = first[:, 0] * codebook_size + first[:, 1]  # [B]
        scale = SCALE_FLOOR * torch.exp2(step * (SCALE_OCTAVES / (codebook_size**2 - 1)))
        return cls(codes[..., 1:], scale.float().unsqueeze(1).to(codes.device))


class OverlapAdd:
    """Join overlapping segments `[B, C, N]`, fading one into the next.

    Each sample is the mean of the segments that cover it, weighted by a triangle over a segment's length, as
    in the package's `_linear_overlap_add`, which wants all segments at once and fails where a short last one
    ends before its predecessor.

    Args:
        stride: samples from one segment's start to the next one's.
    """

    def __init__(self, stride: int) -> None:
        self.stride = stride
        self.triangle: Tensor | None = None
        self.tail: Tensor | None = None  # weighted sum of what reaches beyond the next segment's start
        self.weight: Tensor | None = None

    def push(self, segment: Tensor) -> Tensor:
        """Take the next segment; return the samples up to where the one after it starts."""
        if self.triangle is None:
            ramp = torch.linspace(0, 1, segment.shape[-1] + 2, device=segment.device)[1:-1]
            self.triangle = 0.5 - (ramp - 0.5).abs()
        weight = self.triangle[: segment.shape[-1]]
        total = segment * weight
        if self.tail is not None and self.weight is not None:
            size = max(total.shape[-1], self.tail.shape[-1])
            total = _widen(total, size) + _widen(self.tail, size)
            weight = _widen(weight, size) + _widen(self.weight, size)
        self.tail, self.weight = total[..., self.stride :], weight[self.stride :]
        return total[..., : self.stride] / weight[: self.stride]

    def flush(self) -> Tensor | None:
        """The samples after the last segment's stride; None if nothing was pushed."""
        return None if self.tail is None or self.weight is None else self.tail / self.weight


def _widen(x: Tensor, size: int) -> Tensor:
    """Zeros after the end, up to that size."""
    return F.pad(x, (0, size - x.shape[-1]))
