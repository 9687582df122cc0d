"""Start a codec from principal components and k-means: a small one is then trained within minutes on a CPU.

Before the first step the latents of a codec with a spectral transform and a linear path are the principal
components of its features, the decoder's linear path turns them back into levels, and k-means over them
fills the codebooks. With both networks silent that is a vector quantizer of log spectra already. The networks
then learn what a linear map of single frames cannot say: what is tone and what is noise, and what the frames
before tell. Not in the papers; switched on by `linear_path` in SEANetCodec.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from ..principal_components import principal_components
from .layers import Conv
from .seanet_autoencoder import SEANetAutoencoder

LEVELS_PER_FEATURE = 2 * math.log(10)  # features are half a decimal logarithm, levels natural ones


@torch.no_grad()
def start_from_components(codec: SEANetAutoencoder, audio: Tensor, *, batch_vectors: int) -> None:
    """Fit the linear paths of `codec` and its codebooks to sound; its networks begin by adding nothing.

    Args:
        codec: with a spectral transform and linear paths.
        audio: examples `[B, 1, N]`, float, at the codec's rate.
        batch_vectors: see ResidualVectorQuantizer.start.

    Raises:
        ValueError: another kind of codec, or fewer frames than components.
    """
    reader, writer = codec.encoder.linear, codec.decoder.linear
    if codec.spectral is None or reader is None or writer is None:
        raise ValueError("the codec has no linear paths: set transform='spectral' and linear_path=True")
    hop, dimension, bins = reader.stride, reader.conv.out_channels, codec.spectral.bins
    frames = []
    for part in audio.split(16):
        # [B, bins, T * hop] -> [B * T, bins * hop]
        # [B, bins, T * hop] -> [B, bins, T, hop] -> [B, T, bins, hop]
        windows = codec.features(part).unflatten(2, (-1, hop)).permute(0, 2, 1, 3)
        # [B, T, bins * hop] -> [B * T, bins * hop]
        frames.append(windows.flatten(2).flatten(0, 1))
    examples = torch.cat(frames)
    if len(examples) <= dimension:
        raise ValueError(f"{len(examples)} frames are not enough for {dimension} components; give more sound")
    # The encoder's linear path: the projection of a frame, its mean taken off.
    mean, components = principal_components(examples, dimension)
    directions = components.unflatten(1, (bins, hop))  # [dimension, bins, hop]
    reader.conv.weight.copy_(directions)
    reader.conv.bias.copy_(-(components @ mean))
    # The decoder's linear path: the way back, from features to natural logarithms.
    inverse = writer.convtr
    inverse.weight.zero_()
    # The first half of the taps belongs to the frame itself; the second would add to the next one.
    inverse.weight[:, :bins, :hop] = LEVELS_PER_FEATURE * directions
    # One bias per bin serves all its places within a frame.
    level = LEVELS_PER_FEATURE * mean.unflatten(0, (bins, hop)).mean(1) - 2 * math.log(10)
    inverse.bias.zero_()
    inverse.bias[:bins] = level
    # Both networks begin by adding nothing.
    for network in (codec.encoder.model, codec.decoder.model):
        last: Any = [layer for layer in network if isinstance(layer, Conv)][-1].conv
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
    codec.quantizer.start((examples - mean) @ components.T, batch_vectors=batch_vectors)
