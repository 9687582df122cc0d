"""The configuration of an EnCodec, checked when it is built."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class EnCodecConfig:
    """Settings of an EnCodec of any size; the defaults are those of the published model at 24 kHz.

    Args:
        sample_rate: Hz.
        channels: 1 or 2.
        bandwidths: kbit/s that may be chosen, ascending; the last one says how many codebooks there are.
        dimension: width of the quantized latent.
        n_filters: channels after the first convolution.
        ratios: strides of the decoder.
        codebook_size: a power of two.
        causal: no look-ahead; needs norm "none".
        norm: "time_group_norm", or "none" (weight normalisation is folded in when weights are loaded).
        normalize: divide each segment by its loudness; needs `segment`.
        segment: seconds, or None for the whole sound at once.
        overlap: of two segments, as a fraction of one.
        random_weights: said of weights that mean nothing, so that no other codec decodes their files.

    Raises:
        ValueError: settings that do not fit together.
    """

    sample_rate: int = 24000
    channels: int = 1
    bandwidths: tuple[float, ...] = (1.5, 3.0, 6.0, 12.0, 24.0)
    dimension: int = 128
    n_filters: int = 32
    ratios: tuple[int, ...] = (8, 5, 4, 2)
    codebook_size: int = 1024
    causal: bool = True
    norm: str = "none"
    normalize: bool = False
    segment: float | None = None
    overlap: float = 0.01
    random_weights: bool = False

    def __post_init__(self) -> None:
        # JSON knows lists only.
        object.__setattr__(self, "bandwidths", tuple(self.bandwidths))
        object.__setattr__(self, "ratios", tuple(self.ratios))
        if self.norm not in ("none", "time_group_norm") or (self.causal and self.norm != "none"):
            raise ValueError(
                f"norm is {self.norm!r}; use 'none', or 'time_group_norm' for a model that is not causal"
            )
        if self.normalize and self.segment is None:
            raise ValueError("normalize is on but segment is None; give segment in seconds, for example 1.0")
        if self.segment is None and not self.causal:
            raise ValueError("a model that is not causal needs segment in seconds, for example 1.0")
        size = self.codebook_size
        if size < 2 or size & (size - 1):
            raise ValueError(f"codebook_size is {size}; it must be a power of two, for example 1024")
        if not self.codebooks or min(self.bandwidths) < self.kbps_each * (2 if self.normalize else 1):
            raise ValueError(
                f"bandwidths are {list(self.bandwidths)} kbit/s, but one codebook takes {self.kbps_each:g} "
                f"kbit/s{', and normalize needs two' if self.normalize else ''}; give higher ones"
            )

    @property
    def kbps_each(self) -> float:
        """kbit/s of one codebook, with the package's frame rate, a whole number."""
        frame_rate = math.ceil(self.sample_rate / math.prod(self.ratios))
        return int(math.log2(self.codebook_size)) * frame_rate / 1000

    @property
    def codebooks(self) -> int:
        """K at the highest bandwidth."""
        return int(max(self.bandwidths, default=0.0) // self.kbps_each)
