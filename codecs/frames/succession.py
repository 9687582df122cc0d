"""Bundled codecs that were made better without changing what their codes mean: old files go on decoding.

A file tells of the configuration and the weights that made it. Where only the decoder is another now, or
there are more codebooks than before behind the same first ones, what it holds is decoded by what ships today.
"""

from __future__ import annotations

from torch import nn

from ..container import Header, config_hash
from ..frame_codec import FrameCodec
from ..weights_hash import weights_hash

# Configuration and weights that made a file -> those that ship in their place.
SUCCESSORS: dict[tuple[str, str], tuple[str, str]] = {
    ("bc8ef827346f0a14", "3e8704ce"): ("bb4ec7e8c5d95fea", "5a1c555b"),  # seanet-12hz
    ("2f9d5245b92dc4f9", "e5b65697"): ("2f9d5245b92dc4f9", "f5efb66d"),  # seanet-16khz
}


def succeeds(codec: FrameCodec, header: Header) -> bool:
    """Whether a codec ships in the place of the one that made a file, and decodes it as well or better."""
    if header.weights is None:
        return False
    successor = SUCCESSORS.get((header.config_hash, header.weights))
    return successor is not None and successor == (config_hash(codec), weights_hash(codec))


def understands(codec: nn.Module, weights: str) -> bool:
    """Whether codes of a codec with these weights, by `weights_hash`, are codes of this one, too."""
    own = weights_hash(codec)
    replaced = {old for (_, old), (_, new) in SUCCESSORS.items() if new == own}
    return weights == own or weights in replaced
