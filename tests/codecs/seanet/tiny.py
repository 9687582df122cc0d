"""The smallest codec with a spectral transform."""

from __future__ import annotations

from typing import Any

from soundloom.codecs.seanet.module import DiscriminatorSettings

NO_DISCRIMINATOR = DiscriminatorSettings(n_filters=0)

TINY: dict[str, Any] = {
    "n_filters": 8,
    "dimension": 6,
    "ratios": (2,),
    "lstm": 0,
    "codebook_size": 16,
    "num_codebooks": 3,
    "transform": "spectral",
    "transform_hop": 8,
    "causal": True,
}
