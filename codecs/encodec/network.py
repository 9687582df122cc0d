"""The `encodec` package's model, built from settings, of any size."""

from __future__ import annotations

from typing import Any

from ...core._torchaudio import import_encodec
from .channels_last import keep_channels_last
from .encodec_config import EnCodecConfig


def build_network(config: EnCodecConfig) -> Any:
    """An `encodec.EncodecModel` with untrained weights, its layers arranged as CPUs are fast with.

    Raises:
        ImportError: the `encodec` package is not installed.
    """
    network = package_network(config)
    keep_channels_last(network)
    return network


def package_network(config: EnCodecConfig) -> Any:
    """The same as the package has it.

    The package itself offers only the two published models, at full size.

    Raises:
        ImportError: the `encodec` package is not installed.
    """
    package = import_encodec()
    network = {
        "channels": config.channels,
        "dimension": config.dimension,
        "n_filters": config.n_filters,
        "ratios": list(config.ratios),
        "norm": config.norm,
        "causal": config.causal,
    }
    return package.EncodecModel(
        package.modules.SEANetEncoder(**network),
        package.modules.SEANetDecoder(**network),
        package.quantization.ResidualVectorQuantizer(
            dimension=config.dimension, n_q=config.codebooks, bins=config.codebook_size, kmeans_init=False
        ),
        [float(value) for value in config.bandwidths],
        config.sample_rate,
        config.channels,
        normalize=config.normalize,
        segment=config.segment,
        overlap=config.overlap,
        name=f"encodec_{config.sample_rate // 1000}khz",
    )
