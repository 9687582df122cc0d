"""The `encodec` package's model, built from settings, of any size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ...core._torchaudio import import_encodec


def build_network(
    *,
    sample_rate: int,
    channels: int,
    bandwidths: Sequence[float],
    dimension: int,
    n_filters: int,
    ratios: Sequence[int],
    codebook_size: int,
    causal: bool,
    norm: str,
    normalize: bool,
    segment: float | None,
    overlap: float,
) -> Any:
    """An `encodec.EncodecModel` with untrained weights; see EnCodec for the settings.

    The package itself offers only the two published models, at full size.

    Raises:
        ValueError: settings that do not fit together.
        ImportError: the `encodec` package is not installed.
    """
    if norm not in ("none", "time_group_norm") or (causal and norm != "none"):
        raise ValueError(f"norm is {norm!r}; use 'none', or 'time_group_norm' for a model that is not causal")
    if normalize and segment is None:
        raise ValueError("normalize is on but segment is None; give segment in seconds, for example 1.0")
    if segment is None and not causal:
        raise ValueError("a model that is not causal needs segment in seconds, for example 1.0")
    if codebook_size < 2 or codebook_size & (codebook_size - 1):
        raise ValueError(f"codebook_size is {codebook_size}; it must be a power of two, for example 1024")
    # kbit/s of one codebook, with the package's frame rate, a whole number.
    each = int(math.log2(codebook_size)) * math.ceil(sample_rate / math.prod(ratios)) / 1000
    codebooks = int(max(bandwidths, default=0.0) // each)
    if not codebooks or min(bandwidths) < each * (2 if normalize else 1):
        raise ValueError(
            f"bandwidths are {list(bandwidths)} kbit/s, but one codebook takes {each:g} kbit/s"
            f"{', and normalize needs two' if normalize else ''}; give higher ones"
        )
    package = import_encodec()
    network = {
        "channels": channels,
        "dimension": dimension,
        "n_filters": n_filters,
        "ratios": list(ratios),
        "norm": norm,
        "causal": causal,
    }
    return package.EncodecModel(
        package.modules.SEANetEncoder(**network),
        package.modules.SEANetDecoder(**network),
        package.quantization.ResidualVectorQuantizer(
            dimension=dimension, n_q=codebooks, bins=codebook_size, kmeans_init=False
        ),
        [float(value) for value in bandwidths],
        sample_rate,
        channels,
        normalize=normalize,
        segment=segment,
        overlap=overlap,
        name=f"encodec_{sample_rate // 1000}khz",
    )
